// SPDX-License-Identifier: Apache-2.0
// A built-in model as a version in a folder: the file model.builtin holds its name, as
// "half_plus_two". With it, versions of built-in models come and go like any others.
#pragma once

#include <memory>
#include <string>

#include "base/metrics.h"
#include "core/loader.h"
#include "core/servable.h"

namespace penstock {

// True if the folder of a version holds the file.
bool IsBuiltinFolder(const std::string& version_path);

// Reads the file when it loads. Errors of Load: NOT_FOUND if the file cannot be read or names no
// built-in model. `metrics` outlives what it loads.
std::unique_ptr<core::Loader> MakeBuiltinFolderLoader(core::ServableId id, std::string version_path,
                                                      MetricsRegistry& metrics);

}  // namespace penstock
