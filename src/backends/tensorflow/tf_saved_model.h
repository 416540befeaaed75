// SPDX-License-Identifier: Apache-2.0
// Reads facts from saved_model.pb without TensorFlow.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace penstock::tensorflow {

// True if the file starts as a GraphDef does: somebody saved a frozen graph under this name.
bool StartsAsGraph(const std::string& file);

// The message that a file holds in text form, as far as its first field tells.
enum class TextForm { kNone, kGraph, kSavedModel };
TextForm TextFormOf(const std::string& file);

// The serialized MetaGraphDef of `saved_model` whose tags are `tags`, in any order. A view of
// `saved_model`. Null data if there is none.
std::string_view FindMetaGraph(std::string_view saved_model, const std::vector<std::string>& tags);

// The tags of each graph of `saved_model`, for messages: {serve}, {serve, gpu}.
std::string ListTagSets(std::string_view saved_model);
// The same of one set.
std::string TagSetText(const std::vector<std::string>& tags);

// True if a run of the graph needs values from the folder variables/.
bool NeedsVariables(std::string_view meta_graph);

// True if a tensor of the wrong rank could end the process: the kernels of convolution and pooling
// check the rank with an assertion. `graph` is a serialized GraphDef. Its functions count, too.
bool AbortsOnWrongRank(std::string_view graph);

}  // namespace penstock::tensorflow
