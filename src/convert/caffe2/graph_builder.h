// SPDX-License-Identifier: Apache-2.0
// Builds an ONNX model node by node.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "convert/caffe2/dims.h"
#include "onnx/onnx.pb.h"

namespace penstock::convert {

// A node of type `type` that takes `inputs`; it has no outputs yet.
onnx::NodeProto MakeNode(std::string_view type, std::span<const std::string> inputs);
inline onnx::NodeProto MakeNode(std::string_view type, std::initializer_list<std::string> inputs) {
  return MakeNode(type, std::span(inputs.begin(), inputs.size()));
}
void SetInt(onnx::NodeProto& node, std::string_view name, int64_t value);
void SetInts(onnx::NodeProto& node, std::string_view name, std::span<const int64_t> values);
void SetFloat(onnx::NodeProto& node, std::string_view name, float value);
void SetTensor(onnx::NodeProto& node, std::string_view name, onnx::TensorProto tensor);
// A tensor of the type INT64 with one dimension.
onnx::TensorProto IntegersTensor(std::span<const int64_t> values);

// Collects the parts of a model and gives each value a name of its own. Constants that no node
// takes are left out. One thread at a time.
class GraphBuilder final {
 public:
  // `reserved` are names that FreshName never returns. It must outlive the builder.
  explicit GraphBuilder(const std::set<std::string, std::less<>>& reserved) : reserved_(reserved) {}

  // Returns a name that no value has, made of `base`.
  std::string FreshName(std::string_view base);
  // Returns false if a value has the name.
  bool TakeName(const std::string& name) { return taken_.insert(name).second; }

  // True if a node computes the value: it is no input and no constant.
  bool IsComputed(const std::string& value) const { return computed_.contains(value); }

  // Whose nodes are added from now on, for messages of the runtime. No two may be equal.
  void SetPurpose(std::string purpose) {
    purpose_ = std::move(purpose);
    nodes_ = 0;
  }

  void AddInput(const std::string& name, int type, const Dims& dims);
  void AddOutput(const std::string& name, int type, const Dims& dims);
  // The node's inputs must be values that are there already.
  void AddNode(onnx::NodeProto node);
  // Keeps a constant called `name` until a node takes it.
  void AddConstant(const std::string& name, onnx::TensorProto tensor);
  // The same for the only output of a ConstantOfShape.
  void AddFill(const std::string& name, const Dims& dims, onnx::TensorProto value);

  // Ends the model. INVALID_ARGUMENT if it is larger than protobuf allows.
  StatusOr<onnx::ModelProto> Finish(std::string_view name) &&;

 private:
  // A constant that no node has taken yet.
  struct Constant {
    onnx::TensorProto tensor;  // of a fill: its shape
    onnx::NodeProto fill;      // without a type: the constant is no fill
  };

  void Emit(const std::string& name, Constant constant);

  const std::set<std::string, std::less<>>& reserved_;
  std::set<std::string, std::less<>> taken_;
  std::set<std::string, std::less<>> computed_;
  std::map<std::string, int64_t, std::less<>> numbers_;  // of the last fresh name, by base
  std::map<std::string, Constant, std::less<>> constants_;
  std::string purpose_;
  int64_t nodes_ = 0;  // that were added for it
  onnx::ModelProto model_;
};

}  // namespace penstock::convert
