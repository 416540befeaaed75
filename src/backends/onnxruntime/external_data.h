// SPDX-License-Identifier: Apache-2.0
// Reads the data of initialisers from the files beside the model.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "onnx_file.h"
#include "ort_api.h"
#include "shared_blocks.h"

namespace penstock::onnxruntime {

// The size of the tensor's data in bytes. It follows from type and shape; for types that are not
// known here, it is the length that the file gives. Throws Error.
uint64_t ExternalBytes(const ExternalTensor& tensor);

// Checks that the data is there, before memory is reserved for it. `model_file` is the model's
// path. Throws Error: the location leads out of the model's folder, or the file is too short.
void CheckExternalData(const std::string& model_file, const ExternalTensor& tensor);

// Copies the tensor's data, ExternalBytes of it, to `to`. Throws Error as above, or if the file is
// unreadable.
void ReadExternalData(const std::string& model_file, const ExternalTensor& tensor, char* to);

// What a session uses in place of copies of its own: tables whose bytes other sessions may use,
// too. The session must not outlive it. Immutable.
struct SharedTables {
  std::vector<SharedBlocks::Ref> blocks;
  std::vector<ValuePtr> values;  // views of the blocks
};

// The external data of a model, read into memory. ONNX Runtime itself would map the files as long
// as the model lives. Then a file that is truncated would end the process, and a file that is
// overwritten would change the answers of a version that is served.
//
// A session copies what it gets, except large tables that it only looks rows up in: those it uses
// in place, and sessions with equal tables use the same memory. One thread at a time.
class ExternalData final {
 public:
  // Reads the data and gives it to `options`, for one session. Throws Error.
  ExternalData(const OrtApi& api, const OrtMemoryInfo* memory, const OnnxFile& file,
               SharedBlocks& shared, OrtSessionOptions* options);
  // Destroy it only after the session was made. The session has copied the data by then, except
  // the tables.
  ExternalData(const ExternalData&) = delete;
  ExternalData& operator=(const ExternalData&) = delete;

  // What the session needs as long as it lives.
  SharedTables TakeTables() { return std::move(tables_); }

 private:
  // Maps one anonymous block for the data of all tensors that are not shared, each at an aligned
  // offset.
  void Reserve(std::span<const ExternalTensor> tensors);
  // The data of the table, in a block of its own or of another session.
  void* ReadShared(const OnnxFile& file, const ExternalTensor& tensor, SharedBlocks& shared);

  std::vector<uint64_t> offsets_;  // of each tensor's data in the block
  MappedBlock block_;
  std::vector<ValuePtr> values_;  // views of the block
  SharedTables tables_;
};

}  // namespace penstock::onnxruntime
