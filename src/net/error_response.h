// SPDX-License-Identifier: Apache-2.0
// The one layout of errors over HTTP, whoever answers them: that of TensorFlow Serving, whose
// clients read it.
#pragma once

#include <string>
#include <string_view>

#include "net/call.h"

namespace penstock::net {

// {"error": "..."}, indented by 4 spaces. Bytes of `message` that are not UTF-8 become U+FFFD.
std::string ErrorJson(std::string_view message);

// The answer with that body. The caller may add headers.
HttpResponse ErrorResponse(int status, std::string_view message);

}  // namespace penstock::net
