// SPDX-License-Identifier: Apache-2.0
// Reads a model's experiments from its configuration.
#pragma once

#include <string>

#include "base/status.h"
#include "infer/experiments/experiment_options.h"

namespace penstock::config {
class ModelOptions;
}

namespace penstock {

// More arms would cost each request too much time.
inline constexpr int kArmsMax = 100;
inline constexpr int kShadowsMax = 16;

// Reads the traffic and shadow settings of `model` from `options`. Errors: INVALID_ARGUMENT; the
// message continues a sentence that starts with the model's name.
StatusOr<ExperimentOptions> ReadExperiment(const config::ModelOptions& options,
                                           const std::string& model);

}  // namespace penstock
