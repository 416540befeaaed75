// SPDX-License-Identifier: Apache-2.0
// What the manager knows of a model, as JSON. Thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "core/manager.h"

namespace penstock {

// Fields of an object; newest version first, "source_error" and "error" only if there is one:
//   "source_error":"...","versions":[{"version":3,"state":"AVAILABLE",
//     "since":"2026-01-31T23:59:59.123Z","memory_bytes":400,"memory_measured":true,
//     "error":"..."}]
std::string VersionFields(const core::Manager& manager, std::string_view name);

}  // namespace penstock
