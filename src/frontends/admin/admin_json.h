// SPDX-License-Identifier: Apache-2.0
// What the pages of this folder have in common. Thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "net/call.h"

namespace penstock {

// As a JSON string, with its quotes.
std::string JsonQuoted(std::string_view text);

// An answer that nobody keeps; a line feed is added.
net::HttpResponse JsonResponse(int status, std::string_view text);
net::HttpResponse JsonResponse(int status, ByteChain text);

// The same for an error, in the layout that all of the server has.
net::HttpResponse UncachedError(int status, std::string_view message);

}  // namespace penstock
