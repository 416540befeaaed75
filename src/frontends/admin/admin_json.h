// SPDX-License-Identifier: Apache-2.0
// Helpers for the pages of this folder. Thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "net/call.h"

namespace penstock {

// Formats a JSON string with its quotes.
std::string JsonQuoted(std::string_view text);

// Makes an answer that must not be cached, and appends a line feed.
net::HttpResponse JsonResponse(int status, std::string_view text);
net::HttpResponse JsonResponse(int status, ByteChain text);

// Makes an error that must not be cached, in the layout of all errors of the server.
net::HttpResponse UncachedError(int status, std::string_view message);

}  // namespace penstock
