// SPDX-License-Identifier: Apache-2.0
// Gathers one body or message: puts its bytes where the tensor inside is aligned, inflates gzip,
// keeps to the limits. Used by HTTP/1.1, HTTP/2 and gRPC alike.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/buffer.h"
#include "base/status.h"
#include "net/body_buffer.h"
#include "net/gzip.h"
#include "net/router.h"

namespace penstock::net {

// Takes the bytes of one body in order. Reusable: Start begins the next one. Owned by loop.
// Errors: INVALID_ARGUMENT (bad gzip data), OUT_OF_RANGE (over the limit for one body),
// RESOURCE_EXHAUSTED (over the budget for all bodies); after one of them the rest of the body must
// be dropped by the caller.
class BodyReceiver final {
 public:
  struct Options {
    std::optional<uint64_t> length;  // of the bytes to come, still compressed; none if unknown
    bool gzip = false;
    uint64_t bytes_max = 0;  // of the body, after inflating
    LandingFunction landing = nullptr;
  };

  explicit BodyReceiver(Loop& loop) : loop_(loop) {}
  ~BodyReceiver() { Reset(); }
  BodyReceiver(const BodyReceiver&) = delete;
  BodyReceiver& operator=(const BodyReceiver&) = delete;

  // Takes no memory yet.
  [[nodiscard]] Status Start(const Options& options);
  // Where the next bytes may be written to directly, instead of being copied by Append; empty if
  // that does not pay or is not possible. Valid until the next call.
  std::span<std::byte> Target();
  // The next bytes, which may lie at the start of Target.
  [[nodiscard]] Status Append(std::span<const std::byte> bytes);
  // The body, kBufferSlack readable bytes behind it. Fewer bytes than announced are the caller's
  // error.
  [[nodiscard]] StatusOr<Slice> Finish();
  // Drops what has been gathered.
  void Reset();

  uint64_t bytes_received() const { return received_; }

 private:
  [[nodiscard]] Status Store(std::span<const std::byte> bytes);
  [[nodiscard]] Status Reserve(size_t bytes);
  [[nodiscard]] Status Grow(size_t bytes);
  // Of a buffer that is to hold `bytes` of the body, and is not too small to land it.
  size_t CapacityFor(size_t bytes) const;
  void Land(std::span<const std::byte> prefix);
  // Errors, which are counted.
  Status OverBudget() const;
  Status OverLimit(std::string message) const;

  Loop& loop_;
  Options options_;
  uint64_t received_ = 0;  // as sent
  size_t start_ = 0;       // of the body in the buffer
  size_t size_ = 0;        // of the body so far, inflated
  bool landed_ = false;
  BodyBuffer* buffer_ = nullptr;
  std::unique_ptr<Inflater> inflater_;
};

}  // namespace penstock::net
