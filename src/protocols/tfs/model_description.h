// SPDX-License-Identifier: Apache-2.0
// What GetModelMetadata and GetModelStatus answer, as messages for gRPC and as JSON text for REST.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"
#include "core/manager.h"
#include "core/servable.h"
#include "infer/signature.h"

namespace tensorflow::serving {
class GetModelMetadataResponse;
class GetModelStatusResponse;
class SignatureDefMap;
}  // namespace tensorflow::serving

namespace penstock::tfs {

// The only metadata field that can be asked for.
inline constexpr std::string_view kSignatureDefField = "signature_def";
// One beside it: what ModelInfo::notes says, if it says anything; a google.protobuf.ListValue.
inline constexpr std::string_view kNotesField = "notes";

// The model's signatures as its file has them, or else as TensorFlow would describe them.
void FillSignatureDefMap(const ModelInfo& info, tensorflow::serving::SignatureDefMap& map);

void FillModelMetadata(const core::ServableId& id, const ModelInfo& info,
                       tensorflow::serving::GetModelMetadataResponse& response);

// What is said of a model that has no versions: NOT_FOUND with TensorFlow Serving's text, and
// behind it what the model's source reports, such as that its base path is missing.
Status NoVersionsOf(const core::Manager& manager, std::string_view name);

// The states of all versions of the model `name`, or of `version` alone. `versions` is what
// core::Manager::VersionStatuses says, not empty, and `source` what SourceStatus says. Errors:
// NOT_FOUND with TensorFlow Serving's text if the model has not that version, and behind it which
// it has, and `source`.
Status FillModelStatus(std::string_view name, std::optional<core::VersionNumber> version,
                       std::span<const core::VersionStatus> versions, const Status& source,
                       tensorflow::serving::GetModelStatusResponse& response);

// The JSON that REST clients get.
StatusOr<std::string> ModelMetadataJson(const core::ServableId& id, const ModelInfo& info);
StatusOr<std::string> ModelStatusJson(std::string_view name,
                                      std::optional<core::VersionNumber> version,
                                      std::span<const core::VersionStatus> versions,
                                      const Status& source);

}  // namespace penstock::tfs
