// SPDX-License-Identifier: Apache-2.0
// A Caffe2 net is a list of operators that read and write named blobs. The same blob may be written
// many times, often in place (a Relu that reads and writes "conv1"). In ONNX each value has one
// writer. So each write gets a value of its own, and the table of blobs says which value a name
// means at the moment. The names that clients use stay: those of the inputs, and that of the last
// write to an output.
#include "convert/caffe2/net_importer.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "base/options/nearest_name.h"
#include "convert/caffe2/operation.h"
#include "convert/caffe2/shown.h"

namespace penstock::convert {
namespace {

using ::caffe2::NetDef;
using ::caffe2::OperatorDef;
using Names = std::set<std::string, std::less<>>;

// The names that the nets use, collected before the first operator is translated.
struct UsedNames {
  Names all;
  Names read;                                 // by an operator, or as an output of the model
  std::map<std::string, int64_t> last_write;  // the number of the operator, by blob
};

// Adds the names of a net whose first operator has the number `first`.
void Collect(const NetDef& net, int64_t first, UsedNames& names) {
  for (const OperatorDef& op : net.op()) {
    for (const std::string& input : op.input()) {
      names.all.insert(input);
      names.read.insert(input);
    }
    for (const std::string& output : op.output()) {
      names.all.insert(output);
      names.last_write[output] = first;
    }
    ++first;
  }
}

// Imports one model. One thread at a time.
class Importer final : public Blobs {
 public:
  // Clients name the inputs, so nothing else may have their names: init_net often fills them with
  // something, too.
  Importer(const UsedNames& names, std::span<const ValueInput> inputs)
      : names_(names), graph_(names.all) {
    for (const ValueInput& input : inputs) graph_.TakeName(input.name);
  }

  // Translates all operators of a net, and clears them.
  Status AddNet(std::string_view file, NetDef net);
  Status AddInputs(std::span<const ValueInput> inputs, const NetDef& predict_net);
  Status AddOutputs(const NetDef& predict_net);
  StatusOr<onnx::ModelProto> Finish(std::string_view name) && {
    return std::move(graph_).Finish(name);
  }

  const Blob* Find(const std::string& name) const override {
    const auto found = blobs_.find(name);
    return found == blobs_.end() ? nullptr : &found->second;
  }
  std::string NewValue(const std::string& name) override;
  void Set(const std::string& name, Blob blob) override { blobs_[name] = std::move(blob); }
  bool IsRead(const std::string& name) const override { return names_.read.contains(name); }

 private:
  Status AddOperator(const OperatorDef& op);

