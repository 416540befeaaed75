// SPDX-License-Identifier: Apache-2.0
// The messages of TensorFlow Serving's gRPC API that a remote model sends and reads. No I/O.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/buffer.h"
#include "base/request_memory.h"
#include "base/status.h"
#include "config/remote_config.h"
#include "core/servable.h"
#include "infer/request.h"
#include "infer/signature.h"

namespace penstock::remote {

inline constexpr char kPredictMethod[] = "/tensorflow.serving.PredictionService/Predict";
inline constexpr char kMetadataMethod[] = "/tensorflow.serving.PredictionService/GetModelMetadata";
inline constexpr char kStatusMethod[] = "/tensorflow.serving.ModelService/GetModelStatus";

// Serialized GetModelMetadataRequest and GetModelStatusRequest for the model at a target.
ByteChain WriteMetadataRequest(const RemoteVersion& remote);
ByteChain WriteStatusRequest(const RemoteVersion& remote);

// A version at a target, by a GetModelStatusResponse. Plain data.
struct VersionAtTarget {
  bool is_available = false;
  bool is_coming = false;   // it is being loaded, or will be
  bool is_leaving = false;  // it stays only because somebody holds it
  bool operator==(const VersionAtTarget&) const = default;
};
using VersionsAtTarget = std::map<core::VersionNumber, VersionAtTarget>;

// The versions that a target has, or will have. INVALID_ARGUMENT.
StatusOr<VersionsAtTarget> ReadStatusResponse(const Slice& message);

// The description of the model by a GetModelMetadataResponse. A model without signatures takes any
// inputs. Errors: INVALID_ARGUMENT.
StatusOr<ModelInfo> ReadMetadataResponse(const Slice& message);
// True if a GetModelStatusResponse has a version that is available.
bool HasAvailableVersion(const Slice& message);

// The PredictRequest for `request`. It refers to the tensors' memory. Errors: RESOURCE_EXHAUSTED.
StatusOr<ByteChain> WritePredict(const RemoteVersion& remote, const InferRequest& request,
                                 RequestMemory& memory);

// The PredictRequest for the rows of some keys of a table. It refers to the memory of numbers, and
// copies strings. Errors: RESOURCE_EXHAUSTED.
StatusOr<ByteChain> WriteKeys(const RemoteVersion& remote, const Tensor& keys,
                              RequestMemory& memory);
// The PredictRequest for a signature without inputs.
StatusOr<ByteChain> WriteSignature(const RemoteVersion& remote, std::string_view signature,
                                   RequestMemory& memory);

// All that a PredictResponse says. Plain data.
struct AnyAnswer {
  std::optional<core::VersionNumber> version = {};  // which one has answered
  NamedTensors outputs = {};                        // they, and their names, share its memory
  BufferRef owner = {};
};
// Errors as those of ReadPredict.
StatusOr<AnyAnswer> ReadAnyAnswer(const Slice& message, RequestMemory& memory);

// The outputs of a PredictResponse. They share its memory, and their names are those of `info`.
// Errors: INTERNAL, if it is not what `info` promises; RESOURCE_EXHAUSTED.
StatusOr<NamedTensors> ReadPredict(const ModelInfo& info, const InferRequest& request,
                                   const Slice& message, RequestMemory& memory);

}  // namespace penstock::remote
