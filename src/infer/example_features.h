// SPDX-License-Identifier: Apache-2.0
// Maps the features of Examples to the inputs of a signature.
#pragma once

#include "base/status.h"
#include "infer/example_plan.h"

namespace penstock {

// Sets the features of `plan`: one for each input of its signature. An optional input that cannot
// get a feature is left out. `options` may be null. Errors: INVALID_ARGUMENT, with the input and
// the reason.
Status MapFeatures(const ExampleOptions* options, ExamplePlan& plan);

}  // namespace penstock
