// SPDX-License-Identifier: Apache-2.0
#include "loading/example_loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/os/test_folder.h"
#include "infer/model_fake.h"
#include "infer/served_model.h"

namespace penstock {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

ModelInfo InfoWithScores() {
  ModelInfo info = FakeInfo({FakeInput("x", DType::kFloat32)});
  TensorSpec scores = FakeInput("scores", DType::kFloat32);
  scores.unknown_rank = false;
  scores.shape = Shape{-1, 2};
  info.signatures[0].outputs = {scores};
  return info;
}

// A version's folder. One thread at a time.
class ExampleLoaderTest : public testing::Test {
 protected:
  StatusOr<std::unique_ptr<core::Servable>> Load(ExampleOptions options) {
    auto loader = std::make_unique<FakeModelLoader>(
        core::ServableId{"m", {1}},
        [] {
          return std::make_unique<FakeModel>(InfoWithScores(),
                                             [](const InferRequest&, ResponseCallback) {});
        },
        metrics_);
    return ExampleLoader(version_.path(), {std::move(options)}, std::move(loader)).Load();
  }

  const TestFolder version_;
  MetricsRegistry metrics_;
};

TEST_F(ExampleLoaderTest, LabelsComeFromAFileOfTheVersion) {
  version_.Write("labels.txt", "no\r\nyes\n");
  const auto loaded = Load({.labels_file = "labels.txt"});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const ExamplePlan* const plan =
      static_cast<ServedModel&>(**loaded).examples().Find(ExampleMethod::kClassify, "");
  EXPECT_THAT(plan->labels, ElementsAre("no", "yes"));
}

TEST_F(ExampleLoaderTest, SettingsThatDoNotFitFailTheLoad) {
  const auto error = [&](ExampleOptions options) {
    const Status status = Load(std::move(options)).status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    return std::string(MessageOf(status));
  };
  EXPECT_THAT(error({.scores = "none"}), HasSubstr("has no output 'none'"));
  EXPECT_THAT(error({.labels_file = "labels.txt"}),
              HasSubstr("labels.txt cannot be read: there is no such file"));
  version_.Write("labels.txt", "a\n\xff\n");
  EXPECT_THAT(error({.labels_file = "labels.txt"}), HasSubstr("is not UTF-8"));
  version_.Write("labels.txt", "a\nb\nc\n");
  EXPECT_THAT(error({.labels_file = "labels.txt"}), HasSubstr("3 labels for the 2 classes"));
  version_.Write("labels.txt", "");
  EXPECT_THAT(error({.labels_file = "labels.txt"}), HasSubstr("has no labels"));
}

}  // namespace
}  // namespace penstock
