// SPDX-License-Identifier: Apache-2.0
// The status of a model as JSON. Thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "core/manager.h"

namespace penstock {

// Returns fields of an object, newest version first. "source_error" and "error" are only there if
// there is an error:
//   "source_error":"...","versions":[{"version":3,"state":"AVAILABLE",
//     "since":"2026-01-31T23:59:59.123Z","memory_bytes":400,"memory_measured":true,
//     "row_cache":{"signatures":["s"],"memory_bytes":100,...},
//     "batching":[{"signature":"s","rows_limit":16,"curve":[{"rows":1,"row_us":12.5}]}],
//     "error":"..."}]
// "batching" is there if `shows_runs`, for each ready version that is batched, and "row_cache" if
// it has one. That of an ensemble has
//   "steps":[{"name":"rank","model":"ranker","version":7,"signature":"serving_default"}]
// whose version is null if none that fits is ready. All servables must be ServedModels then.
std::string VersionFields(const core::Manager& manager, std::string_view name,
                          bool shows_runs = false);

}  // namespace penstock
