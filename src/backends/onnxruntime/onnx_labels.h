// SPDX-License-Identifier: Apache-2.0
// Finds the class labels of a graph's outputs: what the columns of a matrix of scores stand for.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "onnx_file.h"
#include "proto_file.h"

namespace penstock::onnxruntime {

// Collects the labels while the nodes of one graph are read. Labels come from a ZipMap, from an
// operator that classifies, or from a list from which the position of the highest score chooses.
// They go on through operators that keep the columns. One thread at a time.
class LabelReader final {
 public:
  // Call it for each node. A file has the nodes in an order in which they can run.
  void AddNode(Fields node);
  // Sets the ZipMaps and the class labels of `file`, for names in `outputs`. `graph` has the nodes
  // that were added. `initializers` are those of the graph.
  void Finish(Fields graph, const std::map<std::string, Fields>& initializers, const Names& outputs,
              OnnxFile& file);

 private:
  using Labels = std::shared_ptr<const std::vector<std::string>>;

  struct Node {
    std::string operation;
    std::string domain;
    std::vector<std::string> inputs;
    std::vector<std::string> outputs;
  };
  // An ArrayFeatureExtractor.
  struct Choice {
    std::string labels;
    std::string position;
  };

  static Node ReadNode(Fields node);
  // Gives the labels of a node's input to its output, if the node keeps the columns.
  void PassOn(const Node& node);
  // Returns true if there are any.
  bool AddChosenLabels(const std::map<std::string, Fields>& initializers);

  std::map<std::string, Labels> labels_;        // by the scores
  std::map<std::string, std::string> best_of_;  // the position of the highest score: the scores
  std::vector<Choice> choices_;
  std::vector<ZipMap> zip_maps_;
};

}  // namespace penstock::onnxruntime
