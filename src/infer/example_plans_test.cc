// SPDX-License-Identifier: Apache-2.0
#include "infer/example_plans.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "infer/model_fake.h"

namespace penstock {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TensorSpec AnyShape(std::string name, DType type) {
  TensorSpec spec;
  spec.name = std::move(name);
  spec.dtype = type;
  spec.unknown_rank = true;
  return spec;
}

constexpr auto kFloat = DType::kFloat32;
constexpr std::string_view kPredict = "tensorflow/serving/predict";

// A model with one signature. One thread at a time.
class ExamplePlansTest : public testing::Test {
 protected:
  void SetModel(std::vector<TensorSpec> inputs, std::vector<TensorSpec> outputs,
                std::string_view method = kPredict) {
    info_.signatures = {{std::string(kDefaultSignatureName), std::string(method), std::move(inputs),
                         std::move(outputs)}};
  }
  const ExamplePlan& Plan(ExampleMethod method, const std::vector<ExampleOptions>& options = {}) {
    auto plans = ExamplePlans::Make(info_, options);
    EXPECT_TRUE(plans.ok()) << plans.status();
    plans_.emplace(*std::move(plans));
    return *plans_->Find(method, "");
  }
  std::string Problem(ExampleMethod method) { return std::string(MessageOf(Plan(method).problem)); }
  std::string ConfigError(ExampleOptions options) {
    const Status status = ExamplePlans::Make(info_, std::vector{std::move(options)}).status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    return std::string(MessageOf(status));
  }

