// SPDX-License-Identifier: Apache-2.0
// Answers to clients of the REST API.
#pragma once

#include <string>
#include <string_view>

#include "base/buffer.h"
#include "base/status.h"
#include "infer/engine.h"
#include "net/call.h"

namespace penstock::tfs_rest {

// Answers with `body`, which is JSON.
void RespondJson(net::HttpCall& call, ByteChain body, int status = 200);
// Returns the answer of a model, whose body is JSON. The headers name the model, the
// version and the arm.
net::HttpResponse AnswerOf(const ModelHandle& model, ByteChain&& body);
// Answers {"error": "..."} with the HTTP status that TensorFlow Serving has for the code. REQUIRES:
// the call has no answer yet.
void RespondError(net::HttpCall& call, const Status& status);
// The server-sent event that ends a stream with an error.
std::string ErrorEvent(const Status& status);
// Answers 405. `allowed` is for example "GET, HEAD".
void RespondMethodNotAllowed(net::HttpCall& call, std::string_view allowed);

}  // namespace penstock::tfs_rest
