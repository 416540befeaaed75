// SPDX-License-Identifier: Apache-2.0
// A model's experiments, as its configuration has them.
#pragma once

#include <string>

#include "base/status.h"
#include "infer/experiment_options.h"

namespace penstock::config {
class ModelOptions;
}

namespace penstock::tfs {

// More would cost each request too much.
inline constexpr int kArmsMax = 100;
inline constexpr int kShadowsMax = 16;

// What `options` say of traffic and shadows of `model`. Errors: INVALID_ARGUMENT; the message goes
// on from the model's name.
StatusOr<ExperimentOptions> ReadExperiment(const config::ModelOptions& options,
                                           const std::string& model);

}  // namespace penstock::tfs
