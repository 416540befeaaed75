// SPDX-License-Identifier: Apache-2.0
// Compresses and inflates gzip and zlib data, which differ in their head and checksum.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/buffer.h"
#include "base/status.h"

namespace penstock::net {

// The form of a body or message.
enum class Compression : uint8_t {
  kNone,
  kGzip,
  kZlib,  // RFC 1950; gRPC calls it "deflate"
  kZstd,  // see zstd_codec.h
};

// Inflates one stream piece by piece. Several gzip members in a row count as one stream (RFC 1952,
// section 2.2). It has about 40 KiB of state, so it is reused by Reset. Output is not limited here:
// the caller limits it by `output`, and must count what it has got.
//
//   inflater.Reset(Compression::kGzip);
//   for (each piece of input)
//     do written = inflater.Inflate(piece, output);  while (*written == output.size());
//
// One thread at a time.
class Inflater final {
 public:
  Inflater();
  ~Inflater();
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  // Starts a new stream, of gzip or zlib data.
  void Reset(Compression form = Compression::kGzip);
  // Inflates from `input` to `output`, and removes the used bytes from `input`. Returns how many
  // bytes were written. This is less than output.size() only if the input is used up.
  // INVALID_ARGUMENT if the data is wrong, or goes on after the end of zlib data; then Reset must
  // come before the next call.
  [[nodiscard]] StatusOr<size_t> Inflate(std::span<const std::byte>& input,
                                         std::span<std::byte> output);
  // True if the input ended at the end of a member, or of the zlib data.
  bool is_complete() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Compress `chain` at the fast level 1: to one gzip member (RFC 1952), and to zlib data (RFC 1950).
// The result shares no memory with `chain`, and its memory is not counted in the budget. The state
// of about 260 KiB belongs to the thread. Thread-safe.
ByteChain GzipCompress(const ByteChain& chain);
ByteChain ZlibCompress(const ByteChain& chain);

}  // namespace penstock::net
