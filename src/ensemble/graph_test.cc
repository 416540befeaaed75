// SPDX-License-Identifier: Apache-2.0
#include "ensemble/graph.h"

#include <gtest/gtest.h>

namespace penstock::ensemble {
namespace {

Step MakeStep(const std::string& name, std::vector<Mapping> inputs, std::vector<Mapping> outputs) {
  return {.name = name,
          .model = {.name = "m"},
          .inputs = std::move(inputs),
          .outputs = std::move(outputs)};
}

// x -> a -> t -> b -> y
Graph Chain() {
  return {.inputs = {"x"},
          .outputs = {"y"},
          .steps = {MakeStep("a", {{"in", "x"}}, {{"out", "t"}}),
                    MakeStep("b", {{"in", "t"}}, {{"out", "y"}})}};
}

TEST(GraphTest, OrdersStepsByWhatTheyNeed) {
  Graph graph = Chain();
  EXPECT_TRUE(CheckGraph(graph).ok());
  EXPECT_EQ(OrderOf(graph), (std::vector<uint32_t>{0, 1}));
  std::swap(graph.steps[0], graph.steps[1]);
  EXPECT_TRUE(CheckGraph(graph).ok());
  EXPECT_EQ(OrderOf(graph), (std::vector<uint32_t>{1, 0}));
}

TEST(GraphTest, ListsEachModelOnce) {
  Graph graph = Chain();
  graph.steps.push_back(graph.steps[0]);
  graph.steps.back().model.version = core::VersionNumber{3};
  ASSERT_EQ(ModelsOf(graph).size(), 2U);
  EXPECT_EQ(ModelsOf(graph)[0].ToString(), "m");
  EXPECT_EQ(ModelsOf(graph)[1].ToString(), "m version 3");
  EXPECT_EQ((StepModel{.name = "m", .label = "stable"}.ToString()), "m label stable");
}

TEST(GraphTest, RevisionChangesWithTheGraph) {
  const Graph graph = Chain();
  Graph other = graph;
  EXPECT_EQ(RevisionOf(other), RevisionOf(graph));
  other.steps[1].model.version = core::VersionNumber{3};
  EXPECT_NE(RevisionOf(other), RevisionOf(graph));
  other = graph;
  other.steps[1].inputs[0] = {"i", "nt"};
  EXPECT_NE(RevisionOf(other), RevisionOf(graph));
}

struct GraphFault {
  const char* name;
  void (*make)(Graph&);
  const char* message;
};

class GraphFaultTest : public testing::TestWithParam<GraphFault> {};

TEST_P(GraphFaultTest, IsRefusedWithTheWayToIt) {
  Graph graph = Chain();
  GetParam().make(graph);
  EXPECT_EQ(CheckGraph(graph), absl::InvalidArgumentError(GetParam().message));
}

const GraphFault kGraphFaults[] = {
    {"NoStep", [](Graph& graph) { graph.steps.clear(); }, "it has no step"},
    {"TooManySteps", [](Graph& graph) { graph.steps.resize(101); },
     "it has 101 steps: more than 100"},
    {"NoOutput", [](Graph& graph) { graph.outputs.clear(); },
     "it has no output; name a tensor that a step makes"},
    {"NoModel", [](Graph& graph) { graph.steps[1].model.name.clear(); }, "step 'b' names no model"},
    {"TwoStepsOfOneName", [](Graph& graph) { graph.steps[1].name = "a"; },
     "two steps are called 'a'; give them names of their own"},
    {"OutputTwice", [](Graph& graph) { graph.outputs.emplace_back("y"); },
     "the output 'y' is named twice"},
    {"InputTwice", [](Graph& graph) { graph.inputs.emplace_back("x"); },
     "the input 'x' is named twice"},
    {"InputWithoutName", [](Graph& graph) { graph.inputs.emplace_back(""); },
     "an input has no name"},
    {"OutputWithoutTensor", [](Graph& graph) { graph.steps[0].outputs[0].tensor.clear(); },
     "step 'a', output 'out': it names no tensor"},
    {"TwoOrigins",
     [](Graph& graph) {
       graph.steps[1].outputs.push_back({"more", "t"});
     },
     "step 'b', output 'more': step 'a' makes the tensor 't' too"},
    {"InputIsMade",
     [](Graph& graph) {
       graph.steps[1].outputs.push_back({"more", "x"});
     },
     "step 'b', output 'more': a request sends the tensor 'x' too"},
    {"MissingTensor", [](Graph& graph) { graph.steps[1].inputs[0].tensor = "tt"; },
     "step 'b', input 'in', tensor 'tt': no input of the ensemble and no step gives it; there are "
     "'t', 'x', 'y'"},
    {"MissingOutput", [](Graph& graph) { graph.outputs[0] = "z"; },
     "output 'z': no input of the ensemble and no step gives it; there are 't', 'x', 'y'"},
    {"StepOfNoUse",
     [](Graph& graph) {
       graph.steps.push_back(MakeStep("c", {{"in", "x"}}, {{"out", "u"}}));
     },
     "step 'c': no output of the ensemble needs it"},
    {"InputOfNoUse", [](Graph& graph) { graph.inputs.emplace_back("w"); },
     "input 'w': no step takes it"},
    {"WaitsForItself",
     [](Graph& graph) {
       graph.steps[0].inputs.push_back({"more", "t"});
     },
     "the steps wait for each other: step 'a' -> 't' -> step 'a'"},
    {"Cycle",
     [](Graph& graph) {
       graph.steps[0].inputs.push_back({"more", "y"});
     },
     "the steps wait for each other: step 'b' -> 'y' -> step 'a' -> 't' -> step 'b'"},
    {"CycleOfNoUse",
     [](Graph& graph) {
       graph.steps.push_back(MakeStep("c", {{"in", "v"}}, {{"out", "u"}}));
       graph.steps.push_back(MakeStep("d", {{"in", "u"}}, {{"out", "v"}}));
     },
     "the steps wait for each other: step 'c' -> 'u' -> step 'd' -> 'v' -> step 'c'"},
};

INSTANTIATE_TEST_SUITE_P(All, GraphFaultTest, testing::ValuesIn(kGraphFaults),
                         [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace penstock::ensemble
