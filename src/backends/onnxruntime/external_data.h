// SPDX-License-Identifier: Apache-2.0
// Reads the data of initialisers from the files beside the model.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "onnx_file.h"
#include "ort_api.h"

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

// Gives pages back to the system.
struct Unmap {
  uint64_t size = 0;
  void operator()(void* block) const;
};

// The external data of a model, read into memory. ONNX Runtime itself would map the files as long
// as the model lives. Then a file that is truncated would end the process, and a file that is
// overwritten would change the answers of a version that is served. One thread at a time.
class ExternalData final {
 public:
  // Reads the data and gives it to `options`, for one session. Throws Error.
  ExternalData(const OrtApi& api, const OrtMemoryInfo* memory, const OnnxFile& file,
               OrtSessionOptions* options);
  // Destroy it only after the session was made. The session has copied the data by then.
  ExternalData(const ExternalData&) = delete;
  ExternalData& operator=(const ExternalData&) = delete;

 private:
  // Maps one anonymous block for the data of all tensors, each at an aligned offset.
  void Reserve(std::span<const ExternalTensor> tensors);

  std::vector<uint64_t> offsets_;  // of each tensor's data in the block
  std::unique_ptr<void, Unmap> block_;
  std::vector<ValuePtr> values_;  // views of the block
};

}  // namespace penstock::onnxruntime
