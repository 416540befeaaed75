// SPDX-License-Identifier: Apache-2.0
// What the codes of HTTP and HTTP/2 mean for a gRPC call.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/status.h"
#include "net/client/call.h"

namespace penstock::net {

// The answer of a stream that the server has reset with this code of HTTP/2.
UnaryAnswer AnswerOfReset(uint32_t error_code);

// The answer of a stream that has ended: by its trailers, if they have a status.
UnaryAnswer AnswerOf(const ClientCall& call);

// The answer of a call whose connection is lost.
UnaryAnswer AnswerOfLoss(std::string_view reason, bool is_unprocessed);

// Parses a grpc-status: -1 if it is no number. A number above 16 is UNKNOWN.
int ParseGrpcStatus(std::string_view text);

}  // namespace penstock::net
