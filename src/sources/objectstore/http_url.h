// SPDX-License-Identifier: Apache-2.0
// Where a server is, as a variable says it.
#pragma once

#include <string_view>

#include "sources/objectstore/http_client.h"

namespace penstock {

// Takes in [http[s]://]host[:port], without a scheme as `endpoint` has it, and sets its host, port
// and TLS. False if `text` is nothing like it.
bool ParseEndpoint(std::string_view text, HttpEndpoint& endpoint);

}  // namespace penstock
