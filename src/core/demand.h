// SPDX-License-Identifier: Apache-2.0
// A request that waits for a version.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "absl/functional/any_invocable.h"
#include "base/clock.h"
#include "base/status.h"
#include "core/servable.h"

namespace penstock::core {

// A request that needs a version which is not loaded yet.
struct Demand {
  std::string model;
  std::optional<VersionNumber> version = std::nullopt;  // set at most one of version and label;
  std::string label = "";                               // none of them: any version
  SteadyTime deadline = kNoDeadline;
  // Called once, on a thread of the manager or before the call returns. OK: the version is ready,
  // and stays loaded until `done` returns. UNAVAILABLE, with the reason: the version cannot be
  // ready now. NOT_FOUND: the source has no such version. DEADLINE_EXCEEDED: the deadline passed.
  absl::AnyInvocable<void(Status)> done;
  std::function<bool()> is_wanted = nullptr;  // false once the client has gone; null: always true
};

}  // namespace penstock::core
