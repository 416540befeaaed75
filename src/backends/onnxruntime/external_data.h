// SPDX-License-Identifier: Apache-2.0
// Data of initialisers that lies in files beside the model.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "onnx_file.h"
#include "ort_api.h"

namespace penstock::onnxruntime {

// Bytes of the tensor's data, as its type and shape say, or as the file says for types that are
// not known here. Throws Error.
uint64_t ExternalBytes(const ExternalTensor& tensor);

// Looks whether the data is there, before memory is taken for it. `model_file` is the model's path.
// Throws Error: the location leads out of the model's folder, or the file is too short.
void CheckExternalData(const std::string& model_file, const ExternalTensor& tensor);

// Copies the tensor's data, ExternalBytes of it, to `to`. Throws Error as above, or if the file is
// unreadable.
void ReadExternalData(const std::string& model_file, const ExternalTensor& tensor, char* to);

// Gives pages back to the system.
struct Unmap {
  uint64_t size = 0;
  void operator()(void* block) const;
};

// The external data of a model, read into memory. ONNX Runtime itself would map the files for as
// long as the model lives: a file that is cut off then ends the process, and one that is written
// over changes what a served version answers. One thread at a time.
class ExternalData final {
 public:
  // Reads the data and gives it to `options`, for one session. Throws Error.
  ExternalData(const OrtApi& api, const OrtMemoryInfo* memory, const OnnxFile& file,
               OrtSessionOptions* options);
  // Destroy it after the session was made, which has copied the data then.
  ExternalData(const ExternalData&) = delete;
  ExternalData& operator=(const ExternalData&) = delete;

 private:
  void Reserve(std::span<const ExternalTensor> tensors);

  std::vector<uint64_t> offsets_;  // of each tensor's data in the block
  std::unique_ptr<void, Unmap> block_;
  std::vector<ValuePtr> values_;  // views of the block
};

}  // namespace penstock::onnxruntime
