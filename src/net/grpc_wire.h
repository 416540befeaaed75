// SPDX-License-Identifier: Apache-2.0
// The small text and byte forms of gRPC over HTTP/2.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace penstock::net {

// A message on the wire: one byte that says whether it is compressed, four that say its length.
inline constexpr size_t kGrpcPrefixBytes = 5;
// Longest encoded grpc-message: C-core clients refuse trailers over 8 KiB.
inline constexpr size_t kGrpcMessageBytesMax = 4096;
// A longer grpc-timeout counts as this much, so that sums with the clock do not overflow.
inline constexpr Duration kGrpcTimeoutMax = std::chrono::hours(24 * 365);

// A grpc-timeout value as "250m": 1 to 8 digits and a unit of H, M, S, m, u, n. None if malformed.
std::optional<Duration> ParseGrpcTimeout(std::string_view text);

// `message` as a grpc-message value: printable ASCII, the rest as %XX. What does not fit is cut off
// between two characters and shown as "...".
std::string EncodeGrpcMessage(std::string_view message);

std::array<std::byte, kGrpcPrefixBytes> MakeGrpcPrefix(bool is_compressed, uint32_t bytes);

// Whether a content-type means gRPC: "application/grpc", and "+proto" or a parameter behind it.
bool IsGrpcContentType(std::string_view content_type);

// Whether a list as in grpc-accept-encoding ("identity, gzip") contains `name`.
bool ListContains(std::string_view list, std::string_view name);

}  // namespace penstock::net
