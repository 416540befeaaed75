// SPDX-License-Identifier: Apache-2.0
// What a path of the REST API asks for.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "core/servable.h"

namespace penstock::tfs_rest {

enum class RestAction { kPredict, kClassify, kRegress, kStatus, kMetadata, kListModels };

// True for those that are asked for with POST; the others want GET.
inline bool IsPost(RestAction action) {
  return action == RestAction::kPredict || action == RestAction::kClassify ||
         action == RestAction::kRegress;
}

struct RestTarget {
  RestAction action = RestAction::kStatus;
  std::string name;  // decoded; empty only for kListModels
  std::optional<core::VersionNumber> version;
  std::string label;  // decoded; at most one of version and label
};

// `path` starts with "/v1/", in any case, and is as received. Errors: NOT_FOUND (no such path),
// INVALID_ARGUMENT (a version that is no number or too large, wrong percent-encoding).
StatusOr<RestTarget> ParseRestPath(std::string_view method, std::string_view path);

}  // namespace penstock::tfs_rest
