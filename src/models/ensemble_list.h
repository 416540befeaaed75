// SPDX-License-Identifier: Apache-2.0
// What a list of models says about its ensembles as a whole.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "config/config_files.h"
#include "core/model_source.h"

namespace penstock {

// Checks the models that steps name. INVALID_ARGUMENT, with the way to the fault, if one is not in
// the list or is loaded on demand, if ensembles contain each other, or if they are nested too
// deeply. The message begins with `where`.
Status CheckEnsembles(const std::vector<ConfiguredModel>& models, std::string_view where);

// The versions that steps name. They are wanted as if labels named them.
std::map<std::string, std::set<core::VersionNumber>, std::less<>> VersionsOfSteps(
    const std::vector<ConfiguredModel>& models);

// The versions that the configuration declares, as their source needs them: of an ensemble, or of a
// remote model unless it has those of its targets.
std::map<core::VersionNumber, core::ComposedVersion> ComposedVersions(const ConfiguredModel& model);

}  // namespace penstock
