// SPDX-License-Identifier: Apache-2.0
// Collects one body or message. It puts the bytes where the tensor inside is aligned, inflates
// compressed ones, and enforces the limits. HTTP/1.1, HTTP/2 and gRPC all use it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/buffer.h"
#include "base/status.h"
#include "net/body/body_buffer.h"
#include "net/body/gzip.h"
#include "net/body/zstd_codec.h"
#include "net/router.h"

namespace penstock::net {

// Receives the bytes of one body in order. Start begins the next body. Owned by loop. Errors:
// INVALID_ARGUMENT (bad compressed data), OUT_OF_RANGE (over the limit for one body),
// RESOURCE_EXHAUSTED (over the budget for all bodies). After an error the caller must drop the rest
// of the body.
class BodyReceiver final {
 public:
  struct Options {
    std::optional<uint64_t> length;  // of the body as sent, perhaps compressed; nullopt if unknown
    Compression compression = Compression::kNone;
    uint64_t bytes_max = 0;  // the limit for the body, after inflating
    LandingFunction landing = nullptr;
  };

  explicit BodyReceiver(Loop& loop) : loop_(loop) {}
  ~BodyReceiver() { Reset(); }
  BodyReceiver(const BodyReceiver&) = delete;
  BodyReceiver& operator=(const BodyReceiver&) = delete;

  // Begins a body. Allocates no memory yet.
  [[nodiscard]] Status Start(const Options& options);
  // Where the caller may write the next bytes directly, so that Append need not copy them. Empty if
  // that is not possible or not worth it. Valid until the next call.
  std::span<std::byte> Target();
  // Appends the next bytes, which may lie at the start of Target.
  [[nodiscard]] Status Append(std::span<const std::byte> bytes);
  // Returns the body, followed by kBufferSlack readable bytes. The caller must check that as many
  // bytes came as were announced.
  [[nodiscard]] StatusOr<Slice> Finish();
  // Drops the body.
  void Reset();

  uint64_t bytes_received() const { return received_; }

 private:
  bool is_compressed() const { return options_.compression != Compression::kNone; }
  // Makes the reader of a zstd body that begins with `first`.
  [[nodiscard]] Status StartZstd(std::span<const std::byte> first);
  // Decompresses from `input` to `output`, as Inflater::Inflate.
  StatusOr<size_t> Decompress(std::span<const std::byte>& input, std::span<std::byte> output);
  bool is_at_end() const;
  [[nodiscard]] Status Store(std::span<const std::byte> bytes);
  [[nodiscard]] Status Reserve(size_t bytes);
  [[nodiscard]] Status Grow(size_t bytes);
  // The capacity of a buffer for `bytes` of the body. Includes space for the alignment.
  size_t CapacityFor(size_t bytes) const;
  void Land(std::span<const std::byte> prefix);
  // These make an error and count it in the metrics.
  Status OverBudget() const;
  Status NoBuffer(size_t capacity) const;
  Status OverLimit(std::string message) const;

  Loop& loop_;
  Options options_;
  uint64_t received_ = 0;  // bytes received, before inflating
  size_t start_ = 0;       // offset of the body in the buffer
  size_t size_ = 0;        // size of the body so far, inflated
  bool landed_ = false;
  BodyBuffer* buffer_ = nullptr;
  std::unique_ptr<Inflater> inflater_;
  std::unique_ptr<ZstdReader> zstd_;  // from the first bytes of a zstd body to its end
  uint64_t zstd_bytes_ = 0;           // that the budget counts for it
};

}  // namespace penstock::net
