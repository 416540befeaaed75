// SPDX-License-Identifier: Apache-2.0
// Parses the address of a server in an environment variable.
#pragma once

#include <string_view>

#include "s3/http_client.h"

namespace penstock {

// Parses [http[s]://]host[:port], and sets host, port and TLS of `endpoint`. Without a scheme its
// TLS setting stays. Returns false if `text` has another form.
bool ParseEndpoint(std::string_view text, HttpEndpoint& endpoint);

}  // namespace penstock
