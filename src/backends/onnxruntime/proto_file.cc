// SPDX-License-Identifier: Apache-2.0
// An ONNX file may have gigabytes of constants, and the plugin needs only names, shapes and a few
// small values. So it walks over the fields by their lengths, and reads through a small window of
// the file. Of a field that is skipped, no more is read than the window already has.
#include "proto_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace penstock::onnxruntime {
namespace {

// A name in a damaged file may claim any length.
constexpr uint64_t kNameBytesMax = 64 * 1024;

// Calls pread again after EINTR: a timer signals the loading thread (see base/os/give_way.h), and
// some network file systems let a signal interrupt a read.
ssize_t ReadAt(int file, void* to, size_t size, uint64_t at) {
  ssize_t got = 0;
  do {
    got = pread(file, to, size, static_cast<off_t>(at));
  } while (got < 0 && errno == EINTR);
  return got;
}

}  // namespace

FileBytes::FileBytes(const std::string& path) : FileBytes(path, std::nullopt) {}

FileBytes::FileBytes(const std::string& path, std::optional<std::string_view> memory)
    : memory_(memory) {
  if (memory_) {
    size_ = memory_->size();
    return;
  }
  do {
    // O_NONBLOCK: to open a pipe would otherwise wait for a writer.
    file_ = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  } while (file_ < 0 && errno == EINTR);
  struct stat info = {};
  if (file_ < 0 || fstat(file_, &info) != 0) {
    problem_ = std::system_category().message(errno);
  } else if (!S_ISREG(info.st_mode)) {
    problem_ = "it is no regular file";
  } else {
    size_ = static_cast<uint64_t>(info.st_size);
  }
}

FileBytes::~FileBytes() {
  if (file_ >= 0) close(file_);
}

bool FileBytes::Get(uint64_t at, uint8_t& byte) {
  if (memory_) {
    if (at >= size_) return false;
    byte = static_cast<uint8_t>((*memory_)[at]);
    return true;
  }
  if (at < start_ || at - start_ >= filled_) {
    const ssize_t got = ReadAt(file_, window_.data(), window_.size(), at);
    if (got <= 0) return false;
    start_ = at;
    filled_ = static_cast<uint64_t>(got);
  }
  byte = window_[at - start_];
  return true;
}

bool FileBytes::Read(uint64_t at, uint64_t size, char* to) {
  if (memory_) {
    if (at > size_ || size > size_ - at) return false;
    std::copy_n(memory_->data() + at, size, to);
    return true;
  }
  constexpr uint64_t kChunk = uint64_t{1} << 30;  // pread takes no more than 2 GiB
  while (size > 0) {
    const ssize_t got = ReadAt(file_, to, std::min(size, kChunk), at);
    if (got <= 0) return false;
    to += got;
    at += static_cast<uint64_t>(got);
    size -= static_cast<uint64_t>(got);
  }
  return true;
}

bool Fields::Next() {
  start_ = next_;
  uint64_t key = 0;
  if (next_ >= end_) return false;
  // True until the field has been read whole. Every early return leaves it so.
  malformed_ = true;
  if (!Varint(key)) return false;
  number_ = static_cast<uint32_t>(key >> 3);
  has_length_ = (key & 7) == 2;
  switch (key & 7) {
    case 0:
      if (!Varint(value_)) return false;
      break;
    case 1:
      if (!Skip(sizeof(uint64_t))) return false;
      break;
    case 2: {
      uint64_t size = 0;
      if (!Varint(size)) return false;
      begin_ = next_;
      if (!Skip(size)) return false;
      break;
    }
    case 5:
      if (!Skip(sizeof(uint32_t))) return false;
      break;
    default:
      return false;
  }
  malformed_ = false;
  return true;
}

std::string Fields::Text() const {
  std::string text(std::min(size(), kNameBytesMax), '\0');
  for (uint64_t i = 0; i < text.size(); ++i) {
    uint8_t byte = 0;
    if (!file_.Get(begin_ + i, byte)) return text.substr(0, i);
    text[i] = static_cast<char>(byte);
  }
  return text;
}

bool Fields::Skip(uint64_t bytes) {
  // Compare this way round, because `next_ + bytes` may overflow for a length from a damaged file.
  if (bytes > end_ - next_) return false;
  next_ += bytes;
  return true;
}

bool Fields::Varint(uint64_t& value) {
  value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    uint8_t byte = 0;
    if (next_ >= end_ || !file_.Get(next_, byte)) return false;
    ++next_;
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

void AppendVarint(std::string& to, uint64_t value) {
  for (; value >= 0x80; value >>= 7) to.push_back(static_cast<char>(value | 0x80));
  to.push_back(static_cast<char>(value));
}

void AppendNumber(std::string& to, uint32_t number, uint64_t value) {
  AppendVarint(to, uint64_t{number} << 3);
  AppendVarint(to, value);
}

void AppendBytes(std::string& to, uint32_t number, const std::string& bytes) {
  AppendVarint(to, uint64_t{number} << 3 | 2);
  AppendVarint(to, bytes.size());
  to += bytes;
}

}  // namespace penstock::onnxruntime
