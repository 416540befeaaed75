// SPDX-License-Identifier: Apache-2.0
// How it works. A gRPC message comes after five bytes: a flag for compression and the length
// (big-endian). The frames of HTTP/2 do not respect these borders, so both the prefix and the
// message may come in pieces. Take stops at the end of a message, so that a streaming call hands
// over one message at a time and leaves the rest to the client's window.
//
// The codes of errors are those of gRPC's own servers: RESOURCE_EXHAUSTED for size, INTERNAL for
// framing. Clients decide by the code whether they try again.
#include "net/grpc/message_reader.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "net/loop/server_state.h"

namespace penstock::net {
namespace {

Status ToGrpcError(const Status& status, uint64_t bytes_max) {
  switch (status.code()) {
    case StatusCode::kOutOfRange:
      return Error(StatusCode::kResourceExhausted,
                   "the message is over the limit of {} bytes after decompression", bytes_max);
    case StatusCode::kInvalidArgument:
      return Error(StatusCode::kInternal, "the compressed message cannot be read: {}",
                   MessageOf(status));
    default:
      return status;
  }
}

}  // namespace

void GrpcMessageReader::Start(const Options& options) {
  Reset();
  options_ = options;
}

void GrpcMessageReader::Reset() {
  receiver_.Reset();
  prefix_size_ = 0;
  left_ = 0;
  has_message_ = false;
  message_ = {};
}

StatusOr<size_t> GrpcMessageReader::Take(std::span<const std::byte> bytes) {
  if (has_message_) return size_t{0};
  size_t taken = 0;
  if (prefix_size_ < kGrpcPrefixBytes) {
    taken = std::min(kGrpcPrefixBytes - prefix_size_, bytes.size());
    if (taken == 0) return taken;
    std::memcpy(prefix_.data() + prefix_size_, bytes.data(), taken);
    prefix_size_ += taken;
    if (prefix_size_ < kGrpcPrefixBytes) return taken;
    TRY(BeginMessage());
  }
  const size_t size = static_cast<size_t>(std::min<uint64_t>(left_, bytes.size() - taken));
  if (size > 0) {
    if (Status status = receiver_.Append(bytes.subspan(taken, size)); !status.ok())
      return ToGrpcError(status, options_.bytes_max);
    left_ -= size;
  }
  if (left_ == 0) TRY(EndMessage());
  return taken + size;
}

Status GrpcMessageReader::BeginMessage() {
  const auto byte = [&](size_t i) { return std::to_integer<uint32_t>(prefix_[i]); };
  left_ = byte(1) << 24 | byte(2) << 16 | byte(3) << 8 | byte(4);
  if (byte(0) > 1)
    return Error(StatusCode::kInternal,
                 "a message begins with byte {}: only 0 (plain) and 1 (compressed) have a meaning",
                 byte(0));
  const bool is_compressed = byte(0) == 1;
  if (is_compressed && options_.compression == Compression::kNone)
    return Error(StatusCode::kInternal,
                 "a message is marked as compressed, but grpc-encoding names no compression");
  if (left_ > options_.bytes_max) {
    loop_.server().metrics.limit_body_bytes.Add();
    return Error(StatusCode::kResourceExhausted,
                 "a message of {} bytes was received; the limit is {} bytes", left_,
                 options_.bytes_max);
  }
  const Status status =
      receiver_.Start({.length = left_,
                       .compression = is_compressed ? options_.compression : Compression::kNone,
                       .bytes_max = options_.bytes_max,
                       .landing = options_.landing});
  return status.ok() ? status : ToGrpcError(status, options_.bytes_max);
}

Status GrpcMessageReader::EndMessage() {
  StatusOr<Slice> message = receiver_.Finish();
  if (!message.ok()) return ToGrpcError(message.status(), options_.bytes_max);
  message_ = *std::move(message);
  has_message_ = true;
  return OkStatus();
}

Slice GrpcMessageReader::TakeMessage() {
  has_message_ = false;
  prefix_size_ = 0;
  return std::exchange(message_, {});
}

}  // namespace penstock::net
