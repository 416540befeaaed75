// SPDX-License-Identifier: Apache-2.0
// Models that need no files, for tests, benchmarks and a first try. Addressed by base path:
//   builtin:identity       any tensors, back under the same names
//   builtin:half_plus_two  "x" (float32, any shape) -> "y" = x / 2 + 2
#pragma once

#include <memory>
#include <string_view>

#include "base/metrics.h"
#include "base/status.h"
#include "core/loader.h"
#include "core/servable.h"
#include "infer/model.h"
#include "infer/run_times.h"

namespace penstock {

// True for "builtin:..." of any kind. Such a path has the single version 1.
bool IsBuiltinPath(std::string_view base_path);

// NOT_FOUND, with the names there are, if no model is called so.
StatusOr<std::unique_ptr<Model>> MakeBuiltinModel(std::string_view base_path);

// A loader of that model, for a source. Errors as above. `metrics` outlives what it loads.
StatusOr<std::unique_ptr<core::Loader>> MakeBuiltinLoader(const core::ServableId& id,
                                                          std::string_view base_path,
                                                          MetricsRegistry& metrics,
                                                          InlineOptions inline_options = {});

}  // namespace penstock
