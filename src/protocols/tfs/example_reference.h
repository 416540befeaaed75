// SPDX-License-Identifier: Apache-2.0
// For tests and fuzzing: reads Examples with protobuf's own parser, and picks the features one by
// one, to compare the results with ReadExamples.
#pragma once

#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "infer/example_plans.h"
#include "protocols/tfs/example_reader.h"
#include "serving/classification.pb.h"
#include "tensorflow/example.pb.h"

namespace penstock::tfs::example_reference {

// Inputs of several kinds: "f" needs two floats, "i" and "s" have defaults, of "v" the first
// Example decides the size, "o" may be left out.
inline ModelInfo ExampleModel() {
  const auto input = [](std::string name, DType type, Shape shape) {
    TensorSpec spec;
    spec.name = std::move(name);
    spec.dtype = type;
    spec.shape = std::move(shape);
    return spec;
  };
  ModelInfo info;
  Signature& signature = info.signatures.emplace_back();
  signature.name = std::string(kDefaultSignatureName);
  signature.inputs = {input("f", DType::kFloat32, {-1, 2}), input("i", DType::kInt32, {-1}),
                      input("o", DType::kInt64, {-1, 1}), input("s", DType::kString, {-1, 1}),
                      input("v", DType::kFloat64, {-1, -1})};
  signature.inputs[2].optional = true;
  signature.outputs = {input("scores", DType::kFloat32, {-1, -1})};
  return info;
}

// The plans of that model, with the defaults.
inline ExamplePlans PlansOf(const ModelInfo& info) {
  ExampleOptions options;
  options.features = {{"i", "", {"7"}}, {"s", "", {"none"}}};
  return *ExamplePlans::Make(info, std::vector{options});
}

// The elements of one input, each as its bytes. None: it is left out.
using Rows = std::optional<std::vector<std::string>>;

template <typename T>
std::string ElementBytes(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

// The elements of one feature; none if it does not fit the type.
inline Rows ElementsOf(const tensorflow::Feature& feature, DType type) {
  std::vector<std::string> elements;
  if (type == DType::kString) {
    if (!feature.has_bytes_list()) return std::nullopt;
    return std::vector<std::string>(feature.bytes_list().value().begin(),
                                    feature.bytes_list().value().end());
  }
  for (const float value : feature.float_list().value()) {
    if (type == DType::kInt32 || type == DType::kInt64) return std::nullopt;
    elements.push_back(type == DType::kFloat32 ? ElementBytes(value)
                                               : ElementBytes(static_cast<double>(value)));
  }
  for (const int64_t value : feature.int64_list().value()) {
    if (type == DType::kInt32) {
      if (value != static_cast<int32_t>(value)) return std::nullopt;
      elements.push_back(ElementBytes(static_cast<int32_t>(value)));
    } else if (type == DType::kInt64) {
      elements.push_back(ElementBytes(value));
    } else {
      elements.push_back(type == DType::kFloat32 ? ElementBytes(static_cast<float>(value))
                                                 : ElementBytes(static_cast<double>(value)));
    }
  }
  const bool is_int = type == DType::kInt32 || type == DType::kInt64;
  if (feature.has_bytes_list() || (is_int && feature.has_float_list())) return std::nullopt;
  return elements;
}

// Adds the row of one Example. Returns false if it does not fit.
inline bool AddRow(const tensorflow::Example& example, const FeatureInput& input, bool is_first,
                   size_t& values, Rows& rows) {
  const auto& features = example.features().feature();
  const auto found = features.find(input.feature);
  const bool has_value =
      found != features.end() && found->second.kind_case() != tensorflow::Feature::KIND_NOT_SET;
  if (!has_value && input.default_row) {
    const Tensor& row = *input.default_row;
    rows->push_back(row.dtype() == DType::kString ? std::string(row.strings()[0].view())
                                                  : ElementBytes(row.as<int32_t>()[0]));
    return true;
  }
  if (!has_value) {
    // An optional input must be left out by all Examples or by none.
    if (!input.input->optional || (!is_first && rows)) return false;
    rows.reset();
    return true;
  }
  const Rows elements = ElementsOf(found->second, input.input->dtype);
  if (!elements || !rows) return false;
  if (is_first && input.values < 0) values = elements->size();
  rows->insert(rows->end(), elements->begin(), elements->end());
  return elements->size() == values;
}

// What protobuf and the rules make of a ClassificationRequest: the elements by input; none: it is
// refused.
inline std::optional<std::map<std::string, std::vector<std::string>>> Expected(
    const tensorflow::serving::ClassificationRequest& request, const ExamplePlan& plan) {
  std::vector<tensorflow::Example> examples;
  if (request.input().has_example_list()) {
    const auto& list = request.input().example_list().examples();
    examples.assign(list.begin(), list.end());
  } else if (request.input().has_example_list_with_context()) {
    for (const auto& each : request.input().example_list_with_context().examples()) {
      // This defines what a context means: the features of each Example go into a copy of it, as
      // protobuf merges maps. A feature without a kind has no value, so it replaces none.
      examples.push_back(request.input().example_list_with_context().context());
      auto& merged = *examples.back().mutable_features()->mutable_feature();
      for (const auto& [name, feature] : each.features().feature()) {
        if (feature.kind_case() != tensorflow::Feature::KIND_NOT_SET) merged[name] = feature;
      }
    }
  }
  if (examples.empty()) return std::nullopt;
  std::map<std::string, std::vector<std::string>> expected;
  for (const FeatureInput& input : plan.features) {
    Rows rows(std::in_place);
    auto values = static_cast<size_t>(input.values);
    for (size_t i = 0; i < examples.size(); ++i) {
      if (!AddRow(examples[i], input, i == 0, values, rows)) return std::nullopt;
    }
    if (rows) expected[input.input->name] = *std::move(rows);
  }
  return expected;
}

// The elements of a tensor, each as its bytes.
inline std::vector<std::string> ElementsOf(const Tensor& tensor) {
  std::vector<std::string> elements;
  if (tensor.dtype() == DType::kString) {
    for (const StringElement& each : tensor.strings()) elements.emplace_back(each.view());
    return elements;
  }
  const size_t size = DTypeBytes(tensor.dtype());
  for (size_t at = 0; at < tensor.bytes(); at += size) {
    elements.emplace_back(reinterpret_cast<const char*>(tensor.data()) + at, size);
  }
  return elements;
}

// Reads `message`, a ClassificationRequest, with both. Returns what differs, or nothing. Of what
// protobuf refuses, ReadExamples may accept more: it skips the values of features that no input
// takes.
inline std::string CompareExamples(std::string_view message) {
  static const ModelInfo info = ExampleModel();
  static const ExamplePlans plans = PlansOf(info);
  const ExamplePlan& plan = *plans.Find(ExampleMethod::kClassify, "");
  const Slice bytes = WholeSlice(CopyToBuffer(message));
  ExampleInput input;
  WireError error;
  RequestMemory memory(1 << 24);
  NamedTensors inputs;
  const bool is_scanned = input.Scan(bytes.view(), error);
  Status status = is_scanned ? ReadExamples(input, plan, bytes.owner, memory, inputs)
                             : InvalidArgument("{}", error.what);
  const google::protobuf::LogSilencer silencer;
  tensorflow::serving::ClassificationRequest request;
  // Nothing to compare with. See above for why ours may have read it.
  if (!request.ParseFromArray(message.data(), static_cast<int>(message.size()))) return {};
  if (status.code() == StatusCode::kResourceExhausted) return {};
  const auto expected = Expected(request, plan);
  if (!expected) return status.ok() ? "ours accepts what the rules refuse" : "";
  if (!status.ok()) return "ours refuses: " + std::string(MessageOf(status));
  if (inputs.size() != expected->size()) return "the number of inputs";
  for (const NamedTensor& each : inputs) {
    const auto found = expected->find(std::string(each.name));
    if (found == expected->end() || ElementsOf(each.tensor) != found->second) {
      return "the input " + std::string(each.name);
    }
  }
  return {};
}

}  // namespace penstock::tfs::example_reference
