// SPDX-License-Identifier: Apache-2.0
// An ONNX file, beside one with external data, or a file in ONNX Runtime's own format. What is
// rewritten must need no rewriting.
#include <stdlib.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>

#include "external_data.h"
#include "onnx_file.h"
#include "onnx_rewrite.h"
#include "penstock/backend.hpp"

namespace {

using penstock::onnxruntime::OnnxFile;

// A folder that goes at the end of the process, unless that crashes. One thread at a time.
class Folder final {
 public:
  Folder() {
    if (mkdtemp(path_) == nullptr) std::abort();
    Write("weights.pb", std::string(32, 'w'));
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  std::string Write(const std::string& name, std::string_view bytes) const {
    std::string path = std::string(path_) + "/" + name;
    std::ofstream file(path, std::ios::binary);
    file << bytes;
    if (!file.flush()) std::abort();
    return path;
  }

 private:
  char path_[32] = "/dev/shm/onnx_fuzz_XXXXXX";  // memory: a file is written for each input
};

// What a load does before it calls the runtime.
void Load(const Folder& folder, std::string_view bytes) {
  constexpr size_t kIdentifierAt = 4;  // of ONNX Runtime's own format
  if (bytes.size() > kIdentifierAt && bytes.substr(kIdentifierAt).starts_with("ORTM")) {
    penstock::onnxruntime::ReadOnnxFile(folder.Write("model.ort", bytes));
    return;
  }
  const OnnxFile file = penstock::onnxruntime::ReadOnnxFile(folder.Write("model.onnx", bytes));
  for (const auto& tensor : file.external) {
    penstock::onnxruntime::CheckExternalData(file.path, tensor);
    std::string data(penstock::onnxruntime::ExternalBytes(tensor), '\0');
    penstock::onnxruntime::ReadExternalData(file.path, tensor, data.data());
  }
  if (!NeedsRewrite(file)) return;
  const std::string rewritten = RewriteModel(file);
  const OnnxFile again =
      penstock::onnxruntime::ReadOnnxFile(folder.Write("rewritten.onnx", rewritten));
  if (NeedsRewrite(again)) std::abort();
  if (again.external.size() != file.external.size()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Folder folder;
  try {
    Load(folder, {reinterpret_cast<const char*>(data), size});
  } catch (const penstock::plugin::Error&) {
    // The model is refused.
  }
  return 0;
}
