// SPDX-License-Identifier: Apache-2.0
// Exporters write classifiers in three forms. Some end in a ZipMap. Some end in an operator of
// ai.onnx.ml that has the labels, with a few operators behind it, such as a Normalizer. The others
// compute the scores with plain operators, and the label is ArrayFeatureExtractor(labels,
// ArgMax(scores)).
#include "onnx_labels.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "onnx_value.h"

namespace penstock::onnxruntime {
namespace {

constexpr size_t kLabelsMax = 1000 * 1000;  // of a node, and of all outputs
constexpr std::string_view kMlDomain = "ai.onnx.ml";

// Of these, column n of the output comes from column n of the first input.
constexpr std::string_view kKeepColumns[] = {"Identity", "Cast", "Softmax", "Sigmoid",
                                             "Exp",      "Sub",  "Div"};

std::vector<std::string> ReadLabels(Fields node) {
  std::vector<std::string> labels;
  while (node.Next()) {
    if (node.number() != kNodeAttribute || !node.HasLength()) continue;
    std::string name;
    std::vector<std::string> read;
    for (Fields attribute = node.Inside(); attribute.Next() && read.size() < kLabelsMax;) {
      const uint32_t number = attribute.number();
      if (number == kAttributeName && attribute.HasLength()) name = attribute.Text();
      if (number == kAttributeStrings && attribute.HasLength()) read.push_back(attribute.Text());
      if (number != kAttributeInts) continue;
      std::vector<int64_t> numbers;
      ReadDims(attribute, numbers);
      for (const int64_t label : numbers) read.push_back(std::to_string(label));
    }
    // Each such operator has two attributes, classlabels_strings and classlabels_int64s, and one of
    // them is empty.
    if (name.starts_with("classlabels_") && !read.empty()) labels = std::move(read);
  }
  return labels;
}

// The axis of a reduction; 0 is the default.
int64_t ReadAxis(Fields node) {
  int64_t axis = 0;
  while (node.Next()) {
    if (node.number() != kNodeAttribute || !node.HasLength()) continue;
    std::string name;
    int64_t value = 0;
    for (Fields attribute = node.Inside(); attribute.Next();) {
      if (attribute.number() == kAttributeName && attribute.HasLength()) name = attribute.Text();
      if (attribute.number() == kAttributeInt && !attribute.HasLength()) {
        value = static_cast<int64_t>(attribute.value());
      }
    }
    if (name == "axis") axis = value;
  }
  return axis;
}

// The elements of a small tensor as text; empty if it has no labels.
std::vector<std::string> TextsOf(const plugin::Value& value) {
  if (value.dtype == PENSTOCK_STRING) return value.strings;
  std::vector<std::string> texts;
  const auto read = [&]<typename T>(T number) {
    for (size_t at = 0; at < value.bytes.size(); at += sizeof number) {
      std::memcpy(&number, value.bytes.data() + at, sizeof number);
      texts.push_back(std::to_string(number));
    }
  };
  if (value.dtype == PENSTOCK_INT64) read(int64_t());
  if (value.dtype == PENSTOCK_INT32) read(int32_t());
  return texts;
}

}  // namespace

LabelReader::Node LabelReader::ReadNode(Fields node) {
  Node read;
  while (node.Next()) {
    if (!node.HasLength()) continue;
    if (node.number() == kNodeOperator) read.operation = node.Text();
    if (node.number() == kNodeDomain) read.domain = node.Text();
    if (node.number() == kNodeInput) read.inputs.push_back(node.Text());
    if (node.number() == kNodeOutput) read.outputs.push_back(node.Text());
  }
  return read;
}

void LabelReader::PassOn(const Node& node) {
  if (labels_.empty() || node.inputs.empty()) return;
  const bool keeps_columns = node.domain == kMlDomain
                                 ? node.operation == "Normalizer"
                                 : std::find(std::begin(kKeepColumns), std::end(kKeepColumns),
                                             node.operation) != std::end(kKeepColumns);
  if (!keeps_columns) return;
  const auto found = labels_.find(node.inputs[0]);
  if (found != labels_.end()) labels_.emplace(node.outputs[0], found->second);
}

void LabelReader::AddNode(Fields node) {
  const Node read = ReadNode(node);
  if (read.outputs.empty()) return;
  PassOn(read);
  if (read.domain != kMlDomain) {
    // A matrix of scores has the columns last.
    const bool is_best = read.operation == "ArgMax" && !read.inputs.empty();
    if (!is_best) return;
    if (const int64_t axis = ReadAxis(node); axis != 1 && axis != -1) return;
    best_of_.emplace(read.outputs[0], read.inputs[0]);
  } else if (read.operation == "ZipMap") {
    zip_maps_.push_back({read.outputs[0], ReadLabels(node)});
    labels_[read.outputs[0]] =
        std::make_shared<const std::vector<std::string>>(zip_maps_.back().labels);
  } else if (read.operation.ends_with("Classifier")) {
    // The first one of two outputs is the chosen label itself.
    labels_[read.outputs.back()] =
        std::make_shared<const std::vector<std::string>>(ReadLabels(node));
  } else if (read.operation == "ArrayFeatureExtractor" && read.inputs.size() == 2) {
    choices_.push_back({read.inputs[0], read.inputs[1]});
  }
}

bool LabelReader::AddChosenLabels(const std::map<std::string, Fields>& initializers) {
  bool has_added = false;
  for (const Choice& choice : choices_) {
    const auto scores = best_of_.find(choice.position);
    const auto labels = initializers.find(choice.labels);
    if (scores == best_of_.end() || labels == initializers.end()) continue;
    const std::optional<plugin::Value> value = ReadSmallTensor(labels->second);
    if (!value) continue;
    std::vector<std::string> texts = TextsOf(*value);
    if (texts.empty()) continue;
    has_added |= labels_
                     .emplace(scores->second,
                              std::make_shared<const std::vector<std::string>>(std::move(texts)))
                     .second;
  }
  return has_added;
}

void LabelReader::Finish(Fields graph, const std::map<std::string, Fields>& initializers,
                         const Names& outputs, OnnxFile& file) {
  // These labels are known only behind all nodes, so the nodes are read once more.
  if (AddChosenLabels(initializers)) {
    while (graph.Next()) {
      if (graph.number() != kGraphNode || !graph.HasLength()) continue;
      const Node node = ReadNode(graph.Inside());
      if (!node.outputs.empty()) PassOn(node);
    }
  }
  // Inside the graph, a ZipMap or a classifier feeds other nodes, and no client sees it.
  for (ZipMap& map : zip_maps_) {
    if (outputs.contains(map.output)) file.zip_maps.push_back(std::move(map));
  }
  size_t count = 0;
  for (const auto& [name, labels] : labels_) {
    if (!outputs.contains(name)) continue;
    count += labels->size();
    // A hostile file could give the same million labels to many outputs.
    if (count > kLabelsMax) break;
    file.class_labels.emplace(name, *labels);
  }
}

}  // namespace penstock::onnxruntime
