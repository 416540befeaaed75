// SPDX-License-Identifier: Apache-2.0
#include "onnx_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>

namespace penstock::onnxruntime {
namespace {

// Field numbers of ONNX's messages.
enum : uint32_t { kModelGraph = 7 };
enum : uint32_t { kGraphInput = 11, kGraphOutput = 12 };
enum : uint32_t { kValueName = 1, kValueType = 2 };
enum : uint32_t { kTypeTensor = 1 };
enum : uint32_t { kTensorShape = 2 };
enum : uint32_t { kShapeDim = 1 };

// More than any name has; against sizes in a file that is none.
constexpr uint64_t kNameBytesMax = 64 * 1024;

// The bytes of a file, through a window: not mapped, because a mapped file that shrinks ends the
// process. One thread at a time.
class FileBytes final {
 public:
  explicit FileBytes(const std::string& path) {
    // Some network file systems let a signal end it.
    do {
      file_ = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    } while (file_ < 0 && errno == EINTR);
    struct stat info = {};
    if (file_ >= 0 && fstat(file_, &info) == 0 && S_ISREG(info.st_mode)) {
      size_ = static_cast<uint64_t>(info.st_size);
    }
  }
  ~FileBytes() {
    if (file_ >= 0) close(file_);
  }
  FileBytes(const FileBytes&) = delete;
  FileBytes& operator=(const FileBytes&) = delete;

  uint64_t size() const { return size_; }

  // False if there is no such byte.
  bool Get(uint64_t at, uint8_t& byte) {
    if (at < start_ || at - start_ >= filled_) {
      const ssize_t got = pread(file_, window_.data(), window_.size(), static_cast<off_t>(at));
      if (got <= 0) return false;
      start_ = at;
      filled_ = static_cast<uint64_t>(got);
    }
    byte = window_[at - start_];
    return true;
  }

 private:
  int file_ = -1;
  uint64_t size_ = 0;
  uint64_t start_ = 0;
  uint64_t filled_ = 0;
  std::array<uint8_t, 16 * 1024> window_;
};

// The fields of the message between two positions, in order. Malformed bytes end it early. One
// thread at a time.
class Fields final {
 public:
  Fields(FileBytes& file, uint64_t begin, uint64_t end) : file_(file), next_(begin), end_(end) {}

  // Moves to the next field that has a length; false at the end.
  bool Next() {
    uint64_t key = 0;
    while (next_ < end_ && Varint(key)) {
      field_ = static_cast<uint32_t>(key >> 3);
      uint64_t value = 0;
      switch (key & 7) {
        case 0:
          if (!Varint(value)) return false;
          break;
        case 1:
          next_ += sizeof(uint64_t);
          break;
        case 2:
          if (!Varint(size_) || next_ > end_ || size_ > end_ - next_) return false;
          begin_ = next_;
          next_ += size_;
          return true;
        case 5:
          next_ += sizeof(uint32_t);
          break;
        default:
          return false;
      }
    }
    return false;
  }
  uint32_t field() const { return field_; }
  Fields Inside() const { return {file_, begin_, begin_ + size_}; }
  std::string Text() const {
    std::string text;
    uint8_t byte = 0;
    for (uint64_t i = 0; i < size_ && i < kNameBytesMax && file_.Get(begin_ + i, byte); ++i) {
      text.push_back(static_cast<char>(byte));
    }
    return text;
  }

 private:
  bool Varint(uint64_t& value) {
    value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      uint8_t byte = 0;
      if (next_ >= end_ || !file_.Get(next_++, byte)) return false;
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }

  FileBytes& file_;
  uint64_t next_;
  const uint64_t end_;
  uint32_t field_ = 0;
  uint64_t begin_ = 0;
  uint64_t size_ = 0;
};

// True if a tensor's type has a shape, and that no dimension.
bool IsScalarType(Fields type) {
  while (type.Next()) {
    if (type.field() != kTypeTensor) continue;
    for (Fields tensor = type.Inside(); tensor.Next();) {
      if (tensor.field() != kTensorShape) continue;
      for (Fields shape = tensor.Inside(); shape.Next();) {
        if (shape.field() == kShapeDim) return false;
      }
      return true;
    }
  }
  return false;
}

void AddIfScalar(Fields value, std::set<std::string, std::less<>>& scalars) {
  std::string name;
  bool is_scalar = false;
  while (value.Next()) {
    if (value.field() == kValueName) name = value.Text();
    if (value.field() == kValueType) is_scalar = IsScalarType(value.Inside());
  }
  if (is_scalar) scalars.insert(std::move(name));
}

}  // namespace

std::set<std::string, std::less<>> ReadScalars(const std::string& path) {
  std::set<std::string, std::less<>> scalars;
  FileBytes file(path);
  for (Fields model(file, 0, file.size()); model.Next();) {
    if (model.field() != kModelGraph) continue;
    for (Fields graph = model.Inside(); graph.Next();) {
      if (graph.field() == kGraphInput || graph.field() == kGraphOutput) {
        AddIfScalar(graph.Inside(), scalars);
      }
    }
  }
  return scalars;
}

}  // namespace penstock::onnxruntime
