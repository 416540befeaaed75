// SPDX-License-Identifier: Apache-2.0
// Reads how a model classifies and regresses Examples from its configuration.
#pragma once

#include <vector>

#include "base/status.h"
#include "infer/example_plan.h"

namespace penstock::config {
class ModelOptions;
}

namespace penstock {

// Reads the settings `classify` and `regress`. Whether they fit the model is known only once it is
// loaded. Errors: INVALID_ARGUMENT; the message continues a sentence that starts with the model's
// name.
StatusOr<std::vector<ExampleOptions>> ReadExampleOptions(const config::ModelOptions& options);

}  // namespace penstock
