// SPDX-License-Identifier: Apache-2.0
// Models that need no files, for tests, benchmarks and a first try. The base path selects one:
//   builtin:identity       returns any tensors under the same names
//   builtin:delay          takes as long as the request asks for (delay_model.h)
//   builtin:half_plus_two  "x" (float32, any shape) -> "y" = x / 2 + 2
//   builtin:stream         answers in parts (stream_model.h)
#pragma once

#include <memory>
#include <string_view>

#include "base/metrics/metrics.h"
#include "base/status.h"
#include "core/loader.h"
#include "core/servable.h"
#include "infer/model.h"
#include "infer/run_times.h"

namespace penstock {

// True for every path that begins with "builtin:", also if there is no such model. Such a path has
// the single version 1.
bool IsBuiltinPath(std::string_view base_path);

// NOT_FOUND, with a list of the names, if there is no model of that name.
StatusOr<std::unique_ptr<Model>> MakeBuiltinModel(std::string_view base_path);

// Returns a loader of that model, for a source. Errors as above. `metrics` must outlive the loaded
// model.
StatusOr<std::unique_ptr<core::Loader>> MakeBuiltinLoader(const core::ServableId& id,
                                                          std::string_view base_path,
                                                          MetricsRegistry& metrics,
                                                          InlineOptions inline_options = {});

}  // namespace penstock
