// SPDX-License-Identifier: Apache-2.0
// The files of a Caffe2 model: value_inputs.json up to the first NUL, then init_net.pb and
// predict_net.pb, each with its length in the 4 bytes before it. What is imported must be an ONNX
// graph in which each value has one name, and is there before it is taken.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <set>
#include <string>
#include <string_view>

#include "convert/caffe2/net_importer.h"
#include "convert/caffe2/value_inputs.h"

namespace {

using caffe2::NetDef;
using penstock::convert::ValueInput;

// Cuts the next net off `bytes`.
NetDef TakeNet(std::string_view& bytes) {
  uint32_t size = 0;
  if (bytes.size() >= sizeof(size)) {
    std::memcpy(&size, bytes.data(), sizeof(size));
    bytes.remove_prefix(sizeof(size));
  }
  const std::string_view net = bytes.substr(0, size);
  bytes.remove_prefix(net.size());
  NetDef parsed;
  if (!parsed.ParseFromArray(net.data(), static_cast<int>(net.size()))) parsed.Clear();
  return parsed;
}

void CheckGraph(const onnx::GraphProto& graph) {
  std::set<std::string> values;
  const auto add = [&values](const std::string& name) {
    if (name.empty() || !values.insert(name).second) std::abort();
  };
  for (const auto& value : graph.input()) add(value.name());
  for (const auto& tensor : graph.initializer()) add(tensor.name());
  for (const auto& node : graph.node()) {
    for (const std::string& input : node.input()) {
      if (!values.contains(input)) std::abort();
    }
    for (const std::string& output : node.output()) add(output);
  }
  for (const auto& value : graph.output()) {
    if (!values.contains(value.name())) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::string_view json = bytes.substr(0, bytes.find('\0'));
  bytes.remove_prefix(json.size() + (json.size() < bytes.size() ? 1 : 0));
  const auto inputs = penstock::convert::ParseValueInputs(json);
  if (!inputs.ok()) return 0;
  NetDef init_net = TakeNet(bytes);
  NetDef predict_net = TakeNet(bytes);
  const auto model =
      penstock::convert::ImportNets(std::move(init_net), std::move(predict_net), *inputs);
  if (model.ok()) CheckGraph(model->graph());
  return 0;
}
