// SPDX-License-Identifier: Apache-2.0
// Tells a refused client when to try again.
#pragma once

#include <chrono>
#include <optional>

#include "base/status.h"

namespace penstock::schedule {

// Notes in `status` when the client should try again. Front ends pass it on in their own form, as
// HTTP's Retry-After.
void SetRetryHint(Status& status, std::chrono::seconds after);
// Returns what SetRetryHint noted. nullopt: it was not called.
std::optional<std::chrono::seconds> RetryHintOf(const Status& status);

}  // namespace penstock::schedule
