// SPDX-License-Identifier: Apache-2.0
// Some facts must be known before TensorFlow gets the file, or are not in its C interface: which
// tags there are, whether variables are needed, whether a wrong rank would end the process. They
// are read from the bytes, field by field, with the few field numbers that are needed. Bytes that
// are malformed end a walk early; TensorFlow parses the same bytes later and says what is wrong.
#include "tf_saved_model.h"

#include <algorithm>
#include <cctype>
#include <fstream>

#include "wire.h"

namespace penstock::tensorflow {
namespace {

// Field numbers of TensorFlow's messages.
enum : uint32_t { kSavedModelMetaGraphs = 2 };
enum : uint32_t { kMetaGraphInfo = 1, kMetaGraphGraph = 2, kMetaGraphSaver = 3 };
enum : uint32_t { kInfoTags = 4 };
enum : uint32_t { kSaverRestoreOperation = 3 };
enum : uint32_t { kGraphNode = 1, kGraphLibrary = 2, kNodeOperation = 2 };
enum : uint32_t { kLibraryFunction = 1, kFunctionNode = 3 };

// Sorted.
std::vector<std::string> TagsOf(std::string_view meta_graph) {
  std::vector<std::string> tags;
  for (WireReader reader(meta_graph); reader.Next();) {
    if (reader.field() != kMetaGraphInfo) continue;
    for (WireReader info(reader.bytes()); info.Next();) {
      if (info.field() == kInfoTags) tags.emplace_back(info.bytes());
    }
  }
  std::sort(tags.begin(), tags.end());
  return tags;
}

bool HasRestoreOperation(std::string_view saver) {
  for (WireReader reader(saver); reader.Next();) {
    if (reader.field() == kSaverRestoreOperation && !reader.bytes().empty()) return true;
  }
  return false;
}

bool HasVariable(std::string_view graph) {
  for (WireReader reader(graph); reader.Next();) {
    if (reader.field() != kGraphNode) continue;
    for (WireReader node(reader.bytes()); node.Next();) {
      if (node.field() != kNodeOperation) continue;
      const std::string_view type = node.bytes();
      if (type == "VarHandleOp" || type == "VariableV2" || type == "Variable") return true;
    }
  }
  return false;
}

std::string_view OperationOf(std::string_view node) {
  for (WireReader reader(node); reader.Next();) {
    if (reader.field() == kNodeOperation) return reader.bytes();
  }
  return {};
}

// Of nodes in the field `node_field` of `graph_or_function`.
bool HasConvolutionOrPool(std::string_view graph_or_function, uint32_t node_field) {
  for (WireReader reader(graph_or_function); reader.Next();) {
    if (reader.field() != node_field) continue;
    const std::string_view type = OperationOf(reader.bytes());
    // Parts of names, because there are many variants (Conv2D, DepthwiseConv2dNative, _FusedConv2D,
    // MaxPoolV2). A name too many only makes the host check the shapes.
    if (type.find("Conv") != std::string_view::npos) return true;
    if (type.find("Pool") != std::string_view::npos) return true;
  }
  return false;
}

}  // namespace

bool AbortsOnWrongRank(std::string_view graph) {
  if (HasConvolutionOrPool(graph, kGraphNode)) return true;
  for (WireReader reader(graph); reader.Next();) {
    if (reader.field() != kGraphLibrary) continue;
    for (WireReader library(reader.bytes()); library.Next();) {
      if (library.field() != kLibraryFunction) continue;
      if (HasConvolutionOrPool(library.bytes(), kFunctionNode)) return true;
    }
  }
  return false;
}

bool StartsAsGraph(const std::string& file) {
  // A GraphDef begins with its first node; a SavedModel has a number in field 1.
  constexpr char kFirstNode = kGraphNode << 3 | 2;
  std::ifstream stream(file, std::ios::binary);
  return stream.get() == kFirstNode;
}

TextForm TextFormOf(const std::string& file) {
  constexpr int64_t kNameBytesMax = 32;
  std::ifstream stream(file, std::ios::binary);
  std::string line;
  while (stream >> std::ws && stream.peek() == '#') std::getline(stream, line);
  std::string name;
  for (int64_t i = 0; i < kNameBytesMax && (std::isalpha(stream.peek()) || stream.peek() == '_');
       ++i)
    name += static_cast<char>(stream.get());
  stream >> std::ws;
  if (stream.peek() != '{' && stream.peek() != ':') return TextForm::kNone;
  if (name == "node" || name == "library" || name == "versions") return TextForm::kGraph;
  if (name == "saved_model_schema_version" || name == "meta_graphs") return TextForm::kSavedModel;
  return TextForm::kNone;
}

std::string_view FindMetaGraph(std::string_view saved_model, const std::vector<std::string>& tags) {
  std::vector<std::string> wanted = tags;
  std::sort(wanted.begin(), wanted.end());
  for (WireReader reader(saved_model); reader.Next();) {
    if (reader.field() == kSavedModelMetaGraphs && TagsOf(reader.bytes()) == wanted) {
      return reader.bytes();
    }
  }
  return {};
}

std::string TagSetText(const std::vector<std::string>& tags) {
  std::string text = "{";
  for (const std::string& tag : tags) text += (text.size() > 1 ? ", " : "") + tag;
  return text + "}";
}

std::string ListTagSets(std::string_view saved_model) {
  std::string text;
  for (WireReader reader(saved_model); reader.Next();) {
    if (reader.field() != kSavedModelMetaGraphs) continue;
    text += (text.empty() ? "" : ", ") + TagSetText(TagsOf(reader.bytes()));
  }
  return text;
}

// A graph with a saver but without variables needs no file, and neither does one whose variables
// only its initialiser sets.
bool NeedsVariables(std::string_view meta_graph) {
  bool restores = false;
  bool has_variable = false;
  for (WireReader reader(meta_graph); reader.Next();) {
    if (reader.field() == kMetaGraphSaver) restores = HasRestoreOperation(reader.bytes());
    if (reader.field() == kMetaGraphGraph) has_variable = HasVariable(reader.bytes());
  }
  return restores && has_variable;
}

}  // namespace penstock::tensorflow
