// SPDX-License-Identifier: Apache-2.0
// What `penstock inspect` finds out about a model of a configuration file, which may be an
// ensemble.
#pragma once

#include <string>
#include <vector>

#include "app/model_report.h"
#include "base/status.h"
#include "config/config_files.h"

namespace penstock {

// Describes the model `name` of the list. Of an ensemble it describes the highest version, with its
// steps, and loads the models of the steps for it. Errors: NOT_FOUND, with the names of the list,
// if it has no such model; those of InspectModel and MakePlan, with the step.
StatusOr<ModelReport> InspectConfigured(const std::vector<ConfiguredModel>& models,
                                        const std::string& name, const LoadOptions& options,
                                        BackendHost& backends, const Sources& sources);

}  // namespace penstock
