// SPDX-License-Identifier: Apache-2.0
// The errors of requests that find no ready version. Pure functions of the state of the model.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "core/model_record.h"
#include "core/model_status.h"
#include "core/servable.h"

namespace penstock::core {

// NOT_FOUND, for operators.
Status ModelNotFound(std::string_view name);

// NOT_FOUND, for requests. Has the text of TensorFlow Serving. Without a version: for the newest.
Status ServableNotFound(std::string_view name, std::optional<VersionNumber> version);

// The answer for requests that wait for `version` (nullopt: for any); nullopt: no answer yet.
// `label`: the label that named the version; may be empty. `is_draining`: no load is begun any
// more.
std::optional<Status> AnswerFor(const ModelRecord& model, std::optional<VersionNumber> version,
                                std::string_view label, bool is_draining);

// The error for a request that found no such version ready, and does not wait. Arguments as above.
Status WhyNotReady(const ModelRecord& model, std::optional<VersionNumber> version,
                   std::string_view label, bool is_draining);

// As Manager::UnknownLabel, for a model with these labels. `is_configured`: the model exists.
Status UnknownLabelError(std::string_view label, const std::map<std::string, LabelState>& known,
                         bool is_configured);

}  // namespace penstock::core
