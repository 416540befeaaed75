// SPDX-License-Identifier: Apache-2.0
// Who sends a request, and what they may do.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "base/status.h"
#include "base/string_map.h"

namespace penstock::access {

// The name of the caller that stands for requests without credentials. No other may have it.
inline constexpr std::string_view kAnonymousName = "anonymous";

// The kinds of requests that need a permission.
enum class Operation : uint8_t {
  kInfer,     // Predict, Classify and the like
  kMetadata,  // signatures
  kStatus,    // the states of versions; also decides which models a caller sees in lists
  kAdmin,     // reloads and the admin API
  kMetrics,   // the metrics page, which has all models
};
inline constexpr size_t kOperations = 5;

// The name in the token file and in messages, such as "INFER".
std::string_view OperationName(Operation operation);

// A set of model names. One thread while it is filled, then immutable.
class ModelFilter final {
 public:
  // Adds a name; or all names with a prefix, if `pattern` ends in '*'.
  void Add(std::string_view pattern);

  bool Matches(std::string_view model) const;
  bool MatchesAll() const { return matches_all_; }
  bool MatchesNone() const { return names_.empty() && prefixes_.empty(); }

 private:
  bool matches_all_ = false;
  absl::flat_hash_set<std::string, StringViewHash, std::equal_to<>> names_;
  std::vector<std::string> prefixes_;
};

// One caller of the token file; or a stranger, who may do nothing. A handler asks by the functions
// below, which also take the null caller of a server without a token file:
//
//   TRY(access::Check(call->head().caller.get(), Operation::kInfer, model_name));
//
// One thread while it is filled, then immutable.
class Caller final {
 public:
  explicit Caller(std::string name) : name_(std::move(name)) {}
  // A stranger. `why` says what is wrong with the credentials, and has static storage.
  static Caller Stranger(std::string_view why);

  void Allow(Operation operation, std::string_view pattern) {
    filters_[static_cast<size_t>(operation)].Add(pattern);
  }

  // The name in the token file; for logs.
  const std::string& name() const { return name_; }
  // Empty: the credentials are good. Otherwise this is a stranger.
  std::string_view refusal() const { return refusal_; }

  // May: for this model. MayAll: for every model, also future ones. MayAny: for at least one name.
  bool May(Operation operation, std::string_view model) const {
    return filters_[static_cast<size_t>(operation)].Matches(model);
  }
  bool MayAll(Operation operation) const {
    return filters_[static_cast<size_t>(operation)].MatchesAll();
  }
  bool MayAny(Operation operation) const {
    return !filters_[static_cast<size_t>(operation)].MatchesNone();
  }

 private:
  std::string name_;
  std::string_view refusal_;
  std::array<ModelFilter, kOperations> filters_;
};

// Null callers are those of a server without a token file. They may do everything.
inline bool May(const Caller* caller, Operation operation, std::string_view model) {
  return caller == nullptr || caller->May(operation, model);
}
inline bool MayAll(const Caller* caller, Operation operation) {
  return caller == nullptr || caller->MayAll(operation);
}

// Returns UNAUTHENTICATED for a stranger, PERMISSION_DENIED for others. The text does not depend on
// whether the model exists, so that it tells nobody which models there are.
Status Refusal(const Caller& caller, Operation operation, std::string_view model);
// The same for an operation that concerns all models.
Status Refusal(const Caller& caller, Operation operation);

// OK, or the refusal.
inline Status Check(const Caller* caller, Operation operation, std::string_view model) {
  return May(caller, operation, model) ? OkStatus() : Refusal(*caller, operation, model);
}
inline Status CheckAll(const Caller* caller, Operation operation) {
  return MayAll(caller, operation) ? OkStatus() : Refusal(*caller, operation);
}
// OK if the caller may do it with some model.
inline Status CheckAny(const Caller* caller, Operation operation) {
  return caller == nullptr || caller->MayAny(operation) ? OkStatus() : Refusal(*caller, operation);
}

}  // namespace penstock::access
