// SPDX-License-Identifier: Apache-2.0
// A version folder that holds a built-in model: its file model.builtin contains the name of the
// model, such as "half_plus_two". So versions of built-in models can be added and removed like
// any others.
#pragma once

#include <memory>
#include <string>

#include "base/metrics/metrics.h"
#include "base/status.h"
#include "core/loader.h"
#include "core/servable.h"
#include "infer/model.h"
#include "infer/run_times.h"

namespace penstock {

// True if the version folder has a file model.builtin.
bool IsBuiltinFolder(const std::string& version_path);

// Makes the model that the file names. NOT_FOUND if the file cannot be read, or names no built-in
// model.
StatusOr<std::unique_ptr<Model>> MakeBuiltinFolderModel(const std::string& version_path);

// Returns a loader that reads the file in Load. Load has the errors of MakeBuiltinFolderModel.
// `metrics` must outlive the loaded model.
std::unique_ptr<core::Loader> MakeBuiltinFolderLoader(core::ServableId id, std::string version_path,
                                                      MetricsRegistry& metrics,
                                                      InlineOptions inline_options = {});

}  // namespace penstock
