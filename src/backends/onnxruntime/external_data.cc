// SPDX-License-Identifier: Apache-2.0
// Why the files are read here. ONNX Runtime would map them for as long as the model lives. Somebody
// may truncate or overwrite a file meanwhile: the first ends the process, the second changes the
// answers of a version that is served. So the data is read once into a block, which the session
// copies, and which is then given back.
//
// The session can use the bytes in place, too (AddInitializer). But its optimisers may store a
// tensor anew under its name, such as transposed, and then it would read the old bytes as if they
// were the new ones. That cannot happen to tables that only Gather reads, so those are shared.
//
// The positions come from the model's file, which nobody has checked. So a path must stay below the
// model's folder, and offset, length, type and shape must fit each other and the file, before any
// memory is reserved.
#include "external_data.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "penstock/backend.hpp"

namespace penstock::onnxruntime {
namespace {

using plugin::Error;

constexpr uint64_t kAlignment = 64;
constexpr uint64_t kTotalMax = uint64_t{1} << 46;  // 64 TiB; a larger sum comes from a damaged file

// Bits of an element; 0 if the type is not known. Types behind bfloat16 have no name in
// ElementType.
uint64_t ElementBits(int type) {
  constexpr int kFirstFloat8 = 17;
  constexpr int kLastFloat8 = 20;
  constexpr int kUint4 = 21;
  constexpr int kFloat4 = 23;
  if (type >= kFirstFloat8 && type <= kLastFloat8) return 8;
  if (type >= kUint4 && type <= kFloat4) return 4;
  return 8 * ElementBytes(FromOrtType(type));
}

[[noreturn]] void Fail(const ExternalTensor& tensor, const std::string& what) {
  throw Error(PENSTOCK_INVALID_ARGUMENT, "the data of the initialiser '" + tensor.name +
                                             "' in the file '" + tensor.location + "' " + what);
}

// True if a path stays below the folder it starts from. A model comes from outside, and its text
// must not make the server read other files, such as keys. Symbolic links are not checked.
bool StaysBelow(std::string_view path) {
  if (path.empty() || path.front() == '/' || path.find('\0') != path.npos) return false;
  while (!path.empty()) {
    const size_t slash = std::min(path.find('/'), path.size());
    if (path.substr(0, slash) == "..") return false;
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return true;
}

// The path of the file with the data. Throws Error if the model's text is no valid position.
std::string PathOf(const std::string& model_file, const ExternalTensor& tensor) {
  if (!StaysBelow(tensor.location)) {
    Fail(tensor, "lies outside of the model's folder, which is not allowed");
  }
  if (tensor.offset == kNotANumber || tensor.length == kNotANumber) {
    Fail(tensor, "has an offset or a length that is not a number");
  }
  return model_file.substr(0, model_file.rfind('/') + 1) + tensor.location;
}

// Below this size a block of its own costs more than a copy.
constexpr uint64_t kSharedBytesMin = uint64_t{64} << 10;

// True if sessions use the data in place.
bool IsShared(const ExternalTensor& tensor) {
  return tensor.is_table && ExternalBytes(tensor) >= kSharedBytesMin;
}

void CheckHolds(const FileBytes& file, const ExternalTensor& tensor) {
  if (!file.problem().empty()) {
    Fail(tensor, "cannot be read: " + file.problem() +
                     "; the file belongs into the folder of the .onnx file, under this name");
  }
  const uint64_t bytes = ExternalBytes(tensor);
  if (tensor.offset <= file.size() && bytes <= file.size() - tensor.offset) return;
  Fail(tensor, "is missing: " + std::to_string(bytes) + " bytes from byte " +
                   std::to_string(tensor.offset) + " on are needed, the file has " +
                   std::to_string(file.size()));
}

}  // namespace

uint64_t ExternalBytes(const ExternalTensor& tensor) {
  uint64_t bits = ElementBits(tensor.type);
  if (bits == 0) {
    if (!tensor.length) Fail(tensor, "has an element type that is not known");
    return *tensor.length;
  }
  for (const int64_t size : tensor.shape) {
    if (size < 0 || __builtin_mul_overflow(bits, static_cast<uint64_t>(size), &bits)) {
      Fail(tensor, "has an impossible shape");
    }
  }
  const uint64_t bytes = bits / 8 + (bits % 8 != 0 ? 1 : 0);
  if (tensor.length && *tensor.length != bytes) {
    Fail(tensor, "is " + std::to_string(*tensor.length) + " bytes long; its type and shape need " +
                     std::to_string(bytes));
  }
  if (bytes > kTotalMax) Fail(tensor, "has an impossible shape");
  return bytes;
}

void CheckExternalData(const std::string& model_file, const ExternalTensor& tensor) {
  CheckHolds(FileBytes(PathOf(model_file, tensor)), tensor);
}

void ReadExternalData(const std::string& model_file, const ExternalTensor& tensor, char* to) {
  FileBytes file(PathOf(model_file, tensor));
  CheckHolds(file, tensor);
  if (!file.Read(tensor.offset, ExternalBytes(tensor), to)) Fail(tensor, "cannot be read");
}

ExternalData::ExternalData(const OrtApi& api, const OrtMemoryInfo* memory, const OnnxFile& file,
                           SharedBlocks& shared, OrtSessionOptions* options) {
  if (file.external.empty()) return;
  // All files are checked before the block is reserved, so that a missing file costs no memory.
  for (const ExternalTensor& tensor : file.external) CheckExternalData(file.path, tensor);
  Reserve(file.external);
  std::vector<const char*> names;
  std::vector<const OrtValue*> values;
  for (size_t i = 0; i < file.external.size(); ++i) {
    const ExternalTensor& tensor = file.external[i];
    const bool is_shared = IsShared(tensor);
    void* data = nullptr;
    if (is_shared) {
      data = ReadShared(file, tensor, shared);
    } else {
      data = static_cast<char*>(block_.get()) + offsets_[i];
      ReadExternalData(file.path, tensor, static_cast<char*>(data));
    }
    OrtValue* value = nullptr;
    const std::string what = "initialiser '" + tensor.name + "'";
    api.Check(
        api.CreateTensorWithDataAsOrtValue(memory, data, ExternalBytes(tensor), tensor.shape.data(),
                                           tensor.shape.size(), tensor.type, &value),
        what.c_str());
    (is_shared ? tables_.values : values_)
        .emplace_back(value, Releaser<OrtValue, &OrtApi::ReleaseValue>{&api});
    names.push_back(tensor.name.c_str());
    values.push_back(value);
    // The session then uses the value, and drops the copy that it made for its optimisers.
    if (is_shared) {
      api.Check(api.AddInitializer(options, tensor.name.c_str(), value), what.c_str());
    }
  }
  // Tables, too: without this call the optimisers would open the file themselves.
  api.Check(api.AddExternalInitializers(options, names.data(), values.data(), names.size()),
            "external data");
}

void* ExternalData::ReadShared(const OnnxFile& file, const ExternalTensor& tensor,
                               SharedBlocks& shared) {
  MappedBlock block = MapBlock(ExternalBytes(tensor));
  ReadExternalData(file.path, tensor, static_cast<char*>(block.get()));
  tables_.blocks.push_back(shared.Keep(std::move(block)));
  // The runtime does not write to initialisers, whatever the parameter's type says.
  return const_cast<void*>(tables_.blocks.back().get());
}

void ExternalData::Reserve(std::span<const ExternalTensor> tensors) {
  uint64_t size = 0;
  for (const ExternalTensor& tensor : tensors) {
    // One more alignment for each tensor: so even an empty tensor has an address of its own inside
    // the block.
    const uint64_t bytes = IsShared(tensor) ? 0 : ExternalBytes(tensor);
    offsets_.push_back(size);
    size += (bytes + kAlignment - 1) / kAlignment * kAlignment + kAlignment;
    if (size > kTotalMax) Fail(tensor, "has an impossible shape");
  }
  block_ = MapBlock(size);
}

}  // namespace penstock::onnxruntime
