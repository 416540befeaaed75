// SPDX-License-Identifier: Apache-2.0
// Finds out what a run may do, so that the server never repeats or shares runs whose answers could
// differ.
//
// The scan starts at the outputs of each signature and follows the inputs of the nodes up to the
// tensors that a request feeds. So operations that only initialise, save or train do not count. In
// a function that is called, all nodes count: TensorFlow runs its operations with side effects even
// if no result depends on them.
//
// "State" is something that a request can change and a later request can see. So writes count, and
// reads do not: a variable that no signature writes is a constant.
#include "tf_graph_scan.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "wire.h"

namespace penstock::tensorflow {
namespace {

// Field numbers of TensorFlow's messages.
enum : uint32_t { kMetaGraphGraph = 2 };
enum : uint32_t { kGraphNode = 1, kGraphLibrary = 2 };
enum : uint32_t { kLibraryFunction = 1 };
enum : uint32_t { kFunctionSignature = 1, kFunctionNode = 3, kOpDefName = 1 };
enum : uint32_t { kNodeName = 1, kNodeOperation = 2, kNodeInput = 3, kNodeAttribute = 5 };
enum : uint32_t { kMapKey = 1, kMapValue = 2 };
enum : uint32_t { kValueList = 1, kValueInt = 3, kValueFunction = 10, kListFunction = 9 };
enum : uint32_t { kFunctionName = 1 };

// Operations with one of these beginnings write state, or take something out of it.
constexpr std::string_view kStateful[] = {"Assign",
                                          "Apply",
                                          "SparseApply",
                                          "Resource",
                                          "Scatter",
                                          "StridedSliceAssign",
                                          "CountUpTo",
                                          "LookupTableInsert",
                                          "LookupTableRemove",
                                          "LookupTableImport",
                                          "Stack",
                                          "Queue",
                                          "Barrier",
                                          "Stage",
                                          "Unstage",
                                          "MapStage",
                                          "MapUnstage",
                                          "OrderedMap",
                                          "IteratorGetNext",
                                          "ReaderRead",
                                          "Accumulator",
                                          "DestroyResourceOp",
                                          "BoostedTreesUpdate",
                                          "StatefulUniform",
                                          "StatefulStandardNormal",
                                          "StatefulTruncatedNormal",
                                          "StatefulRandom",
                                          "Rng"};
// Exceptions to them, which only read or compute.
constexpr std::string_view kStateless[] = {"ResourceGather", "ResourceGatherNd",
                                           "ResourceInitializedOp", "ScatterNd",
                                           "ScatterNdNonAliasingAdd"};
// These draw from a generator of their own, with the seeds in their attributes.
constexpr std::string_view kRandom[] = {"RandomUniform",
                                        "RandomUniformInt",
                                        "RandomStandardNormal",
                                        "ParameterizedTruncatedNormal",
                                        "TruncatedNormal",
                                        "RandomShuffle",
                                        "Multinomial",
                                        "RandomGamma",
                                        "RandomPoisson",
                                        "RandomPoissonV2",
                                        "SampleDistortedBoundingBox",
                                        "SampleDistortedBoundingBoxV2",
                                        "AllCandidateSampler",
                                        "FixedUnigramCandidateSampler",
                                        "LearnedUnigramCandidateSampler",
                                        "LogUniformCandidateSampler",
                                        "ThreadUnsafeUnigramCandidateSampler",
                                        "UniformCandidateSampler"};
constexpr std::string_view kNotDeterministic[] = {"NonDeterministicInts", "Timestamp"};
// Operations with one of these beginnings change something outside of the graph.
constexpr std::string_view kSideEffects[] = {
    "Print",        "Write",       "Save", "MergeV2Checkpoints", "CreateSummary", "FlushSummary",
    "CloseSummary", "ImportEvent", "Abort"};
// Python code may do anything.
constexpr std::string_view kPython[] = {"PyFunc", "PyFuncStateless", "EagerPyFunc"};

template <size_t n>
bool IsOneOf(std::string_view type, const std::string_view (&list)[n]) {
  return std::find(std::begin(list), std::end(list), type) != std::end(list);
}

template <size_t n>
bool StartsWithOneOf(std::string_view type, const std::string_view (&list)[n]) {
  return std::any_of(std::begin(list), std::end(list),
                     [&](std::string_view start) { return type.starts_with(start); });
}

// `is_seeded`: the node has a fixed seed. Its generator then gives the same numbers after each
// load, but other ones to each run: the answer depends on the runs before.
uint32_t FlagsOf(std::string_view type, bool is_seeded) {
  uint32_t flags = 0;
  if (StartsWithOneOf(type, kStateful) && !IsOneOf(type, kStateless)) flags |= PENSTOCK_HAS_STATE;
  if (IsOneOf(type, kRandom)) flags |= is_seeded ? PENSTOCK_HAS_STATE : PENSTOCK_NOT_DETERMINISTIC;
  if (IsOneOf(type, kNotDeterministic)) flags |= PENSTOCK_NOT_DETERMINISTIC;
  if (StartsWithOneOf(type, kSideEffects)) flags |= PENSTOCK_SIDE_EFFECTS;
  if (IsOneOf(type, kPython)) {
    flags |= PENSTOCK_HAS_STATE | PENSTOCK_NOT_DETERMINISTIC | PENSTOCK_SIDE_EFFECTS;
  }
  return flags;
}

// "op" is "op:0".
std::string WholeName(std::string_view tensor) {
  std::string name(tensor);
  if (tensor.rfind(':') == std::string_view::npos) name += ":0";
  return name;
}

std::string_view NameIn(std::string_view message, uint32_t field) {
  for (WireReader reader(message); reader.Next();) {
    if (reader.field() == field) return reader.bytes();
  }
  return {};
}

// Follows a graph. One thread at a time.
class Scan final {
 public:
  explicit Scan(std::string_view graph) {
    for (WireReader reader(graph); reader.Next();) {
      if (reader.field() == kGraphNode) {
        nodes_.emplace(NameIn(reader.bytes(), kNodeName), reader.bytes());
      }
      if (reader.field() != kGraphLibrary) continue;
      for (WireReader library(reader.bytes()); library.Next();) {
        if (library.field() == kLibraryFunction) AddFunction(library.bytes());
      }
    }
  }

