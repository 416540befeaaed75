// SPDX-License-Identifier: Apache-2.0
// The first lines of HTTP/1.1 answers.
#pragma once

#include <string_view>

namespace penstock::net {

// "HTTP/1.1 404 Not Found\r\n". A status from 100 to 599 without a name reads as "Unknown"; any
// other one becomes 500. Static storage. Thread-safe.
std::string_view StatusLine(int status);

}  // namespace penstock::net
