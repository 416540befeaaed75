// SPDX-License-Identifier: Apache-2.0
// Compresses and reads zstd (RFC 8878).
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "base/buffer.h"
#include "base/status.h"

namespace penstock::net {

// A frame whose window is larger is refused, as RFC 9659 asks of HTTP.
inline constexpr size_t kZstdWindowBytesMax = 8 << 20;

// Reads one zstd body piece by piece. Several frames in a row count as one body. It takes the
// memory of the frame's window, so make it when the first bytes are there, and drop it with the
// body:
//
//   ASSIGN_OR_RETURN(const size_t window, ZstdReader::WindowOf(first));
//   if (!budget.TryTake(ZstdReader::MemoryFor(window))) return Refuse();
//   ZstdReader reader(window);
//   ASSIGN_OR_RETURN(const size_t written, reader.Read(first, output));
//
// One thread at a time.
class ZstdReader final {
 public:
  // Returns the window of the frame that `first` begins, in bytes. kZstdWindowBytesMax if these are
  // too few bytes to tell, or a skippable frame. INVALID_ARGUMENT if they are no frame, or its
  // window is larger.
  static StatusOr<size_t> WindowOf(std::span<const std::byte> first);
  // The memory in bytes that a reader with this window takes at most.
  static size_t MemoryFor(size_t window_bytes);

  // A frame with a larger window is an error.
  explicit ZstdReader(size_t window_bytes);
  ~ZstdReader();
  ZstdReader(const ZstdReader&) = delete;
  ZstdReader& operator=(const ZstdReader&) = delete;

  // As Inflater::Inflate.
  [[nodiscard]] StatusOr<size_t> Read(std::span<const std::byte>& input,
                                      std::span<std::byte> output);
  // True if the input ended at the end of a frame.
  bool is_complete() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Compresses `chain` to one frame with a checksum, at the fast level 1. The result shares no memory
// with `chain`. The compressor belongs to the thread. Thread-safe.
ByteChain ZstdCompress(const ByteChain& chain);

}  // namespace penstock::net
