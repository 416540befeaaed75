// SPDX-License-Identifier: Apache-2.0
// Reads Content-Encoding and Accept-Encoding.
#pragma once

#include <span>
#include <string_view>

#include "net/headers.h"

namespace penstock::net {

// The codings that the server can read. kOther is refused with 415.
enum class Coding { kIdentity, kGzip, kZstd, kOther };

// Returns the coding of a request's body. `named` gets the value of its Content-Encoding, for
// messages; it points to the headers or to static storage. A body with two codings is kOther: each
// could inflate a thousandfold.
Coding BodyCoding(std::span<const Header> headers, std::string_view& named);

// Returns the coding of a compressed answer for a client with this Accept-Encoding (RFC 9110,
// section 12.5.3): kZstd, kGzip, or kIdentity if it accepts none of them or prefers a plain answer.
// The highest quality wins; zstd comes before gzip if both have the same.
Coding AnswerCoding(std::string_view accept_encoding);

}  // namespace penstock::net
