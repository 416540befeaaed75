// SPDX-License-Identifier: Apache-2.0
// Cuts the bytes of a gRPC request into messages: the five bytes in front of each say how long it
// is, so that it lands in its final buffer with one copy.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/status.h"
#include "net/body_receiver.h"
#include "net/grpc_wire.h"

namespace penstock::net {

// Errors: INTERNAL (framing, bad compressed data), RESOURCE_EXHAUSTED (a message over the limit, or
// all bodies together over the budget). After an error it takes nothing until Start. Owned by loop.
class GrpcMessageReader final {
 public:
  struct Options {
    bool gzip = false;  // what grpc-encoding says
    uint64_t bytes_max = 0;
    LandingFunction landing = nullptr;
  };

  explicit GrpcMessageReader(Loop& loop) : loop_(loop), receiver_(loop) {}

  void Start(const Options& options);
  // Takes bytes up to the end of a message; returns how many. Takes none while has_message().
  [[nodiscard]] StatusOr<size_t> Take(std::span<const std::byte> bytes);

  bool has_message() const { return has_message_; }
  // The message, kBufferSlack readable bytes behind it; the next one can be taken after that.
  Slice TakeMessage();
  // True if the request may end here.
  bool is_between_messages() const { return prefix_size_ == 0 && !has_message_; }
  // Whether any message came compressed.
  bool has_seen_compressed() const { return has_seen_compressed_; }
  // Drops what has been gathered.
  void Reset();

 private:
  [[nodiscard]] Status BeginMessage();
  [[nodiscard]] Status EndMessage();

  Loop& loop_;
  BodyReceiver receiver_;
  Options options_;
  std::array<std::byte, kGrpcPrefixBytes> prefix_ = {};
  size_t prefix_size_ = 0;
  uint64_t left_ = 0;  // bytes of the message that are still to come, once the prefix is complete
  bool has_message_ = false;
  bool has_seen_compressed_ = false;
  Slice message_;
};

}  // namespace penstock::net
