// SPDX-License-Identifier: Apache-2.0
#include "ensemble/plan.h"

#include <gtest/gtest.h>

#include "infer/model_fake.h"

namespace penstock::ensemble {
namespace {

// A model with "in" and the optional "more", both [-1,3] floats, and the outputs "out" and "rest",
// [-1,4] floats and strings.
ModelInfo FloatModel() {
  ModelInfo info = FakeInfo(
      {FakeSpec("in", DType::kFloat32, {-1, 3}), FakeSpec("more", DType::kFloat32, {-1, 3})});
  info.signatures[0].inputs[1].optional = true;
  info.signatures[0].outputs = {FakeSpec("out", DType::kFloat32, {-1, 4}),
                                FakeSpec("rest", DType::kString, {-1})};
  return info;
}

// x -> a -> t -> b -> y; the model of a is "first", that of b "second".
class PlanTest : public testing::Test {
 protected:
  PlanTest() {
    second_.signatures[0].inputs[0].shape = {2, 4};
    second_.signatures[0].outputs[0].shape = {2};
    graph_ = {.inputs = {"x"},
              .outputs = {"y"},
              .steps = {{.name = "a",
                         .model = {.name = "first"},
                         .inputs = {{"in", "x"}},
                         .outputs = {{"out", "t"}}},
                        {.name = "b",
                         .model = {.name = "second"},
                         .inputs = {{"in", "t"}},
                         .outputs = {{"out", "y"}}}}};
  }

  StatusOr<Plan> Make() {
    std::vector<const ModelInfo*> infos = {&first_, &second_, &third_};
    infos.resize(ModelsOf(graph_).size());
    return MakePlan(graph_, infos);
  }
  std::string Fault() { return std::string(Make().status().message()); }
  // The input x of the ensemble.
  TensorSpec X() { return Make()->info.signatures[0].inputs[0]; }
  void AddThird() {
    graph_.steps.push_back({.name = "c",
                            .model = {.name = "third"},
                            .inputs = {{"in", "x"}},
                            .outputs = {{"out", "z"}}});
    graph_.outputs.emplace_back("z");
  }

