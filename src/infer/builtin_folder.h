// SPDX-License-Identifier: Apache-2.0
// A built-in model as a version in a folder: the file model.builtin holds its name, as
// "half_plus_two". With it, versions of built-in models come and go like any others.
#pragma once

#include <memory>
#include <string>

#include "base/metrics.h"
#include "base/status.h"
#include "core/loader.h"
#include "core/servable.h"
#include "infer/model.h"
#include "infer/run_times.h"

namespace penstock {

// True if the folder of a version holds the file.
bool IsBuiltinFolder(const std::string& version_path);

// The model that the file names. NOT_FOUND if the file cannot be read or names no built-in model.
StatusOr<std::unique_ptr<Model>> MakeBuiltinFolderModel(const std::string& version_path);

// Reads the file when it loads. Errors of Load as above. `metrics` outlives what it loads.
std::unique_ptr<core::Loader> MakeBuiltinFolderLoader(core::ServableId id, std::string version_path,
                                                      MetricsRegistry& metrics,
                                                      InlineOptions inline_options = {});

}  // namespace penstock
