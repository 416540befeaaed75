// SPDX-License-Identifier: Apache-2.0
// Differential: the same request as JSON and as protobuf, and the same answer. The first byte
// chooses what the others are: the body of a :predict call, the body of a :classify call, or what a
// request is made of.
#include <fuzzer/FuzzedDataProvider.h>

#include <cstdio>
#include <cstdlib>

#include "frontends/tfs_rest/examples_decoder.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "json_rules.h"
#include "protocols/tfs/example_reference.h"
#include "protocols/tfs/example_request.h"
#include "protocols/tfs/predict_reference.h"
#include "protocols/tfs/predict_writer.h"
#include "protocols/tfs_json/predict_encoder.h"
#include "rest_grpc_request.h"

namespace penstock::rest_grpc {
namespace {

using json_tree::Value;
using tensorflow::serving::ClassificationRequest;
using tensorflow::serving::PredictRequest;
using tensorflow::serving::PredictResponse;
using tfs::reference::Elements;
using tfs_json::PredictFormat;

constexpr uint64_t kTensorBytesMax = tfs::reference::kCompareBytesMax;

void Require(bool condition, std::string_view what) {
  if (condition) return;
  std::fprintf(stderr, "REST and gRPC differ: %.*s\n", static_cast<int>(what.size()), what.data());
  std::abort();
}

// A request that one of the readers has read. `status` is also that of the check against the
// signature.
struct Read {
  Status status;
  PredictFormat format = PredictFormat::kRow;
  tfs::ReadPredict message;
};

Read ReadJson(std::string_view body, const ModelInfo& info) {
  Read read;
  tfs_json::DecoderOptions options;
  options.tensor_bytes_max = kTensorBytesMax;
  const StatusOr<PredictFormat> format = tfs_json::DecodePredictRequest(
      WholeSlice(CopyToBuffer(body)), info, options, read.message.request);
  read.status = format.status();
  if (format.ok()) read.format = *format;
  return read;
}

Read ReadProto(const PredictRequest& proto) {
  Read read;
  const Slice bytes = WholeSlice(CopyToBuffer(proto.SerializeAsString()));
  read.status = tfs::ReadPredictRequest(bytes, {}, read.message);
  return read;
}

Elements ElementsOf(const tensorflow::TensorProto& proto) {
  Elements elements;
  const tfs::reference::Verdict verdict = tfs::reference::ReadTensor(proto, elements);
  Require(verdict == tfs::reference::Verdict::kOk, "protobuf's tensor is refused");
  return elements;
}

// Nested lists do not have the sizes inside an empty list.
void CutBehindZero(std::vector<int64_t>& dims) {
  const auto zero = std::find(dims.begin(), dims.end(), 0);
  if (zero != dims.end()) dims.erase(zero + 1, dims.end());
}

// The bytes of a NaN with the sign and the payload that JSON gives it. Other bytes stay the same.
std::string WithPlainNan(std::string bytes, DType type) {
  const auto replace = [&]<typename T>(T nan, auto is_nan) {
    for (size_t at = 0; at < bytes.size(); at += sizeof(T)) {
      T value;
      std::memcpy(&value, bytes.data() + at, sizeof value);
      if (is_nan(value)) std::memcpy(bytes.data() + at, &nan, sizeof nan);
    }
  };
  const auto is_nan = [](auto value) { return value != value; };
  if (type == DType::kFloat32 || type == DType::kComplex64) {
    replace(std::numeric_limits<float>::quiet_NaN(), is_nan);
  } else if (type == DType::kFloat64 || type == DType::kComplex128) {
    replace(std::numeric_limits<double>::quiet_NaN(), is_nan);
  } else if (type == DType::kFloat16) {
    replace(uint16_t{0x7E00}, [](uint16_t bits) { return (bits & 0x7FFF) > 0x7C00; });
  } else if (type == DType::kBfloat16) {
    replace(uint16_t{0x7FC0}, [](uint16_t bits) { return (bits & 0x7FFF) > 0x7F80; });
  }
  return bytes;
}

// What JSON can carry of a tensor.
Elements Written(Elements elements) {
  CutBehindZero(elements.dims);
  for (std::string& value : elements.values) {
    value = WithPlainNan(std::move(value), static_cast<DType>(elements.dtype));
  }
  return elements;
}

const Tensor& Find(const NamedTensors& tensors, std::string_view name) {
  const auto found = std::find_if(tensors.begin(), tensors.end(),
                                  [&](const NamedTensor& each) { return each.name == name; });
  Require(found != tensors.end(), "the name of an input");
  return found->tensor;
}

// What both have read must be the same. `is_json`: the request may have lost what JSON cannot
// carry.
void CompareRequests(const Read& json, const Read& grpc, bool is_json) {
  const InferRequest& one = json.message.request;
  const InferRequest& other = grpc.message.request;
  Require(one.signature_name == other.signature_name, "the name of the signature");
  Require(one.inputs.size() == other.inputs.size(), "the number of inputs");
  for (const NamedTensor& input : one.inputs) {
    Elements got = tfs::reference::ElementsOf(input.tensor);
    Elements wanted = tfs::reference::ElementsOf(Find(other.inputs, input.name));
    if (is_json) wanted = Written(std::move(wanted));
    if (is_json) got = Written(std::move(got));
    Require(got == wanted, "an input's tensor");
  }
}

bool IsUtf8(std::string_view text) {
  for (size_t length = 0; !text.empty(); text.remove_prefix(length)) {
    length = Utf8Length(text);
    if (length == 0) return false;
  }
  return true;
}

// True if JSON has a form for this answer.
bool CanWrite(const NamedTensors& outputs, PredictFormat format) {
  for (const NamedTensor& output : outputs) {
    const Shape& shape = output.tensor.shape();
    if (format == PredictFormat::kRow &&
        (shape.rank() == 0 || shape.dim(0) != outputs[0].tensor.shape().dim(0))) {
      return false;
    }
    if (output.tensor.dtype() != DType::kString || output.name.ends_with("_bytes")) continue;
    for (const StringElement& each : output.tensor.strings()) {
      if (!IsUtf8(each.view())) return false;
    }
  }
  return true;
}

// The value of one output of an answer in JSON.
Value OutputOf(const Value& answer, std::string_view name, PredictFormat format) {
  bool is_twice = false;
  if (format == PredictFormat::kColumn) {
    const Value* const value = json_rules::Find(answer, name, is_twice);
    Require(value != nullptr && !is_twice, "the names of the outputs");
    return *value;
  }
  Value rows{.kind = Value::Kind::kList};
  for (const Value& row : answer.items) {
    const Value* const value = json_rules::Find(row, name, is_twice);
    Require(value != nullptr && !is_twice, "the names of the outputs");
    rows.items.push_back(*value);
  }
  return rows;
}

// Writes the answer both ways, and reads it as a client does.
void CompareAnswers(const NamedTensors& outputs, PredictFormat format, bool as_content) {
  if (outputs.empty()) return;
  const StatusOr<ByteChain> text = tfs_json::EncodePredictResponse(format, outputs);
  Require(text.ok() == CanWrite(outputs, format), "whether an answer has a form in JSON");
  if (!text.ok()) return;
  const Slice json = Flatten(*text);
  const std::optional<Value> body = json_tree::Parser(json.view()).Parse();
  Require(body && body->IsObject() && body->members.size() == 1, "the answer is no JSON");
  Require(body->members[0].key == (format == PredictFormat::kRow ? "predictions" : "outputs"),
          "the key of the answer");
  const Value& answer = body->members[0].value;

  const StatusOr<ByteChain> bytes = tfs::WritePredictResponse(
      outputs, {"m", core::VersionNumber{1}, ""}, {.as_tensor_content = as_content});
  Require(bytes.ok(), "an answer has no form in protobuf");
  PredictResponse proto;
  Require(proto.ParseFromString(std::string(Flatten(*bytes).view())), "the answer is no protobuf");
  Require(static_cast<size_t>(proto.outputs_size()) == outputs.size(), "the number of outputs");
  for (const auto& [name, wanted] : proto.outputs()) {
    const Value value = outputs.size() == 1 ? answer : OutputOf(answer, name, format);
    tensorflow::TensorProto got;
    Require(json_rules::FillTensor(value, static_cast<DType>(wanted.dtype()), got),
            "the form of an output");
    Require(Written(ElementsOf(got)) == Written(ElementsOf(wanted)), "an output's tensor");
  }
}

// Writes what was read as a PredictRequest, and reads that with protobuf.
void CompareWriter(const InferRequest& request) {
  const StatusOr<ByteChain> bytes =
      tfs::WritePredictRequest(request.inputs, {"m", core::VersionNumber{1}, ""});
  Require(bytes.ok(), "a request has no form in protobuf");
  PredictRequest proto;
  Require(proto.ParseFromString(std::string(Flatten(*bytes).view())), "the request is no protobuf");
  Require(static_cast<size_t>(proto.inputs_size()) == request.inputs.size(), "inputs are lost");
  for (const auto& [name, tensor] : proto.inputs()) {
    const Tensor& wanted = Find(request.inputs, name);
    Require(ElementsOf(tensor) == tfs::reference::ElementsOf(wanted), "a written input's tensor");
  }
}

// Any bytes as the body of a :predict call: the server's reader against the plain rules, and what
// gRPC makes of the message that the rules give.
void TryBody(std::string_view body, const ModelInfo& info) {
  Read json = ReadJson(body, info);
  if (json.status.code() == StatusCode::kResourceExhausted) return;
  json_tree::Parser parser(body);
  const std::optional<Value> tree = parser.Parse();
  if (parser.is_too_deep()) return;
  std::optional<PredictRequest> rules;
  if (tree) rules = json_rules::PredictRules(info).Read(*tree);
  Require(rules || !json.status.ok(), "ours accepts what the rules refuse");
  Require(!rules || json.status.ok(), MessageOf(json.status));
  if (!rules) return;
  const Read grpc = ReadProto(*rules);
  Require(grpc.status.ok(), MessageOf(grpc.status));
  CompareRequests(json, grpc, /*is_json=*/false);
  if (!info.traits.any_signature) {
    Require(CheckRequest(info, json.message.request) == CheckRequest(info, grpc.message.request),
            "the check against the signature");
  }
  CompareWriter(json.message.request);
  for (const PredictFormat format : {PredictFormat::kRow, PredictFormat::kColumn}) {
    CompareAnswers(json.message.request.inputs, format, format == PredictFormat::kRow);
  }
}

std::string Deterministic(const ClassificationRequest& request) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  request.SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

// The inputs that a model gets of a ClassificationRequest.
Read ReadExamples(std::string_view message, tfs::ExampleRequest& examples) {
  static const ModelInfo info = tfs::example_reference::ExampleModel();
  static const ExamplePlans plans = tfs::example_reference::PlansOf(info);
  Read read;
  const Slice bytes = WholeSlice(CopyToBuffer(message));
  read.message.request.names_owner = bytes.owner;
  RequestMemory memory(1 << 24);
  read.status = examples.Scan(bytes, tfs::ExampleApi::kClassify, /*tasks_max=*/1);
  if (read.status.ok()) read.status = examples.ReadInputs(plans, memory, read.message.request);
  return read;
}

// Any bytes as the body of a :classify call: it must be the ClassificationRequest that the rules
// give, and the model must get the same of both.
void TryExamples(std::string_view body) {
  RequestMemory memory(kTensorBytesMax);
  const StatusOr<Slice> message =
      tfs_rest::DecodeExamples(WholeSlice(CopyToBuffer(body)), {}, memory);
  if (message.status().code() == StatusCode::kResourceExhausted) return;
  json_tree::Parser parser(body);
  const std::optional<Value> tree = parser.Parse();
  if (parser.is_too_deep()) return;
  std::optional<ClassificationRequest> rules;
  if (tree) rules = json_rules::ReadExamples(*tree);
  Require(rules || !message.ok(), "ours accepts Examples that the rules refuse");
  Require(!rules || message.ok(), MessageOf(message.status()));
  if (!rules) return;
  ClassificationRequest ours;
  Require(ours.ParseFromString(std::string(message->view())), "the Examples are no protobuf");
  Require(Deterministic(ours) == Deterministic(*rules), "the Examples");
  tfs::ExampleRequest json_examples, grpc_examples;
  const Read json = ReadExamples(message->view(), json_examples);
  const Read grpc = ReadExamples(rules->SerializeAsString(), grpc_examples);
  Require(json.status == grpc.status, "the error of Examples");
  if (json.status.ok()) CompareRequests(json, grpc, /*is_json=*/false);
}

// A request that both front ends should read to the same, or both refuse.
void TryRequest(FuzzedDataProvider& data) {
  const Request request = MakeRequest(data);
  Read json = ReadJson(request.json, request.info);
  if (json.status.ok()) json.status = CheckRequest(request.info, json.message.request);
  Read grpc = ReadProto(request.proto);
  if (grpc.status.ok()) grpc.status = CheckRequest(request.info, grpc.message.request);
  Require(json.status.ok() == grpc.status.ok(),
          fmt::format("{} | {}", MessageOf(json.status), MessageOf(grpc.status)));
  Require(json.status.ok() != request.is_wrong, MessageOf(json.status));
  TryBody(request.json, request.info);
  if (!json.status.ok()) return;
  CompareRequests(json, grpc, /*is_json=*/true);
  CompareAnswers(grpc.message.request.inputs, json.format, data.ConsumeBool());
}

// The models for bodies: one for each type, one with several inputs, one that takes any.
const std::vector<ModelInfo>& Models() {
  static const std::vector<ModelInfo> models = [] {
    std::vector<ModelInfo> made;
    for (const DType type : kTypes) made.push_back(MakeModel({{"a", type}}));
    made.push_back(MakeModel({{"a", DType::kFloat32},
                              {"b", DType::kInt64},
                              {"c_bytes", DType::kString},
                              {"d", DType::kBool, true}}));
    made.emplace_back().traits.any_signature = true;
    return made;
  }();
  return models;
}

}  // namespace
}  // namespace penstock::rest_grpc

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace penstock::rest_grpc;
  const google::protobuf::LogSilencer silencer;
  if (size < 2) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 2, size - 2);
  if (data[0] == 'p') {
    TryBody(rest, Models()[data[1] % Models().size()]);
  } else if (data[0] == 'e') {
    TryExamples(rest);
  } else {
    FuzzedDataProvider provider(data + 1, size - 1);
    TryRequest(provider);
  }
  return 0;
}
