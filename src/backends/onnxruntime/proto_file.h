// SPDX-License-Identifier: Apache-2.0
// Reads the fields of a protobuf message that lies in a file, without the message's schema and
// without holding the file in memory.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace penstock::onnxruntime {

// The bytes of a file, read through a small window. The file is not mapped, because a mapped file
// that is truncated ends the process. Or bytes in memory. One thread at a time.
class FileBytes final {
 public:
  // A file that cannot be read has no bytes, and a problem.
  explicit FileBytes(const std::string& path);
  // Reads `path`, or `memory` if there is one, which must outlive this.
  FileBytes(const std::string& path, std::optional<std::string_view> memory);
  ~FileBytes();
  FileBytes(const FileBytes&) = delete;
  FileBytes& operator=(const FileBytes&) = delete;

  uint64_t size() const { return size_; }
  // Why the file cannot be read, as "No such file or directory"; else empty.
  const std::string& problem() const { return problem_; }
  // False if there is no such byte.
  bool Get(uint64_t at, uint8_t& byte);
  // Copies `size` bytes. False if the file ends before, or cannot be read.
  bool Read(uint64_t at, uint64_t size, char* to);

 private:
  const std::optional<std::string_view> memory_;
  int file_ = -1;
  uint64_t size_ = 0;
  std::string problem_;
  uint64_t start_ = 0;
  uint64_t filled_ = 0;
  std::array<uint8_t, 16 * 1024> window_;
};

// Iterates over the fields of the message between two offsets of `file`, which must outlive it.
//
//   FileBytes file(path);
//   for (Fields model(file, 0, file.size()); model.Next();)
//     if (model.number() == kModelGraph) ReadGraph(model.Inside());
//
// A copy is cheap and starts at the same field. Malformed bytes end the iteration early; see
// IsWhole. One thread at a time.
class Fields final {
 public:
  Fields(FileBytes& file, uint64_t begin, uint64_t end) : file_(file), next_(begin), end_(end) {}

  // Moves to the next field; false at the end.
  bool Next();
  // After the last Next: true if all bytes were read, false if it stopped at malformed ones.
  bool IsWhole() const { return next_ == end_ && !malformed_; }

  uint32_t number() const { return number_; }
  // True if the field holds a message, a text or packed numbers.
  bool HasLength() const { return has_length_; }
  uint64_t value() const { return value_; }  // of a varint
  uint64_t start() const { return start_; }  // of the field with its key
  uint64_t next() const { return next_; }    // behind the field
  uint64_t begin() const { return begin_; }  // of what a field with a length holds
  uint64_t size() const { return next_ - begin_; }
  Fields Inside() const { return {file_, begin_, next_}; }
  // The contents of a field with a length, cut off at 64 KiB. No name is longer, and in a file that
  // is no model a length means nothing: it must not make the server allocate gigabytes.
  std::string Text() const;
  // As Next, for a field of packed numbers.
  bool NextPacked(uint64_t& value) { return next_ < end_ && Varint(value); }

 private:
  bool Varint(uint64_t& value);
  bool Skip(uint64_t bytes);

  FileBytes& file_;
  uint64_t next_;
  const uint64_t end_;
  bool malformed_ = false;
  uint32_t number_ = 0;
  bool has_length_ = false;
  uint64_t value_ = 0;
  uint64_t start_ = 0;
  uint64_t begin_ = 0;
};

// Append a field to a message.
void AppendVarint(std::string& to, uint64_t value);
void AppendNumber(std::string& to, uint32_t number, uint64_t value);
void AppendBytes(std::string& to, uint32_t number, const std::string& bytes);

}  // namespace penstock::onnxruntime
