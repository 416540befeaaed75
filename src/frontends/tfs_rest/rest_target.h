// SPDX-License-Identifier: Apache-2.0
// Parses the paths of the REST API.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "core/servable.h"
#include "infer/request.h"

namespace penstock::tfs_rest {

// The action that a path names.
enum class RestAction { kPredict, kClassify, kRegress, kStatus, kMetadata, kListModels };

// True for actions that need POST; the others need GET.
inline bool IsPost(RestAction action) {
  return action == RestAction::kPredict || action == RestAction::kClassify ||
         action == RestAction::kRegress;
}

// The parts of a path. Without version and label, the server chooses the version.
struct RestTarget {
  RestAction action = RestAction::kStatus;
  std::string name;  // decoded; empty only for kListModels
  std::optional<core::VersionNumber> version;
  std::string label;  // decoded; at most one of version and label
};

// The model, the version and the label of a path. The views live as long as `target`.
inline ModelSelector SelectorOf(const RestTarget& target) {
  return {target.name, target.version, target.label};
}

// Parses a path as it was received, such as "/v1/models/a/versions/1:predict". It must start with
// "/v1/", in upper or lower case. Names may be percent-encoded; of a POST also the ':' of the verb.
// Errors: NOT_FOUND (no such path), INVALID_ARGUMENT (a version that is not a number or is too
// large, wrong percent-encoding).
StatusOr<RestTarget> ParseRestPath(std::string_view method, std::string_view path);

}  // namespace penstock::tfs_rest
