// SPDX-License-Identifier: Apache-2.0
// Builds the bytes of a protobuf message while its content is still being read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/buffer.h"
#include "base/request_memory.h"
#include "base/status.h"
#include "protocols/tfs/wire_writer.h"

namespace penstock::tfs_rest {

// Protobuf writes the length of a sub-message before its content, where it is not known yet. So
// Open leaves five bytes for it, and Close fills them: a varint may have more bytes than it needs.
//
//   size_t opened = 0;
//   if (!builder.Open(kFeatureField, opened) || !builder.BytesField(1, "name")) return false;
//   builder.Close(opened);
//   return builder.Finish();
//
// Sub-messages nest; the last opened one is closed first. Functions that return false have set the
// status. One thread at a time.
class MessageBuilder final {
 public:
  // `memory` outlives it.
  explicit MessageBuilder(RequestMemory& memory) : memory_(memory) {}

  // Begins a sub-message, or another field with a length. Returns where, for Close.
  bool Open(uint32_t field, size_t& opened) {
    if (!Reserve(kVarintBytesMax + kLengthBytes)) return false;
    tfs::WireWriter out(end_);
    out.Varint(tfs::MakeTag(field, tfs::WireType::kLength));
    end_ = out.at() + kLengthBytes;
    opened = Size();
    return true;
  }
  // Ends the sub-message, which must be the one that was opened last. Fills in its length.
  void Close(size_t opened) {
    size_t length = Size() - opened;
    std::byte* const to = buffer_->data() + opened - kLengthBytes;
    for (size_t i = 0; i < kLengthBytes; ++i, length >>= 7) {
      to[i] = static_cast<std::byte>((length & 0x7F) | (i + 1 < kLengthBytes ? 0x80 : 0));
    }
  }
  // These append one field or one value. Varint and Float write no tag: they are for packed lists.
  bool BytesField(uint32_t field, std::string_view bytes) {
    if (!Reserve(2 * kVarintBytesMax + bytes.size())) return false;
    tfs::WireWriter out(end_);
    out.BytesField(field, bytes);
    end_ = out.at();
    return true;
  }
  bool Varint(uint64_t value) {
    if (!Reserve(kVarintBytesMax)) return false;
    tfs::WireWriter out(end_);
    out.Varint(value);
    end_ = out.at();
    return true;
  }
  bool Float(float value) {
    if (!Reserve(sizeof value)) return false;
    std::memcpy(end_, &value, sizeof value);
    end_ += sizeof value;
    return true;
  }

  const Status& status() const { return status_; }
  // The message. Call it once, at the end.
  Slice Finish() {
    const size_t size = Size();
    return {size == 0 ? nullptr : buffer_->data(), size, std::move(buffer_)};
  }

 private:
  static constexpr size_t kVarintBytesMax = 10;
  static constexpr size_t kLengthBytes = 5;

  size_t Size() const { return buffer_ ? static_cast<size_t>(end_ - buffer_->data()) : 0; }
  bool Reserve(size_t bytes) { return static_cast<size_t>(limit_ - end_) >= bytes || Grow(bytes); }
  // Moves the message to a larger buffer. So keep offsets, and no pointers into it.
  bool Grow(size_t bytes);

  RequestMemory& memory_;
  BufferRef buffer_;
  std::byte* end_ = nullptr;
  std::byte* limit_ = nullptr;
  Status status_;
};

}  // namespace penstock::tfs_rest
