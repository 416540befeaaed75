// SPDX-License-Identifier: Apache-2.0
// Answers to clients of GraphPipe.
#pragma once

#include <string>
#include <string_view>

#include "base/buffer.h"
#include "base/status.h"
#include "infer/engine.h"
#include "net/call.h"

namespace penstock::graphpipe {

// Answers with a message of GraphPipe.
void RespondMessage(net::HttpCall& call, ByteChain message, net::OwnedHeaders headers = {});
// Answers with a text for people.
void RespondText(net::HttpCall& call, int status, std::string_view text);
// Answers with the text of `status`, and the HTTP status for its code. Clients in Go show both, and
// those in Python raise them. REQUIRES: the call has no answer yet.
void RespondError(net::HttpCall& call, const Status& status);
// Answers with an InferResponse that has the error. Its code is the HTTP status that RespondError
// would have given. HTTP's Retry-After comes with it, because messages have no field for it.
void RespondInBandError(net::HttpCall& call, const Status& status);
// Answers 405 with the methods that GraphPipe has.
void RespondMethodNotAllowed(net::HttpCall& call);

}  // namespace penstock::graphpipe
