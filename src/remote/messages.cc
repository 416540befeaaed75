// SPDX-License-Identifier: Apache-2.0
#include "remote/messages.h"

#include <algorithm>
#include <utility>

#include "protocols/tfs/predict_reader.h"
#include "protocols/tfs/predict_writer.h"
#include "serving/get_model_metadata.pb.h"
#include "serving/get_model_status.pb.h"
#include "tensor/dtype.h"

namespace penstock::remote {
namespace {

constexpr size_t kOutputsMax = 4096;
// Runs of elements of this size are sent from where they lie.
constexpr tfs::TensorWriteOptions kAsContent{.as_tensor_content = true};

tfs::ModelSpecFields SpecOf(const RemoteVersion& remote, std::string_view signature = {}) {
  return {.name = remote.model,
          .version = remote.model_version,
          .signature_name = signature,
          .label = remote.label};
}

template <typename Message>
bool Parse(const Slice& bytes, Message& message) {
  return message.ParseFromArray(bytes.data, static_cast<int>(bytes.size));
}

StatusOr<std::vector<TensorSpec>> ReadSpecs(
    const google::protobuf::Map<std::string, tensorflow::TensorInfo>& from) {
  std::vector<TensorSpec> specs;
  for (const auto& [name, info] : from) {
    TensorSpec spec;
    spec.name = name;
    spec.backend_name = info.name();
    const std::optional<DType> dtype = DTypeFromTensorFlow(info.dtype());
    if (!dtype)
      return InvalidArgument("'{}' has the type {}, which is not served", name,
                             static_cast<int>(info.dtype()));
    spec.dtype = *dtype;
    spec.unknown_rank = info.tensor_shape().unknown_rank();
    if (static_cast<size_t>(info.tensor_shape().dim_size()) > kRankMax)
      return InvalidArgument("'{}' has more than {} dimensions", name, kRankMax);
    std::vector<int64_t> dims;
    for (const auto& dim : info.tensor_shape().dim())
      dims.push_back(std::max<int64_t>(dim.size(), -1));
    spec.shape = Shape(dims);
    specs.push_back(std::move(spec));
  }
  std::ranges::sort(specs, {}, &TensorSpec::name);
  return specs;
}

}  // namespace

ByteChain WriteMetadataRequest(const RemoteVersion& remote) {
  ByteChain message(tfs::MakeModelSpec(1, SpecOf(remote)));
  message.AppendCopy("\x12\x0dsignature_def");  // field 2
  return message;
}

ByteChain WriteStatusRequest(const RemoteVersion& remote) {
  return ByteChain(tfs::MakeModelSpec(1, SpecOf(remote)));
}

StatusOr<ModelInfo> ReadMetadataResponse(const Slice& message) {
  tensorflow::serving::GetModelMetadataResponse response;
  if (!Parse(message, response)) return InvalidArgument("it is no GetModelMetadataResponse");
  ModelInfo info;
  info.platform = "remote";
  info.traits.runs_others = true;
  tensorflow::serving::SignatureDefMap map;
  const auto found = response.metadata().find("signature_def");
  if (found != response.metadata().end() && !found->second.UnpackTo(&map))
    return InvalidArgument("its signature_def is no SignatureDefMap");
  for (const auto& [name, definition] : map.signature_def()) {
    auto inputs = ReadSpecs(definition.inputs());
    auto outputs = ReadSpecs(definition.outputs());
    if (!inputs.ok() || !outputs.ok()) {
      info.left_out.push_back(
          {name, std::string(MessageOf(inputs.ok() ? outputs.status() : inputs.status()))});
      continue;
    }
    info.signatures.push_back({.name = name,
                               .method_name = definition.method_name(),
                               .inputs = *std::move(inputs),
                               .outputs = *std::move(outputs)});
  }
  std::ranges::sort(info.signatures, {}, &Signature::name);
  info.signature_def_map = map.SerializeAsString();
  if (info.signatures.empty() && info.left_out.empty()) {
    // Its outputs have names that nobody knows before.
    return InvalidArgument("the model has no signatures there");
  }
  return info;
}

bool HasAvailableVersion(const Slice& message) {
  tensorflow::serving::GetModelStatusResponse response;
  if (!Parse(message, response)) return false;
  return std::ranges::any_of(response.model_version_status(), [](const auto& version) {
    return version.state() == tensorflow::serving::ModelVersionStatus::AVAILABLE;
  });
}

StatusOr<VersionsAtTarget> ReadStatusResponse(const Slice& message) {
  using tensorflow::serving::ModelVersionStatus;
  constexpr int kVersionsMax = 10'000;
  tensorflow::serving::GetModelStatusResponse response;
  if (!Parse(message, response)) return InvalidArgument("it is no GetModelStatusResponse");
  if (response.model_version_status().size() > kVersionsMax)
    return InvalidArgument("it has more than {} versions", kVersionsMax);
  VersionsAtTarget versions;
  for (const ModelVersionStatus& each : response.model_version_status()) {
    const auto state = each.state();
    const bool is_coming =
        state == ModelVersionStatus::START || state == ModelVersionStatus::LOADING;
    const bool is_available = state == ModelVersionStatus::AVAILABLE;
    if (each.version() < 0 || (!is_coming && !is_available)) continue;
    versions[core::VersionNumber{each.version()}] = {is_available, is_coming, each.is_leaving()};
  }
  return versions;
}

StatusOr<ByteChain> WritePredict(const RemoteVersion& remote, const InferRequest& request,
                                 RequestMemory& memory) {
  return tfs::WritePredictRequest(request.inputs, SpecOf(remote, request.signature_name),
                                  request.output_filter, kAsContent, &memory);
}

StatusOr<ByteChain> WriteKeys(const RemoteVersion& remote, const Tensor& keys,
                              RequestMemory& memory) {
  // A call that has lost a race may be sent after the request, which owns the strings, has gone.
  constexpr tfs::TensorWriteOptions kCopied{.gather_bytes_min = SIZE_MAX};
  const tfs::TensorWriteOptions& options = keys.dtype() == DType::kString ? kCopied : kAsContent;
  const NamedTensor input{"keys", keys};
  return tfs::WritePredictRequest({&input, 1}, SpecOf(remote), {}, options, &memory);
}

StatusOr<ByteChain> WriteSignature(const RemoteVersion& remote, std::string_view signature,
                                   RequestMemory& memory) {
  return tfs::WritePredictRequest({}, SpecOf(remote, signature), {}, kAsContent, &memory);
}

StatusOr<AnyAnswer> ReadAnyAnswer(const Slice& message, RequestMemory& memory) {
  tfs::PredictScan scan;
  InferRequest response;
  Status status = scan.ScanResponse(message, kOutputsMax, response);
  if (status.ok()) status = scan.ReadTensors(memory, response);
  if (!status.ok())
    return Error(
        status.code() == StatusCode::kResourceExhausted ? status.code() : StatusCode::kInternal,
        "the target's answer cannot be read: {}", MessageOf(status));
  AnyAnswer answer{.outputs = std::move(response.inputs), .owner = std::move(response.names_owner)};
  if (scan.has_model_spec()) answer.version = scan.model().version;
  return answer;
}

StatusOr<NamedTensors> ReadPredict(const ModelInfo& info, const InferRequest& request,
                                   const Slice& message, RequestMemory& memory) {
  ASSIGN_OR_RETURN(AnyAnswer answer, ReadAnyAnswer(message, memory));
  const Signature* const signature = info.FindSignature(request.signature_name);
  const auto is_wanted = [&request](std::string_view name) {
    return request.output_filter.empty() ||
           std::ranges::find(request.output_filter, name) != request.output_filter.end();
  };
  NamedTensors outputs;
  for (const TensorSpec& spec : signature->outputs) {
    if (!is_wanted(spec.name)) continue;
    const auto found =
        std::ranges::find(answer.outputs, std::string_view(spec.name), &NamedTensor::name);
    if (found == answer.outputs.end())
      return Error(StatusCode::kInternal, "the target's answer has no output '{}'", spec.name);
    if (found->tensor.dtype() != spec.dtype)
      return Error(StatusCode::kInternal, "the target's output '{}' has the type {} instead of {}",
                   spec.name, DTypeName(found->tensor.dtype()), DTypeName(spec.dtype));
    outputs.push_back({spec.name, std::move(found->tensor)});
  }
  return outputs;
}

}  // namespace penstock::remote
