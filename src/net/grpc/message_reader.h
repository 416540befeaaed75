// SPDX-License-Identifier: Apache-2.0
// Splits the bytes of a gRPC request into messages. The five bytes before each message give its
// length, so it can be received into its final buffer with one copy.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/status.h"
#include "net/body/body_receiver.h"
#include "net/grpc/wire.h"

namespace penstock::net {

// Reads messages one after the other.
//
//   reader.Start({.compression = compression, .bytes_max = limit});
//   while (!bytes.empty()) {
//     ASSIGN_OR_RETURN(const size_t used, reader.Take(bytes));
//     bytes = bytes.subspan(used);
//     if (reader.has_message()) Handle(reader.TakeMessage());
//   }
//
// Errors: INTERNAL (framing, bad compressed data), RESOURCE_EXHAUSTED (a message over the limit, or
// all bodies together over the budget). These are the codes of gRPC's own servers. After an error,
// call Start before using it again. Owned by loop.
class GrpcMessageReader final {
 public:
  struct Options {
    Compression compression = Compression::kNone;  // of grpc-encoding
    uint64_t bytes_max = 0;
    LandingFunction landing = nullptr;
  };

  explicit GrpcMessageReader(Loop& loop) : loop_(loop), receiver_(loop) {}

  // Begins a new request. Drops an unfinished message.
  void Start(const Options& options);
  // Reads bytes up to the end of a message. Returns how many it used; 0 while has_message().
  [[nodiscard]] StatusOr<size_t> Take(std::span<const std::byte> bytes);

  bool has_message() const { return has_message_; }
  // Returns the message, followed by kBufferSlack readable bytes. The slice owns it. After that the
  // next message can be read. REQUIRES: has_message().
  Slice TakeMessage();
  // True if the request may end here.
  bool is_between_messages() const { return prefix_size_ == 0 && !has_message_; }
  // Drops the unfinished message.
  void Reset();

 private:
  [[nodiscard]] Status BeginMessage();
  [[nodiscard]] Status EndMessage();

  Loop& loop_;
  BodyReceiver receiver_;
  Options options_;
  std::array<std::byte, kGrpcPrefixBytes> prefix_ = {};
  size_t prefix_size_ = 0;
  uint64_t left_ = 0;  // missing bytes of the message, once the prefix is complete
  bool has_message_ = false;
  Slice message_;
};

}  // namespace penstock::net
