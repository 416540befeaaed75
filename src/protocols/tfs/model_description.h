// SPDX-License-Identifier: Apache-2.0
// The answers of GetModelMetadata and GetModelStatus, as messages for gRPC and as JSON for REST.
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

// The only metadata field that clients can request.
inline constexpr std::string_view kSignatureDefField = "signature_def";
// A second field in the answer: ModelInfo::notes as a google.protobuf.ListValue, if there are any.
inline constexpr std::string_view kNotesField = "notes";

// Fills in the signatures from the model's file, or else as TensorFlow would describe them. `map`
// must be empty. A file's map has details that Signature lacks, so it is passed on unchanged.
void FillSignatureDefMap(const ModelInfo& info, tensorflow::serving::SignatureDefMap& map);

// Fills in the whole answer: the version, the signatures and the notes.
void FillModelMetadata(const core::ServableId& id, const ModelInfo& info,
                       tensorflow::serving::GetModelMetadataResponse& response);

// The error for a request for the states of all versions, or of `version`, of a model without
// versions: NOT_FOUND with TensorFlow Serving's text, followed by the report of the model's source,
// for example that the base path is missing.
Status NoVersionsOf(const core::Manager& manager, std::string_view name,
                    std::optional<core::VersionNumber> version);

// Fills in the states of all versions of the model `name`, or only of `version`. `versions` comes
// from core::Manager::VersionStatuses and is not empty; `source` comes from SourceStatus. Errors:
// if the model does not have that version, NOT_FOUND with TensorFlow Serving's text, followed by
// the versions that it has, and `source`.
Status FillModelStatus(std::string_view name, std::optional<core::VersionNumber> version,
                       std::span<const core::VersionStatus> versions, const Status& source,
                       tensorflow::serving::GetModelStatusResponse& response);

// The JSON for REST clients, printed from the messages above, so that both APIs say the same.
// INTERNAL if protobuf cannot print it; ModelStatusJson has the errors of FillModelStatus, too.
StatusOr<std::string> ModelMetadataJson(const core::ServableId& id, const ModelInfo& info);
StatusOr<std::string> ModelStatusJson(std::string_view name,
                                      std::optional<core::VersionNumber> version,
                                      std::span<const core::VersionStatus> versions,
                                      const Status& source);

}  // namespace penstock::tfs
