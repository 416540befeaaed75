// SPDX-License-Identifier: Apache-2.0
// The first lines of HTTP/1.1 answers.
#pragma once

#include <string_view>

namespace penstock::net {

// "HTTP/1.1 404 Not Found\r\n". An unknown status reads as "Unknown".
std::string_view StatusLine(int status);

}  // namespace penstock::net
