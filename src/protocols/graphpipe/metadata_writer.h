// SPDX-License-Identifier: Apache-2.0
// Describes a model to clients of GraphPipe.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/buffer.h"
#include "infer/signature.h"

namespace penstock::graphpipe {

// The facts that a MetadataResponse has. The views outlive the call that uses them.
struct ServerFacts {
  std::string_view model;
  std::string_view server;
  std::string_view version;      // of the server
  std::string_view description;  // of the model, for people
  std::span<const TensorSpec> inputs;
  std::span<const TensorSpec> outputs;
};

// Writes a MetadataResponse. A dimension of any size is -1; so is the only dimension of a tensor of
// any rank, whose description says so.
ByteChain WriteMetadataResponse(const ServerFacts& facts);

// The same as JSON, for people: indented, in the form that GraphPipe's own servers have.
std::string MetadataJson(const ServerFacts& facts);

}  // namespace penstock::graphpipe
