// SPDX-License-Identifier: Apache-2.0
// The id by which a request is told from others, in answers and in log lines.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "net/call.h"

namespace penstock::net {

inline constexpr std::string_view kRequestIdField = "x-request-id";

// Room for an id of ours.
using RequestIdText = std::array<char, 16>;

// The client's own x-request-id if it may stand in a header and a log line (up to 128 visible ASCII
// characters), else ours. A view of the call's head or of `own`.
std::string_view RequestIdOf(const Call& call, RequestIdText& own);

// Who makes the call, for log lines about what it changes: "127.0.0.1:40122 (request 1f)".
std::string CallerOf(const Call& call);

}  // namespace penstock::net
