// SPDX-License-Identifier: Apache-2.0
// Draws ensembles for people.
#pragma once

#include <string>
#include <string_view>

#include "ensemble/plan.h"

namespace penstock::ensemble {

// The steps in stages, in lines of text. Those of one stage do not wait for each other.
std::string DrawText(const Plan& plan);

// The same as a graph in the language of Graphviz. `name`: that of the ensemble.
std::string DrawDot(const Plan& plan, std::string_view name);

}  // namespace penstock::ensemble
