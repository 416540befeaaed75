// SPDX-License-Identifier: Apache-2.0
// Limits what a ReloadConfigRequest may make the server build.
#pragma once

#include <cstddef>
#include <string_view>

#include "base/status.h"

namespace penstock::tfs {

// The most fields and values of a ReloadConfigRequest, in all its messages. A model of usual size
// has about ten. An empty config has two bytes on the wire, and a hundred times as many in memory.
inline constexpr size_t kReloadFieldsMax = 500'000;

// The most metric_names of a ReloadConfigRequest. Each is answered.
inline constexpr size_t kReloadMetricsMax = 1000;

// Checks a serialized ReloadConfigRequest before it is built. RESOURCE_EXHAUSTED if it has too many
// fields, INVALID_ARGUMENT if it has too many metric_names. Says nothing about a malformed one.
// Thread-safe.
Status CheckReloadSize(std::string_view message);

}  // namespace penstock::tfs
