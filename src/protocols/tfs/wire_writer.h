// SPDX-License-Identifier: Apache-2.0
// Writes protobuf's wire format into memory whose size the caller has computed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/buffer.h"
#include "base/encoding/proto_writer.h"
#include "protocols/tfs/wire_reader.h"

namespace penstock::tfs {

// The bytes of a length-delimited field: tag, length, content.
constexpr uint64_t LengthFieldBytes(uint32_t field, uint64_t content_bytes) {
  return VarintBytes(MakeTag(field, WireType::kLength)) + VarintBytes(content_bytes) +
         content_bytes;
}

// A cursor that writes. The caller makes sure that there is enough space: nothing here checks it.
// One thread at a time.
class WireWriter {
 public:
  explicit WireWriter(std::byte* at) : at_(at) {}

  // Where the next byte goes.
  std::byte* at() const { return at_; }
  void Varint(uint64_t value) {
    while (value >= 0x80) {
      *at_++ = static_cast<std::byte>(value | 0x80);
      value >>= 7;
    }
    *at_++ = static_cast<std::byte>(value);
  }
  // Writes a tag and a varint. A negative int64 is cast to uint64, and takes 10 bytes, as in
  // protobuf.
  void VarintField(uint32_t field, uint64_t value) {
    Varint(MakeTag(field, WireType::kVarint));
    Varint(value);
  }
  // Writes the tag and the length; write the content next.
  void LengthHeader(uint32_t field, uint64_t content_bytes) {
    Varint(MakeTag(field, WireType::kLength));
    Varint(content_bytes);
  }
  // Copies raw bytes, without a tag.
  void Bytes(const void* data, size_t size) {
    if (size > 0) std::memcpy(at_, data, size);
    at_ += size;
  }
  void BytesField(uint32_t field, std::string_view bytes) {
    LengthHeader(field, bytes.size());
    Bytes(bytes.data(), bytes.size());
  }

 private:
  std::byte* at_;
};

// Writes small parts into one buffer, between slices that are sent without a copy.
//
//   ChainWriter out(buffer);               // as large as all parts that are not gathered
//   out.wire().LengthHeader(1, 5000);
//   out.Gather(elements);                  // 5000 bytes that are not copied
//   return out.Finish();
//
// One thread at a time.
class ChainWriter {
 public:
  // `buffer` must have space for all that is written through wire(). The chain keeps it alive.
  explicit ChainWriter(BufferRef buffer)
      : buffer_(std::move(buffer)), start_(buffer_->data()), wire_(start_) {}

  WireWriter& wire() { return wire_; }
  // Adds `slice` without a copy, behind all that was written so far.
  void Gather(Slice slice) {
    Flush();
    chain_.Append(std::move(slice));
  }
  // Returns everything in order. The writer must not be used after it.
  ByteChain Finish() {
    Flush();
    return std::move(chain_);
  }

 private:
  void Flush() {
    chain_.Append({start_, static_cast<size_t>(wire_.at() - start_), buffer_});
    start_ = wire_.at();
  }

  BufferRef buffer_;
  std::byte* start_;  // start of the bytes not yet appended to the chain
  WireWriter wire_;
  ByteChain chain_;
};

}  // namespace penstock::tfs
