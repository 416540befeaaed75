// SPDX-License-Identifier: Apache-2.0
// The id of a request in answers and log lines.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "net/call.h"

namespace penstock::net {

// The field by which a client names its request, and by which the answer repeats the name that the
// logs use.
inline constexpr std::string_view kRequestIdField = "x-request-id";

// Space for an id made by the server.
using RequestIdText = std::array<char, 16>;

// Returns the client's x-request-id if it is safe in a header and a log line (up to 128 visible
// ASCII characters). Otherwise returns the server's id. The result points to the call's head or to
// `own`.
std::string_view RequestIdOf(const Call& call, RequestIdText& own);

// Describes the caller in log lines about changes: "127.0.0.1:40122 (request 1f)", or with a token
// file "'team' at 127.0.0.1:40122 (request 1f)".
std::string CallerOf(const Call& call);

// Writes the audit line for a change that is refused for want of a right, if a caller of the token
// file asks for it. Others could fill the log; they are only counted. `what` is for example "admin
// API".
void AuditRefusal(const Call& call, std::string_view what, const Status& status);

}  // namespace penstock::net
