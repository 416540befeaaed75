// SPDX-License-Identifier: Apache-2.0
// gRPC and REST answer from the same messages, so they cannot disagree. The JSON for REST is
// printed from the message by protobuf, in the form that TensorFlow Serving prints.
#include "protocols/tfs/model_description.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>

#include "base/log.h"
#include "base/utf8.h"
#include "core/name_list.h"
#include "serving/get_model_metadata.pb.h"
#include "serving/get_model_status.pb.h"

namespace penstock::tfs {
namespace {

using google::protobuf::Message;

void FillTensorInfo(const TensorSpec& spec, tensorflow::TensorInfo& info) {
  // Clients need a name. If the runtime has none, use the public one.
  info.set_name(spec.backend_name.empty() ? spec.name : spec.backend_name);
  // DType has TensorFlow's numbers, so a cast is enough. The same holds for the state and the code
  // of a version's status below.
  info.set_dtype(static_cast<tensorflow::DataType>(spec.dtype));
  auto& shape = *info.mutable_tensor_shape();
  if (spec.unknown_rank) shape.set_unknown_rank(true);
  for (const int64_t size : spec.shape.dims()) shape.add_dim()->set_size(size);
}

void FillVersionStatus(const core::VersionStatus& from,
                       tensorflow::serving::ModelVersionStatus& to) {
  to.set_version(from.id.version.value);
  to.set_state(static_cast<tensorflow::serving::ModelVersionStatus::State>(from.state));
  auto& status = *to.mutable_status();
  status.set_error_code(static_cast<tensorflow::error::Code>(from.status.code()));
  // The message may quote file names and runtimes. Clients refuse a message with a string that is
  // not UTF-8.
  status.set_error_message(ToUtf8(MessageOf(from.status)));
}

StatusOr<std::string> ToJson(const Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  // Clients know the form of TensorFlow Serving, which prints fields that have their default value,
  // such as "error_code": "OK".
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string json;
  const auto status = google::protobuf::util::MessageToJsonString(message, &json, options);
  if (!status.ok()) {
    return Error(StatusCode::kInternal, "cannot write {} as JSON: {}",
                 message.GetDescriptor()->full_name(), status.ToString());
  }
  return json;
}

// Formats the notes as a further member of an object; empty if there are none.
std::string NotesJson(const ModelInfo& info) {
  std::string json;
  for (const std::string& note : info.notes) {
    json += json.empty() ? ", \"notes\": [\"" : ", \"";
    AppendJsonEscaped(json, note);
    json += '"';
  }
  return json.empty() ? json : json + ']';
}

}  // namespace

void FillSignatureDefMap(const ModelInfo& info, tensorflow::serving::SignatureDefMap& map) {
  if (!info.signature_def_map.empty()) {
    // The map in the file has details that Signature lacks, so it is passed on unchanged.
    if (map.ParseFromString(info.signature_def_map)) return;
    map.Clear();  // a name in the file is not UTF-8
  }
  for (const Signature& signature : info.signatures) {
    auto& definition = (*map.mutable_signature_def())[signature.name];
    definition.set_method_name(signature.method_name);
    for (const TensorSpec& input : signature.inputs) {
      FillTensorInfo(input, (*definition.mutable_inputs())[input.name]);
    }
    for (const TensorSpec& output : signature.outputs) {
      FillTensorInfo(output, (*definition.mutable_outputs())[output.name]);
    }
  }
}

void FillModelMetadata(const core::ServableId& id, const ModelInfo& info,
                       tensorflow::serving::GetModelMetadataResponse& response) {
  response.mutable_model_spec()->set_name(id.name);
  response.mutable_model_spec()->mutable_version()->set_value(id.version.value);
  tensorflow::serving::SignatureDefMap map;
  FillSignatureDefMap(info, map);
  (*response.mutable_metadata())[std::string(kSignatureDefField)].PackFrom(map);
  if (info.notes.empty()) return;
  google::protobuf::ListValue notes;
  for (const std::string& note : info.notes) notes.add_values()->set_string_value(note);
  (*response.mutable_metadata())[std::string(kNotesField)].PackFrom(notes);
}

Status NoVersionsOf(const core::Manager& manager, std::string_view name,
                    std::optional<core::VersionNumber> version) {
  // The source knows why there are no versions, for example that the folder is missing.
  const bool is_known = manager.IsModelReady(name).has_value();
  const Status source = is_known ? manager.SourceStatus(name) : OkStatus();
  const std::string what =
      version ? fmt::format("version {}", version->value) : std::string("any versions");
  return Error(StatusCode::kNotFound, "Could not find {} of model {}{}{}", what, name,
               source.ok() ? "" : ": ", MessageOf(source));
}

Status FillModelStatus(std::string_view name, std::optional<core::VersionNumber> version,
                       std::span<const core::VersionStatus> versions, const Status& source,
                       tensorflow::serving::GetModelStatusResponse& response) {
  for (const core::VersionStatus& status : versions) {
    if (version && status.id.version != *version) continue;
    FillVersionStatus(status, *response.add_model_version_status());
  }
  if (version && response.model_version_status().empty()) {
    std::vector<core::VersionNumber> known;
    for (const core::VersionStatus& status : versions) known.push_back(status.id.version);
    return Error(StatusCode::kNotFound, "Could not find version {} of model {}: {}{}{}",
                 version->value, name, core::DescribeVersions(std::move(known)),
                 source.ok() ? "" : "; ", MessageOf(source));
  }
  return OkStatus();
}

StatusOr<std::string> ModelMetadataJson(const core::ServableId& id, const ModelInfo& info) {
  tensorflow::serving::ModelSpec spec;
  spec.set_name(id.name);
  spec.mutable_version()->set_value(id.version.value);
  tensorflow::serving::SignatureDefMap map;
  FillSignatureDefMap(info, map);
  ASSIGN_OR_RETURN(const std::string spec_json, ToJson(spec));
  ASSIGN_OR_RETURN(const std::string map_json, ToJson(map));
  // Not the JSON of the response message, because that would name the type of the map next to its
  // content.
  return fmt::format("{{\n\"model_spec\": {},\n\"metadata\": {{\"signature_def\": {}{}}}\n}}\n",
                     spec_json, map_json, NotesJson(info));
}

StatusOr<std::string> ModelStatusJson(std::string_view name,
                                      std::optional<core::VersionNumber> version,
                                      std::span<const core::VersionStatus> versions,
                                      const Status& source) {
  tensorflow::serving::GetModelStatusResponse response;
  TRY(FillModelStatus(name, version, versions, source, response));
  return ToJson(response);
}

}  // namespace penstock::tfs
