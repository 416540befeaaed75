// SPDX-License-Identifier: Apache-2.0
// What Content-Encoding and Accept-Encoding say.
#pragma once

#include <span>
#include <string_view>

#include "net/headers.h"

namespace penstock::net {

enum class Coding { kIdentity, kGzip, kOther };

// How the body of a request with these fields is coded. `named`: what its Content-Encoding says.
Coding BodyCoding(std::span<const Header> headers, std::string_view& named);

// Whether a client with this Accept-Encoding takes gzip.
bool AcceptsGzip(std::string_view accept_encoding);

}  // namespace penstock::net