  void Add(const BoundSignature& signature) {
    std::unordered_set<std::string> fed;
    for (const plugin::TensorSpec& input : signature.signature.inputs) {
      fed.insert(WholeName(input.backend_name));
    }
    std::unordered_set<std::string_view> seen;
    std::vector<std::string_view> to_do;
    // "^op" is a control dependency: the operation runs, although none of its tensors is used. To
    // feed a tensor does not prevent that.
    const auto reach = [&](std::string_view tensor) {
      if (tensor.starts_with('^')) {
        tensor.remove_prefix(1);
      } else if (fed.contains(WholeName(tensor))) {
        return;
      }
      const std::string_view node = tensor.substr(0, tensor.rfind(':'));
      if (seen.insert(node).second) to_do.push_back(node);
    };
    for (const plugin::TensorSpec& output : signature.signature.outputs) {
      reach(output.backend_name);
    }
    while (!to_do.empty()) {
      const auto found = nodes_.find(to_do.back());
      to_do.pop_back();
      if (found == nodes_.end()) continue;
      AddNode(found->second);
      for (WireReader node(found->second); node.Next();) {
        if (node.field() == kNodeInput) reach(node.bytes());
      }
    }
    AddCalledFunctions();
  }

  uint32_t flags() const { return flags_; }

 private:
  void AddFunction(std::string_view function) {
    functions_.emplace(NameIn(NameIn(function, kFunctionSignature), kOpDefName), function);
  }

  void Call(std::string_view function) {
    if (functions_.contains(function) && called_.insert(function).second)
      to_scan_.push_back(function);
  }

  // Adds the functions that were called, and those that they call.
  void AddCalledFunctions() {
    while (!to_scan_.empty()) {
      const std::string_view function = functions_.find(to_scan_.back())->second;
      to_scan_.pop_back();
      for (WireReader reader(function); reader.Next();) {
        if (reader.field() == kFunctionNode) AddNode(reader.bytes());
      }
    }
  }

  void AddNode(std::string_view node) {
    std::string_view type;
    bool is_seeded = false;
    for (WireReader reader(node); reader.Next();) {
      if (reader.field() == kNodeOperation) type = reader.bytes();
      if (reader.field() == kNodeAttribute) AddAttribute(reader.bytes(), is_seeded);
    }
    // A node may call a function in two ways: its operation is the name of the function, or an
    // attribute names it (If, While, PartitionedCall).
    Call(type);
    flags_ |= FlagsOf(type, is_seeded);
  }

  void AddAttribute(std::string_view attribute, bool& is_seeded) {
    const std::string_view key = NameIn(attribute, kMapKey);
    for (WireReader value(NameIn(attribute, kMapValue)); value.Next();) {
      // TensorFlow takes a generator as seeded if either number is not 0.
      const bool is_seed = key == "seed" || key == "seed2";
      if (value.field() == kValueInt && is_seed && value.number() != 0) is_seeded = true;
      if (value.field() == kValueFunction) Call(NameIn(value.bytes(), kFunctionName));
      if (value.field() != kValueList) continue;
      for (WireReader list(value.bytes()); list.Next();) {
        if (list.field() == kListFunction) Call(NameIn(list.bytes(), kFunctionName));
      }
    }
  }

  std::unordered_map<std::string_view, std::string_view> nodes_;      // by name: the NodeDef
  std::unordered_map<std::string_view, std::string_view> functions_;  // by name: the FunctionDef
  std::unordered_set<std::string_view> called_;
  std::vector<std::string_view> to_scan_;
  uint32_t flags_ = 0;
};

}  // namespace

std::string_view GraphOf(std::string_view meta_graph) {
  return NameIn(meta_graph, kMetaGraphGraph);
}

uint32_t ScanGraph(std::string_view graph, const std::vector<BoundSignature>& signatures) {
  Scan scan(graph);
  for (const BoundSignature& signature : signatures) scan.Add(signature);
  return scan.flags();
}

}  // namespace penstock::tensorflow