  ModelInfo first_ = FloatModel(), second_ = FloatModel(), third_ = FloatModel();
  Graph graph_;
};

TEST_F(PlanTest, DescribesTheEnsembleAsAModel) {
  first_.traits.not_deterministic = true;
  const StatusOr<Plan> plan = Make();
  ASSERT_TRUE(plan.ok()) << plan.status();
  const ModelInfo& info = plan->info;
  EXPECT_EQ(info.platform, "ensemble");
  EXPECT_TRUE(info.traits.runs_others);
  EXPECT_TRUE(info.traits.not_deterministic);
  EXPECT_FALSE(info.traits.has_state);
  ASSERT_EQ(info.signatures.size(), 1U);
  const Signature& signature = info.signatures[0];
  EXPECT_EQ(signature.name, kDefaultSignatureName);
  ASSERT_EQ(signature.inputs.size(), 1U);
  EXPECT_EQ(signature.inputs[0].name, "x");
  EXPECT_EQ(signature.inputs[0].backend_name, "input 'in' of step 'a'");
  EXPECT_EQ(signature.inputs[0].dtype, DType::kFloat32);
  EXPECT_EQ(signature.inputs[0].shape, (Shape{-1, 3}));
  ASSERT_EQ(signature.outputs.size(), 1U);
  EXPECT_EQ(signature.outputs[0].name, "y");
  EXPECT_EQ(signature.outputs[0].shape, Shape{2});
}

TEST_F(PlanTest, KnowsWhoWaitsForWhom) {
  const StatusOr<Plan> plan = Make();
  ASSERT_TRUE(plan.ok()) << plan.status();
  ASSERT_EQ(plan->steps.size(), 2U);
  EXPECT_EQ(plan->steps[0].needs, 0U);
  EXPECT_EQ(plan->steps[0].next, std::vector<uint32_t>{1});
  EXPECT_EQ(plan->steps[1].needs, 1U);
  EXPECT_TRUE(plan->steps[1].filters);
  EXPECT_EQ(plan->tensors, 3U);
}

TEST_F(PlanTest, TwoTensorsOfOneStepAreWaitedForOnce) {
  second_.signatures[0].inputs[1].dtype = DType::kString;
  second_.signatures[0].inputs[1].shape = {-1};
  graph_.steps[0].outputs.push_back({"rest", "u"});
  graph_.steps[1].inputs.push_back({"more", "u"});
  const StatusOr<Plan> plan = Make();
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->steps[1].needs, 1U);
  EXPECT_FALSE(plan->steps[0].filters);
}

TEST_F(PlanTest, AnInputIsWhatAllItsStepsAgreeOn) {
  AddThird();
  third_.signatures[0].inputs[0].shape = {5, -1};
  EXPECT_EQ(X().shape, (Shape{5, 3}));
  third_.signatures[0].inputs[0] = FakeInput("in", DType::kFloat32);
  EXPECT_EQ(X().shape, (Shape{-1, 3}));
  third_.signatures[0].inputs[0] = FakeSpec("in", DType::kFloat32, {-1});
  EXPECT_EQ(Fault(),
            "step 'c', input 'in', tensor 'x': the shape must be [-1], but for input 'in' of step "
            "'a' it is [-1,3]");
  third_.traits.any_shape = true;  // it checks shapes itself, and so does the ensemble
  ASSERT_TRUE(Make().ok());
  EXPECT_TRUE(Make()->info.traits.any_shape);
}

TEST_F(PlanTest, AnInputThatNobodyNeedsMayBeLeftOut) {
  EXPECT_FALSE(X().optional);
  graph_.inputs.emplace_back("w");
  graph_.steps[0].inputs.push_back({"more", "w"});
  StatusOr<Plan> plan = Make();
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_TRUE(plan->info.signatures[0].FindInput("w")->optional);
  graph_.outputs.emplace_back("w");
  EXPECT_FALSE(Make()->info.signatures[0].FindInput("w")->optional);
}

TEST_F(PlanTest, StepsWithAnyTensorsPassTypesOn) {
  first_ = FakeInfoOfAny();
  graph_.steps[0].outputs[0].name = "in";
  const StatusOr<Plan> plan = Make();
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(X().shape, (Shape{2, 4}));
  second_ = FakeInfoOfAny();
  graph_.steps[1].outputs[0].name = "in";
  EXPECT_EQ(Fault(),
            "input 'x': its type is not known, because only steps whose models take any tensors "
            "use it");
  graph_.steps[1].outputs[0].name = "out";
  EXPECT_EQ(Fault(),
            "step 'b', output 'out': model second takes any tensors and gives them back, but the "
            "step has no input of that name");
}

TEST_F(PlanTest, SaysIfClientsWouldSeeAnother) {
  const ModelInfo before = Make()->info;
  first_.signatures[0].outputs[0].shape = {7, 4};  // between the steps
  second_.signatures[0].inputs[0].shape = {7, 4};
  EXPECT_TRUE(HasSameTensors(before, Make()->info));
  second_.signatures[0].outputs[0].shape = {7};
  EXPECT_FALSE(HasSameTensors(before, Make()->info));
}

struct PlanFault {
  const char* name;
  void (*make)(Graph& graph, ModelInfo& second);
  const char* message;
};

class PlanFaultTest : public PlanTest, public testing::WithParamInterface<PlanFault> {};

TEST_P(PlanFaultTest, IsRefusedWithTheWayToIt) {
  GetParam().make(graph_, second_);
  EXPECT_EQ(Make().status(), absl::InvalidArgumentError(GetParam().message));
}

const PlanFault kPlanFaults[] = {
    {"Graph", [](Graph& graph, ModelInfo&) { graph.outputs[0] = "z"; },
     "output 'z': no input of the ensemble and no step gives it; there are 't', 'x', 'y'"},
    {"Signature",
     [](Graph& graph, ModelInfo&) {
       graph.steps[1].signature = "other";
       graph.steps[1].model.version = core::VersionNumber{2};
     },
     "step 'b': model second version 2 has no signature 'other'. The model has "
     "{\"serving_default\"}."},
    {"Input", [](Graph& graph, ModelInfo&) { graph.steps[1].inputs[0].name = "x"; },
     "step 'b', input 'x': signature 'serving_default' of model second has no such input, only "
     "'in', 'more'"},
    {"Output", [](Graph& graph, ModelInfo&) { graph.steps[1].outputs[0].name = "o"; },
     "step 'b', output 'o': signature 'serving_default' of model second has no such output, only "
     "'out', 'rest'"},
    {"LeftOutInput",
     [](Graph& graph, ModelInfo& second) {
       graph.steps[1].inputs[0].name = "seq";
       second.signatures[0].left_out = {{"seq", "it is a sequence"}};
     },
     "step 'b', input 'seq': signature 'serving_default' of model second has no such input, only "
     "'in', 'more'. \"seq\" is left out: it is a sequence"},
    {"NeededInput",
     [](Graph& graph, ModelInfo&) {
       graph.inputs.clear();
       graph.steps.erase(graph.steps.begin());
       graph.steps[0].inputs.clear();
     },
     "step 'b': the input 'in' of model second gets no tensor; say inputs { key: \"in\" value: "
     "TENSOR }"},
    {"Type",
     [](Graph&, ModelInfo& second) { second.signatures[0].inputs[0].dtype = DType::kInt64; },
     "step 'b', input 'in', tensor 't': the type must be int64, but for output 'out' of step 'a' "
     "it is float32"},
    {"Size",
     [](Graph&, ModelInfo& second) {
       second.signatures[0].inputs[0].shape = {-1, 5};
     },
     "step 'b', input 'in', tensor 't': the shape must be [-1,5], but for output 'out' of step 'a' "
     "it is [-1,4]"},
    {"Rank", [](Graph&, ModelInfo& second) { second.signatures[0].inputs[0].shape = {4}; },
     "step 'b', input 'in', tensor 't': the shape must be [4], but for output 'out' of step 'a' it "
     "is [-1,4]"},
};

INSTANTIATE_TEST_SUITE_P(All, PlanFaultTest, testing::ValuesIn(kPlanFaults),
                         [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace penstock::ensemble
