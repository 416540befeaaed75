// SPDX-License-Identifier: Apache-2.0
#include "convert/caffe2/graph_builder.h"

#include <fmt/format.h>

#include <climits>
#include <utility>

namespace penstock::convert {
namespace {

using onnx::AttributeProto;

// Softmax of this version flattens its input to a matrix, as Caffe2's does. From 13 on it does not.
constexpr int64_t kOpset = 12;
constexpr int64_t kIrVersion = 7;
constexpr std::string_view kRowsName = "rows";

AttributeProto& AddAttribute(onnx::NodeProto& node, std::string_view name,
                             AttributeProto::AttributeType type) {
  AttributeProto& attribute = *node.add_attribute();
  attribute.set_name(std::string(name));
  attribute.set_type(type);
  return attribute;
}

void Describe(const std::string& name, int type, const Dims& dims, onnx::ValueInfoProto& value) {
  value.set_name(name);
  onnx::TypeProto::Tensor& tensor = *value.mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(type);
  onnx::TensorShapeProto& shape = *tensor.mutable_shape();
  for (const int64_t dim : dims) {
    onnx::TensorShapeProto::Dimension& to = *shape.add_dim();
    if (dim == kRows) to.set_dim_param(std::string(kRowsName));
    // Without a name of its own, the runtime would infer the size, and call it "rows", too.
    if (dim == kUnknown) to.set_dim_param(fmt::format("{}.{}", name, shape.dim_size() - 1));
    if (dim >= 0) to.set_dim_value(dim);
  }
}

}  // namespace

onnx::NodeProto MakeNode(std::string_view type, std::span<const std::string> inputs) {
  onnx::NodeProto node;
  node.set_op_type(std::string(type));
  for (const std::string& input : inputs) node.add_input(input);
  return node;
}

void SetInt(onnx::NodeProto& node, std::string_view name, int64_t value) {
  AddAttribute(node, name, AttributeProto::INT).set_i(value);
}

void SetInts(onnx::NodeProto& node, std::string_view name, std::span<const int64_t> values) {
  AddAttribute(node, name, AttributeProto::INTS).mutable_ints()->Add(values.begin(), values.end());
}

void SetFloat(onnx::NodeProto& node, std::string_view name, float value) {
  AddAttribute(node, name, AttributeProto::FLOAT).set_f(value);
}

void SetTensor(onnx::NodeProto& node, std::string_view name, onnx::TensorProto tensor) {
  *AddAttribute(node, name, AttributeProto::TENSOR).mutable_t() = std::move(tensor);
}

onnx::TensorProto IntegersTensor(std::span<const int64_t> values) {
  onnx::TensorProto tensor;
  tensor.add_dims(static_cast<int64_t>(values.size()));
  tensor.set_data_type(onnx::TensorProto::INT64);
  tensor.set_raw_data(values.data(), values.size_bytes());
  return tensor;
}

std::string GraphBuilder::FreshName(std::string_view base) {
  int64_t& number = numbers_[std::string(base)];
  while (true) {
    std::string name = fmt::format("{}.{}", base, ++number);
    if (!reserved_.contains(name) && taken_.insert(name).second) return name;
  }
}

void GraphBuilder::AddInput(const std::string& name, int type, const Dims& dims) {
  Describe(name, type, dims, *model_.mutable_graph()->add_input());
}

void GraphBuilder::AddOutput(const std::string& name, int type, const Dims& dims) {
  Describe(name, type, dims, *model_.mutable_graph()->add_output());
}

void GraphBuilder::AddConstant(const std::string& name, onnx::TensorProto tensor) {
  tensor.set_name(name);
  constants_[name] = {.tensor = std::move(tensor), .fill = {}};
}

void GraphBuilder::AddFill(const std::string& name, const Dims& dims, onnx::TensorProto value) {
  Constant constant{.tensor = IntegersTensor(dims), .fill = MakeNode("ConstantOfShape", {})};
  SetTensor(constant.fill, "value", std::move(value));
  constants_[name] = std::move(constant);
}

void GraphBuilder::Emit(const std::string& name, Constant constant) {
  onnx::GraphProto& graph = *model_.mutable_graph();
  if (constant.fill.has_op_type()) {
    const std::string shape = FreshName(name);
    constant.tensor.set_name(shape);
    constant.fill.add_input(shape);
    constant.fill.add_output(name);
    *graph.add_node() = std::move(constant.fill);
  }
  *graph.add_initializer() = std::move(constant.tensor);
}

void GraphBuilder::AddNode(onnx::NodeProto node) {
  for (const std::string& input : node.input()) {
    auto constant = constants_.extract(input);
    if (!constant.empty()) Emit(input, std::move(constant.mapped()));
  }
  ++nodes_;  // the runtime wants each name once
  node.set_name(nodes_ > 1 ? fmt::format("{} ({})", purpose_, nodes_) : purpose_);
  computed_.insert(node.output().begin(), node.output().end());
  *model_.mutable_graph()->add_node() = std::move(node);
}

StatusOr<onnx::ModelProto> GraphBuilder::Finish(std::string_view name) && {
  model_.set_ir_version(kIrVersion);
  model_.set_producer_name("penstock");
  model_.mutable_graph()->set_name(std::string(name));
  model_.add_opset_import()->set_version(kOpset);
  if (model_.ByteSizeLong() > INT_MAX)
    return InvalidArgument("the model is larger than 2 GiB, which ONNX does not allow in one file");
  return std::move(model_);
}

}  // namespace penstock::convert
