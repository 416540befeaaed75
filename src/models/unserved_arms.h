// SPDX-License-Identifier: Apache-2.0
// Finds arms and shadows of experiments that nothing serves. Their requests go elsewhere without an
// error, so the operator needs a warning.
#pragma once

#include <string>
#include <vector>

#include "models/model_list.h"
#include "models/model_set.h"

namespace penstock {

// Returns one sentence for each arm or shadow whose target is a label that the model does not have,
// or a version that does not exist or is not selected. `models` must be the list in force in `set`.
std::vector<std::string> UnservedArms(const std::vector<ConfiguredModel>& models,
                                      const ModelSet& set);

}  // namespace penstock
