// SPDX-License-Identifier: Apache-2.0
// Arms and shadows of experiments that nothing serves: their requests go elsewhere, silently.
#pragma once

#include <string>
#include <vector>

#include "models/model_list.h"
#include "models/model_set.h"

namespace penstock {

// A sentence for each that names a label which its model does not have, or a version that does not
// exist or is not selected. `set` has the list `models`.
std::vector<std::string> UnservedArms(const std::vector<ConfiguredModel>& models,
                                      const ModelSet& set);

}  // namespace penstock
