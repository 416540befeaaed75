// SPDX-License-Identifier: Apache-2.0
// Finds settings of models that have no effect. They are no errors: a list may be that of several
// servers, or be on its way to another mode. But the operator expects something of them.
#pragma once

#include <string>
#include <vector>

#include "models/model_list.h"

namespace penstock {

// Returns one sentence for each setting that has an effect only with `load: ON_DEMAND`, of a model
// without it.
std::vector<std::string> IdleSettings(const std::vector<ConfiguredModel>& models);

}  // namespace penstock