  ModelInfo info_;
  std::optional<ExamplePlans> plans_;
};

TEST_F(ExamplePlansTest, TheOnlyOutputThatFitsIsTheResult) {
  SetModel({FakeSpec("b", kFloat, {-1, 3}), FakeSpec("a", DType::kInt64, {-1})},
           {FakeSpec("label", DType::kInt64, {-1}), FakeSpec("probabilities", kFloat, {-1, 2})});
  const ExamplePlan& plan = Plan(ExampleMethod::kClassify);
  ASSERT_EQ(plan.problem, OkStatus());
  EXPECT_EQ(plan.scores->name, "probabilities");
  EXPECT_EQ(plan.classes, nullptr);
  ASSERT_EQ(plan.features.size(), 2u);
  EXPECT_EQ(plan.features[0].feature, "a");
  EXPECT_EQ(plan.features[0].values, 1);
  EXPECT_EQ(plan.features[1].row, (Shape{3}));
  EXPECT_EQ(plan.features[1].values, 3);
  EXPECT_THAT(Problem(ExampleMethod::kRegress), HasSubstr("has no output that can be the values"));
}

TEST_F(ExamplePlansTest, OutputsOfTheRightShapeComeBeforeThoseOfAnyShape) {
  SetModel({AnyShape("x", kFloat)}, {AnyShape("any", kFloat), FakeSpec("one", kFloat, {-1, 1})});
  EXPECT_EQ(Plan(ExampleMethod::kRegress).values->name, "one");
  EXPECT_EQ(Plan(ExampleMethod::kClassify).scores->name, "one");
  EXPECT_EQ(plans_->Find(ExampleMethod::kClassify, "")->features[0].values, -1);
  SetModel({AnyShape("x", kFloat)}, {AnyShape("y", kFloat)});
  EXPECT_EQ(Plan(ExampleMethod::kRegress).values->name, "y");
  EXPECT_EQ(Plan(ExampleMethod::kClassify).scores->name, "y");
}

TEST_F(ExamplePlansTest, SaysWhichOutputsCouldBeMeant) {
  SetModel({FakeSpec("x", kFloat, {-1})},
           {FakeSpec("a", kFloat, {-1, 2}), FakeSpec("b", kFloat, {-1, 2})});
  EXPECT_THAT(Problem(ExampleMethod::kClassify),
              HasSubstr("'a' and 'b': name one in the model's configuration, penstock { classify { "
                        "scores: \"...\" } }"));
  const ExamplePlan& plan = Plan(ExampleMethod::kClassify, {{.scores = "b"}});
  EXPECT_EQ(plan.problem, OkStatus());
  EXPECT_EQ(plan.scores->name, "b");
}

TEST_F(ExamplePlansTest, SaysWhyAnInputCannotGetAFeature) {
  const std::vector<TensorSpec> outputs = {FakeSpec("y", kFloat, {-1, 2})};
  SetModel({FakeSpec("x", kFloat, {})}, outputs);
  EXPECT_THAT(Problem(ExampleMethod::kClassify), HasSubstr("the input 'x' cannot get a feature of "
                                                           "each Example: it is a scalar"));
  SetModel({FakeSpec("x", DType::kComplex64, {-1})}, outputs);
  EXPECT_THAT(Problem(ExampleMethod::kClassify), HasSubstr("no feature has its type, complex64"));
  SetModel({FakeSpec("x", kFloat, {-1, -1, -1})}, outputs);
  EXPECT_THAT(Problem(ExampleMethod::kClassify), HasSubstr("more than one size of its shape"));
  SetModel({FakeSpec("x", kFloat, {-1, int64_t{1} << 40, -1, int64_t{1} << 40})}, outputs);
  EXPECT_THAT(Problem(ExampleMethod::kClassify), HasSubstr("is too large"));
  SetModel({}, outputs);
  EXPECT_THAT(Problem(ExampleMethod::kClassify), HasSubstr("has no inputs"));
  SetModel({FakeSpec("x", kFloat, {-1}), FakeSpec("z", kFloat, {})}, outputs);
  info_.signatures[0].inputs[1].optional = true;
  EXPECT_EQ(Plan(ExampleMethod::kClassify).features.size(), 1u);
}

TEST_F(ExamplePlansTest, AModelOfAnyTensorsHasNoPlan) {
  SetModel({}, {});
  info_.traits.any_signature = true;
  EXPECT_THAT(Problem(ExampleMethod::kClassify), HasSubstr("the model takes any tensors"));
}

TEST_F(ExamplePlansTest, DeclaredSignaturesFollowTensorFlowServing) {
  const TensorSpec strings = FakeSpec("inputs", DType::kString, {-1});
  const TensorSpec scores = FakeSpec("scores", kFloat, {-1, -1});
  SetModel({strings}, {scores}, kClassifyMethodName);
  EXPECT_EQ(Plan(ExampleMethod::kClassify).examples->name, "inputs");
  EXPECT_EQ(Problem(ExampleMethod::kRegress),
            "Expected regression signature method_name to be tensorflow/serving/regress. Was: "
            "tensorflow/serving/classify");
  SetModel({strings, strings}, {scores}, kClassifyMethodName);
  EXPECT_EQ(Problem(ExampleMethod::kClassify), "Expected one input Tensor.");
  SetModel({strings}, {scores, scores, scores}, kClassifyMethodName);
  EXPECT_EQ(Problem(ExampleMethod::kClassify), "Expected one or two output Tensors, found 3");
  SetModel({strings}, {FakeSpec("other", kFloat, {-1, -1})}, kClassifyMethodName);
  EXPECT_EQ(Plan(ExampleMethod::kClassify).problem.code(), StatusCode::kFailedPrecondition);
  SetModel({FakeSpec("x", DType::kString, {-1})}, {scores}, kClassifyMethodName);
  EXPECT_EQ(Problem(ExampleMethod::kClassify),
            "No classification inputs found in SignatureDef: serving_default");
  SetModel({strings}, {FakeSpec("outputs", kFloat, {-1})}, kRegressMethodName);
  EXPECT_EQ(Plan(ExampleMethod::kRegress).values->name, "outputs");
  // Not a string: the input gets the feature of its name.
  SetModel({FakeSpec("inputs", kFloat, {-1, 2})}, {scores}, kClassifyMethodName);
  EXPECT_EQ(Plan(ExampleMethod::kClassify).features[0].feature, "inputs");
}

TEST_F(ExamplePlansTest, SettingsNameFeaturesAndDefaults) {
  SetModel({FakeSpec("f", kFloat, {-1, 2}), FakeSpec("i", DType::kInt64, {-1}),
            FakeSpec("s", DType::kString, {-1, 2})},
           {FakeSpec("y", DType::kFloat64, {-1, 2})});
  ExampleOptions options;
  options.labels = {"no", "yes"};
  options.features = {
      {"f", "height", {"1.5"}}, {"i", "", {"9007199254740993"}}, {"s", "", {"a", "bc"}}};
  const ExamplePlan& plan = Plan(ExampleMethod::kClassify, {options});
  EXPECT_THAT(plan.labels, ElementsAre("no", "yes"));
  ASSERT_EQ(plan.features.size(), 3u);
  EXPECT_EQ(plan.features[0].feature, "height");
  EXPECT_THAT(plan.features[0].default_row->as<float>(), ElementsAre(1.5, 1.5));
  EXPECT_THAT(plan.features[1].default_row->as<int64_t>(), ElementsAre(9007199254740993));
  EXPECT_EQ(plan.features[2].default_row->strings()[1].view(), "bc");
}

TEST_F(ExamplePlansTest, SettingsNameTheInputOfSerializedExamples) {
  SetModel({FakeSpec("text", DType::kString, {-1})}, {FakeSpec("y", kFloat, {-1, 2})});
  const ExamplePlan& plan = Plan(ExampleMethod::kClassify, {{.examples = "text"}});
  EXPECT_EQ(plan.examples->name, "text");
  EXPECT_THAT(plan.features, IsEmpty());
}

TEST_F(ExamplePlansTest, LabelsOfTheModelAreUsed) {
  SetModel({FakeSpec("x", kFloat, {-1})}, {FakeSpec("y", kFloat, {-1, 2})});
  info_.signatures[0].outputs[0].class_labels = {"ham", "spam"};
  EXPECT_THAT(Plan(ExampleMethod::kClassify).labels, ElementsAre("ham", "spam"));
  ExampleOptions options;
  options.labels = {"a", "b"};
  EXPECT_THAT(Plan(ExampleMethod::kClassify, {options}).labels, ElementsAre("a", "b"));
}

TEST_F(ExamplePlansTest, SettingsThatDoNotFitAreErrors) {
  SetModel({FakeSpec("x", kFloat, {-1, 2})},
           {FakeSpec("label", DType::kString, {-1, 2}), FakeSpec("y", kFloat, {-1, 2})});
  EXPECT_EQ(ConfigError({.scores = "z"}),
            "penstock { classify { ... } } does not fit the model: the signature 'serving_default' "
            "has no output 'z'; it has 'label', 'y'");
  EXPECT_THAT(ConfigError({.scores = "label"}),
              HasSubstr("the output 'label' is of string, and must be of float32 or float64"));
  EXPECT_THAT(ConfigError({.signature = "other"}), HasSubstr("there is no signature 'other'"));
  EXPECT_THAT(ConfigError({.examples = "x"}), HasSubstr("serialized Examples need one of string"));
  EXPECT_THAT(ConfigError({.features = {{"z"}}}), HasSubstr("has no input 'z'; it has 'x'"));
  EXPECT_THAT(ConfigError({.features = {{"x", "", {"1", "2", "3"}}}}),
              HasSubstr("it has 3 default values, and an Example needs 2"));
  EXPECT_THAT(ConfigError({.features = {{"x", "", {"one"}}}}),
              HasSubstr("the default 'one' is no float32: write a number in its range"));
  EXPECT_THAT(ConfigError({.labels = {"a"}}),
              HasSubstr("1 labels for the 2 classes of the output"));
}

TEST_F(ExamplePlansTest, OutputsWhoseShapeCannotFitAreErrors) {
  SetModel(
      {FakeSpec("x", kFloat, {-1})},
      {FakeSpec("names", DType::kString, {-1}), FakeSpec("probabilities", kFloat, {-1, 3}),
       FakeSpec("risk", kFloat, {-1}), FakeSpec("y", kFloat, {-1, -1}), AnyShape("z", kFloat)});
  EXPECT_THAT(ConfigError({.scores = "risk"}),
              HasSubstr("the output 'risk' of shape [-1] cannot be the scores, which are floats of "
                        "shape [examples,classes]"));
  EXPECT_THAT(ConfigError({.classes = "names"}),
              HasSubstr("the output 'names' of shape [-1] cannot be the classes"));
  ExampleOptions regress{.method = ExampleMethod::kRegress, .values = "probabilities"};
  EXPECT_THAT(ConfigError(regress),
              HasSubstr("the output 'probabilities' of shape [-1,3] cannot be the values, which "
                        "are floats of shape [examples] or [examples,1]"));
  // Sizes and shapes that are not known may fit.
  for (const char* values : {"risk", "y", "z"}) {
    regress.values = values;
    EXPECT_EQ(Plan(ExampleMethod::kRegress, {regress}).values->name, values);
  }
  EXPECT_EQ(Plan(ExampleMethod::kClassify, {{.scores = "z"}}).scores->name, "z");
}

TEST_F(ExamplePlansTest, ErrorsListTheNamesThatThereAre) {
  std::vector<TensorSpec> outputs;
  for (char name = 'a'; name < 'a' + 12; ++name) {
    outputs.push_back(FakeSpec(std::string(1, name), kFloat, {-1, 2}));
  }
  SetModel({FakeSpec("x", DType::kInt32, {-1})}, outputs);
  EXPECT_THAT(ConfigError({.scores = "zz"}),
              HasSubstr("has no output 'zz'; it has 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', "
                        "'i', 'j' and 2 more"));
  EXPECT_THAT(ConfigError({.features = {{"x", "", {"1.5"}}}, .scores = "a"}),
              HasSubstr("the default '1.5' is no int32: write a whole number from -2147483648 to "
                        "2147483647"));
}

TEST_F(ExamplePlansTest, OneFeatureCannotFeedTwoInputs) {
  SetModel({FakeSpec("a", kFloat, {-1}), FakeSpec("b", kFloat, {-1})},
           {FakeSpec("y", kFloat, {-1, 2})});
  EXPECT_THAT(ConfigError({.features = {{"a", "b"}}}),
              HasSubstr("the feature 'b' goes to two inputs"));
}

TEST_F(ExamplePlansTest, UnknownSignaturesHaveNoPlan) {
  SetModel({FakeSpec("a", kFloat, {-1})}, {FakeSpec("y", kFloat, {-1, 2})});
  EXPECT_EQ(ExamplePlans::Make(info_)->Find(ExampleMethod::kClassify, "other"), nullptr);
}

}  // namespace
}  // namespace penstock
