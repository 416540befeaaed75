// SPDX-License-Identifier: Apache-2.0
#include "access/caller.h"

#include <algorithm>

namespace penstock::access {

std::string_view OperationName(Operation operation) {
  constexpr std::array<std::string_view, kOperations> kNames = {"INFER", "METADATA", "STATUS",
                                                                "ADMIN", "METRICS"};
  return kNames[static_cast<size_t>(operation)];
}

void ModelFilter::Add(std::string_view pattern) {
  if (!pattern.ends_with('*')) {
    names_.emplace(pattern);
    return;
  }
  pattern.remove_suffix(1);
  matches_all_ = matches_all_ || pattern.empty();
  prefixes_.emplace_back(pattern);
}

bool ModelFilter::Matches(std::string_view model) const {
  return matches_all_ || names_.contains(model) ||
         std::any_of(prefixes_.begin(), prefixes_.end(),
                     [model](const std::string& prefix) { return model.starts_with(prefix); });
}

Caller Caller::Stranger(std::string_view why) {
  Caller stranger("nobody");
  stranger.refusal_ = why;
  return stranger;
}

namespace {

// What to do, for somebody who may have forgotten the token.
std::string_view AdviceFor(const Caller& caller) {
  return caller.name() == kAnonymousName ? "; the request came without a token, so send one" : "";
}

}  // namespace

Status Refusal(const Caller& caller, Operation operation, std::string_view model) {
  if (!caller.refusal().empty()) return Error(StatusCode::kUnauthenticated, "{}", caller.refusal());
  return Error(StatusCode::kPermissionDenied,
               "'{}' has no permission {} for a model called '{:.200}'{}", caller.name(),
               OperationName(operation), model, AdviceFor(caller));
}

Status Refusal(const Caller& caller, Operation operation) {
  if (!caller.refusal().empty()) return Error(StatusCode::kUnauthenticated, "{}", caller.refusal());
  return Error(StatusCode::kPermissionDenied, "'{}' has no permission {} for all models{}",
               caller.name(), OperationName(operation), AdviceFor(caller));
}

}  // namespace penstock::access
