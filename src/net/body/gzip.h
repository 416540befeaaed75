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

// Inflates one stream piece by piece. Several gzip members in a row count as one stream. One thread
// at a time.
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
  [[nodiscard]] StatusOr<size_t> Inflate(std::span<const std::byte>& input,
                                         std::span<std::byte> output);
  // True if the input ended at the end of a member, or of the zlib data.
  bool is_complete() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Compress `chain` at the fast level 1: to one gzip member, and to zlib data.
ByteChain GzipCompress(const ByteChain& chain);
ByteChain ZlibCompress(const ByteChain& chain);

}  // namespace penstock::net
