// SPDX-License-Identifier: Apache-2.0
// Reads the ensembles of a model from its configuration.
#pragma once

#include <string_view>
#include <vector>

#include "base/status.h"
#include "ensemble/graph.h"

namespace penstock::config {
class ModelOptions;
}

namespace penstock {

// The base path of models that are ensembles. No configuration names it.
inline constexpr std::string_view kEnsemblePath = "ensemble:";

// The versions of the ensemble, in the order of the configuration. Empty: the model is none.
// Errors: INVALID_ARGUMENT, also for what CheckGraph refuses, and for options that have no meaning
// for an ensemble; the message continues a sentence that starts with the model's name.
StatusOr<std::vector<ensemble::Graph>> ReadEnsembles(const config::ModelOptions& options);

}  // namespace penstock
