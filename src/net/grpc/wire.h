// SPDX-License-Identifier: Apache-2.0
// The small text and byte formats of gRPC over HTTP/2.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace penstock::net {

// The prefix of a message on the wire: one byte says whether it is compressed, four bytes give its
// length.
inline constexpr size_t kGrpcPrefixBytes = 5;
// The longest encoded grpc-message. gRPC C-core clients refuse trailers over 8 KiB.
inline constexpr size_t kGrpcMessageBytesMax = 4096;
// A longer grpc-timeout is cut to this, so that adding it to the time cannot overflow.
inline constexpr Duration kGrpcTimeoutMax = std::chrono::hours(24 * 365);

// Parses a grpc-timeout value such as "250m": 1 to 8 digits and a unit of H (hours), M (minutes),
// S, m (milliseconds), u, n. Returns nullopt if it is malformed.
std::optional<Duration> ParseGrpcTimeout(std::string_view text);

// Encodes a grpc-timeout value, rounded down, but never to zero. A longer one than kGrpcTimeoutMax
// is cut to that.
std::string FormatGrpcTimeout(Duration timeout);

// Decodes a grpc-message value: %XX becomes a byte. What is no such triple stays as it is.
std::string DecodeGrpcMessage(std::string_view text);

// Encodes `message` as a grpc-message value: printable ASCII, other bytes as %XX. A text that is
// too long is cut between two characters, and ends in "...".
std::string EncodeGrpcMessage(std::string_view message);

// The prefix of a message of this many bytes: a flag, and the length in big-endian order.
std::array<std::byte, kGrpcPrefixBytes> MakeGrpcPrefix(bool is_compressed, uint32_t bytes);

// True if the content-type is that of gRPC: "application/grpc", perhaps followed by "+proto" or a
// parameter.
bool IsGrpcContentType(std::string_view content_type);

// True if a list like grpc-accept-encoding ("identity, gzip") contains `name`.
bool ListContains(std::string_view list, std::string_view name);

}  // namespace penstock::net