  const UsedNames& names_;
  GraphBuilder graph_;
  std::map<std::string, Blob> blobs_;
  std::optional<int64_t> rows_;  // of the example request, if all inputs agree
  int64_t number_ = 0;           // of the current operator, through both nets
};

std::string Importer::NewValue(const std::string& name) {
  const auto last = names_.last_write.find(name);
  const bool is_last = last != names_.last_write.end() && last->second == number_;
  if (is_last && graph_.TakeName(name)) return name;
  return graph_.FreshName(name);
}

Status Importer::AddOperator(const OperatorDef& op) {
  const OperatorRule* const rule = FindOperator(op.type());
  if (rule == nullptr)
    return InvalidArgument("this type is not imported; those that are: {}", OperatorNames());
  Names outputs;
  for (const std::string& output : op.output()) {
    if (output.empty()) return InvalidArgument("an output has no name");
    if (!outputs.insert(output).second)
      return InvalidArgument("two outputs have the name '{}'", Shown(output));
  }
  Operation operation(op, *this, graph_, rows_);
  TRY(operation.args().Check());
  TRY(operation.CheckTypes(rule->inputs));
  return rule->translate(operation);
}

Status Importer::AddNet(std::string_view file, NetDef net) {
  for (int position = 0; position < net.op_size(); ++position, ++number_) {
    OperatorDef op;
    op.Swap(net.mutable_op(position));
    const std::string name = op.name().empty() && op.output_size() > 0 ? op.output(0) : op.name();
    graph_.SetPurpose(fmt::format("{} op[{}] {}", file, position, Shown(name)));
    const Status status = AddOperator(op);
    if (!status.ok())
      return InvalidArgument("{} '{}': op[{}] '{}' of type {}: {}", file, Shown(net.name()),
                             position, Shown(name), Shown(op.type()), MessageOf(status));
  }
  return OkStatus();
}

Status Importer::AddInputs(std::span<const ValueInput> inputs, const NetDef& predict_net) {
  Names read;
  for (const OperatorDef& op : predict_net.op()) read.insert(op.input().begin(), op.input().end());
  const std::vector<std::string_view> candidates(predict_net.external_input().begin(),
                                                 predict_net.external_input().end());
  if (!inputs.empty() && !inputs[0].dims.empty()) rows_ = inputs[0].dims[0];
  for (const ValueInput& input : inputs) {
    if (!read.contains(input.name)) {
      const bool is_listed =
          std::find(candidates.begin(), candidates.end(), input.name) != candidates.end();
      const std::string_view nearest =
          is_listed ? std::string_view() : NearestName(input.name, candidates);
      return InvalidArgument(
          "value_inputs: no operator of predict_net reads the input '{}'{}", Shown(input.name),
          nearest.empty() ? "" : fmt::format("; did you mean '{}'?", Shown(nearest)));
    }
    Dims dims = input.dims;
    if (!dims.empty()) {
      if (rows_ != dims[0]) rows_.reset();
      dims[0] = kRows;
    }
    graph_.AddInput(input.name, input.type, dims);
    blobs_[input.name] = Blob{.value = input.name, .type = input.type, .dims = std::move(dims)};
  }
  return OkStatus();
}

Status Importer::AddOutputs(const NetDef& predict_net) {
  Names seen;
  for (const std::string& name : predict_net.external_output()) {
    if (!seen.insert(name).second) continue;
    const Blob* const blob = Find(name);
    if (blob == nullptr)
      return InvalidArgument("predict_net '{}': nothing writes the external_output '{}'",
                             Shown(predict_net.name()), Shown(name));
    if (!blob->unreadable.empty())
      return InvalidArgument("predict_net '{}': the external_output '{}' is {}",
                             Shown(predict_net.name()), Shown(name), blob->unreadable);
    if (!graph_.IsComputed(blob->value) || blob->value != name)
      return InvalidArgument(
          "predict_net '{}': the external_output '{}' is {}; an output must be a blob of its own "
          "that an operator computes",
          Shown(predict_net.name()), Shown(name),
          blob->value == name ? "an input or a constant" : "an input that is written in place");
    graph_.AddOutput(name, blob->type, blob->dims);
  }
  if (seen.empty())
    return InvalidArgument("predict_net '{}' has no external_output", Shown(predict_net.name()));
  return OkStatus();
}

}  // namespace

StatusOr<onnx::ModelProto> ImportNets(NetDef init_net, NetDef predict_net,
                                      std::span<const ValueInput> inputs) {
  // The outputs and names, which are needed after the operators are used up.
  NetDef interface;
  interface.set_name(predict_net.name());
  *interface.mutable_external_output() = predict_net.external_output();
  UsedNames names;
  Collect(init_net, 0, names);
  Collect(predict_net, init_net.op_size(), names);
  for (const ValueInput& input : inputs) names.all.insert(input.name);
  for (const std::string& output : predict_net.external_output()) {
    names.all.insert(output);
    names.read.insert(output);
  }
  Importer importer(names, inputs);
  TRY(importer.AddNet("init_net", std::move(init_net)));
  TRY(importer.AddInputs(inputs, predict_net));
  TRY(importer.AddNet("predict_net", std::move(predict_net)));
  TRY(importer.AddOutputs(interface));
  return std::move(importer).Finish(interface.name());
}

}  // namespace penstock::convert
