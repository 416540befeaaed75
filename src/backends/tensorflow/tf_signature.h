// SPDX-License-Identifier: Apache-2.0
// The signatures of a model: read from a MetaGraphDef, or guessed from a frozen graph.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "penstock/backend.hpp"
#include "tf_api.h"

namespace penstock::tensorflow {

// A signature, and its tensors in the graph. The tensors belong to the graph, which must outlive
// this. Immutable after loading.
struct BoundSignature {
  plugin::Signature signature;
  std::vector<TF_Output> outputs;   // as signature.outputs
  std::vector<TensorPtr> defaults;  // as signature.inputs; null: the input must be given
  std::vector<uint32_t> feed_of;    // as signature.inputs: position in `feeds`
  // Two inputs may be keys for one tensor.
  std::vector<TF_Output> feeds;  // tensors of the inputs, each once
};

// All signatures of a model. Immutable after loading.
struct ModelSignatures {
  std::vector<BoundSignature> bound;
  std::vector<plugin::LeftOut> left_out;  // signatures
  std::vector<std::string> notes;
  std::string signature_def_map;  // as the file has them; empty for a frozen graph
};

// Which tensors of a graph are the inputs and outputs, and how clients call them. One thread at a
// time.
struct GraphNames {
  // Tensors as "op", "op:1" or "name=op:1", separated by commas. Empty: they are guessed.
  std::string inputs = {};
  std::string outputs = {};
  std::string more_outputs = {};  // those behind `outputs`, also if these are guessed
  // Clients call the tensors "op:0", and the guess is that of GraphPipe's server for TensorFlow.
  bool as_in_graph = false;

  bool any() const {
    return !inputs.empty() || !outputs.empty() || !more_outputs.empty() || as_in_graph;
  }
};

// The signatures of `meta_graph`, a serialized MetaGraphDef. Left out are those of SavedModel's own
// initialiser, and those that no request could use: with resource or variant tensors, say. A sparse
// or ragged tensor is served as the dense tensors that it is made of. Throws Error.
ModelSignatures ReadSignatures(const TfApi& api, TF_Graph* graph, std::string_view meta_graph);

// True if the graph can be run once for several signatures with inputs of the same names: no
// signature feeds a tensor that another one computes, and signatures that share a tensor feed it
// with the same input.
bool CanRunTogether(const TfApi& api, const std::vector<BoundSignature>& signatures);

// The signature "serving_default" of a graph. Lists that are empty: the placeholders; and the
// outputs that no operation consumes. Throws Error.
BoundSignature MakeSignature(const TfApi& api, TF_Graph* graph, GraphNames names);

// Replaces all signatures by one that MakeSignature makes. A list that is empty: the tensors of the
// default signature, or else of the first one. Throws Error.
void ReplaceSignatures(const TfApi& api, TF_Graph* graph, GraphNames names,
                       ModelSignatures& signatures);

}  // namespace penstock::tensorflow
