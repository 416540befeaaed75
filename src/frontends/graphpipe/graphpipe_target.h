// SPDX-License-Identifier: Apache-2.0
// Parses the paths of the front end for GraphPipe.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "core/servable.h"
#include "infer/request.h"

namespace penstock::graphpipe {

// What a URL names. Without version and label, the server chooses the version. GraphPipe's messages
// name no model, so all of it is in the URL.
struct GraphPipeTarget {
  std::string name;  // decoded
  std::optional<core::VersionNumber> version;
  std::string label;           // decoded; at most one of version and label
  std::string signature_name;  // empty: the default signature
};

// The model, the version and the label. The views live as long as `target`.
inline ModelSelector SelectorOf(const GraphPipeTarget& target) {
  return {target.name, target.version, target.label};
}

// Parses "/graphpipe/NAME", "/graphpipe/NAME/versions/NUMBER" or "/graphpipe/NAME/labels/LABEL", as
// it was received. Errors: NOT_FOUND (no such path), INVALID_ARGUMENT (a version that is no number,
// wrong percent-encoding).
StatusOr<GraphPipeTarget> ParsePath(std::string_view path);

// Sets the signature from a query, such as "signature_name=classify". Errors: INVALID_ARGUMENT for
// other keys and wrong percent-encoding.
Status ParseQuery(std::string_view query, GraphPipeTarget& target);

}  // namespace penstock::graphpipe
