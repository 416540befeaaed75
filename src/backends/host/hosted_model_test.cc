// SPDX-License-Identifier: Apache-2.0
#include "backends/host/hosted_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <stdexcept>
#include <vector>

#include "penstock/backend.hpp"

namespace penstock {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// A model whose run is what the test says: x float[-1] -> y float[-1], z float[-1].
struct FakeModel {
  std::function<void(PenstockRequest*)> run;
  bool unloaded = false;
};

plugin::Description FakeDescription(uint32_t runs_max = 0) {
  plugin::Signature signature;
  signature.inputs = {{.name = "x", .dtype = PENSTOCK_FLOAT32, .shape = {-1}}};
  // Not sorted: the host sorts.
  signature.outputs = {{.name = "z", .dtype = PENSTOCK_FLOAT32, .shape = {-1}},
                       {.name = "y", .dtype = PENSTOCK_FLOAT32, .shape = {-1}}};
  plugin::Description description;
  description.signatures = {signature};
  description.runs_max = runs_max;
  return description;
}

PenstockBackend FakeTable() {
  PenstockBackend table{};
  table.struct_size = sizeof(table);
  table.run = [](void* model, PenstockRequest* request) {
    static_cast<FakeModel*>(model)->run(request);
  };
  table.unload = [](void* model) { static_cast<FakeModel*>(model)->unloaded = true; };
  return table;
}

// Gives `z` = {1}, `y` = {2} as one part.
void Answer(PenstockRequest* request, bool is_last = true) {
  static const int64_t kShape[] = {1};
  static const float kValues[] = {1, 2};
  PenstockNamedTensor outputs[2] = {};
  for (uint32_t i = 0; i < 2; ++i) {
    outputs[i].index = i;
    outputs[i].tensor = {PENSTOCK_FLOAT32, 1, kShape, &kValues[i], sizeof(float), {}, {}};
  }
  PenstockPart part{};
  part.struct_size = sizeof(part);
  part.is_last = is_last ? 1 : 0;
  part.outputs = outputs;
  part.output_count = 2;
  request->respond(request, &part);
}

class HostedModelTest : public testing::Test {
 protected:
  void Make(uint32_t runs_max = 0) {
    const plugin::FrozenDescription frozen(FakeDescription(runs_max));
    model_.emplace(table_, &fake_, *border::FromC("fake", frozen.info()), watch_, [] {});
    request_.inputs.push_back({"x", *Tensor::Allocate(DType::kFloat32, {1})});
  }
  void Run() {
    model_->Run(request_, [this](InferResponse part) { parts_.push_back(std::move(part)); });
  }

  const PenstockBackend table_ = FakeTable();
  FakeModel fake_;
  DeadlineWatch watch_;
  std::optional<HostedModel> model_;
  InferRequest request_;
  std::vector<InferResponse> parts_;
};

TEST_F(HostedModelTest, SortsOutputsAndCopiesWhatHasNoOwner) {
  fake_.run = [](PenstockRequest* request) { Answer(request); };
  Make();
  EXPECT_EQ(model_->info().signatures[0].outputs[0].name, "y");
  Run();
  ASSERT_EQ(parts_.size(), 1U);
  ASSERT_TRUE(parts_[0].status.ok()) << parts_[0].status;
  EXPECT_EQ(parts_[0].outputs[0].name, "z");
  EXPECT_THAT(parts_[0].outputs[0].tensor.as<float>(), ElementsAre(1));
  EXPECT_EQ(parts_[0].outputs[1].name, "y");
  EXPECT_THAT(parts_[0].outputs[1].tensor.as<float>(), ElementsAre(2));
  model_.reset();
  EXPECT_TRUE(fake_.unloaded);
}

TEST_F(HostedModelTest, InputsComeBackWithoutACopy) {
  fake_.run = [](PenstockRequest* request) {
    PenstockNamedTensor outputs[2] = {request->inputs[0], request->inputs[0]};
    for (uint32_t i = 0; i < 2; ++i) {
      outputs[i].index = i;
      outputs[i].tensor.owner.calls->keep(outputs[i].tensor.owner.object);
    }
    PenstockPart part{};
    part.struct_size = sizeof(part);
    part.is_last = 1;
    part.outputs = outputs;
    part.output_count = 2;
    request->respond(request, &part);
  };
  Make();
  Run();
  ASSERT_TRUE(parts_[0].status.ok()) << parts_[0].status;
  EXPECT_EQ(parts_[0].outputs[0].tensor.data(), request_.inputs[0].tensor.data());
}

TEST_F(HostedModelTest, SeveralPartsTheLastOnce) {
  fake_.run = [](PenstockRequest* request) {
    Answer(request, false);
    Answer(request, false);
    Answer(request);
  };
  Make();
  Run();
  ASSERT_EQ(parts_.size(), 3U);
  EXPECT_FALSE(parts_[1].is_last);
  EXPECT_TRUE(parts_[2].is_last);
}

TEST_F(HostedModelTest, ASecondLastPartDuringTheCallIsIgnored) {
  fake_.run = [](PenstockRequest* request) {
    Answer(request);
    Answer(request);
  };
  Make();
  Run();
  EXPECT_EQ(parts_.size(), 1U);
}

TEST_F(HostedModelTest, AnExceptionBecomesAStatus) {
  fake_.run = [](PenstockRequest*) { throw std::runtime_error("burst"); };
  Make();
  Run();
  ASSERT_EQ(parts_.size(), 1U);
  EXPECT_EQ(parts_[0].status.code(), StatusCode::kInternal);
  EXPECT_THAT(std::string(MessageOf(parts_[0].status)), HasSubstr("burst"));
}

TEST_F(HostedModelTest, MissingOutputsAreAnError) {
  fake_.run = [](PenstockRequest* request) {
    plugin::Outputs none;
    plugin::Request(request).Finish(none);
  };
  Make();
  Run();
  EXPECT_EQ(parts_[0].status.code(), StatusCode::kInternal);
  EXPECT_THAT(std::string(MessageOf(parts_[0].status)), HasSubstr("0 of the 2"));
}

TEST_F(HostedModelTest, ADroppedRequestIsAnswered) {
  fake_.run = [](PenstockRequest* request) { const plugin::Request dropped(request); };
  Make();
  Run();
  EXPECT_EQ(parts_[0].status.code(), StatusCode::kInternal);
}

TEST_F(HostedModelTest, ABrokenModelIsUnavailable) {
  fake_.run = [](PenstockRequest* request) { Answer(request); };
  Make();
  model_->MarkBroken("worn out");
  Run();
  EXPECT_EQ(parts_[0].status.code(), StatusCode::kUnavailable);
  EXPECT_THAT(std::string(MessageOf(parts_[0].status)), HasSubstr("worn out"));
}

TEST_F(HostedModelTest, RunsThatWaitWhenTheModelBreaksDoNotReachIt) {
  std::vector<PenstockRequest*> running;
  fake_.run = [&](PenstockRequest* request) { running.push_back(request); };
  Make(1);
  for (int i = 0; i < 3; ++i) Run();
  model_->MarkBroken("worn out");
  model_->MarkBroken("again");
  Answer(running[0]);
  EXPECT_EQ(running.size(), 1U);
  ASSERT_EQ(parts_.size(), 3U);
  EXPECT_TRUE(parts_[0].status.ok());
  for (const size_t i : {1, 2}) {
    EXPECT_EQ(parts_[i].status.code(), StatusCode::kUnavailable);
    EXPECT_THAT(std::string(MessageOf(parts_[i].status)), HasSubstr("worn out"));
  }
}

TEST_F(HostedModelTest, NoMoreRunsAtOnceThanTheBackendTakes) {
  std::vector<PenstockRequest*> running;
  fake_.run = [&](PenstockRequest* request) { running.push_back(request); };
  Make(1);
  for (int i = 0; i < 3; ++i) Run();
  for (size_t i = 0; i < 3; ++i) {
    ASSERT_EQ(running.size(), i + 1);
    Answer(running[i]);
    EXPECT_EQ(parts_.size(), i + 1);
  }
}

TEST_F(HostedModelTest, ACancelReachesTheBackendWhichMayAnswerInIt) {
  const auto cancelled = [](void* argument) {
    plugin::Request(static_cast<PenstockRequest*>(argument)).Fail(PENSTOCK_CANCELLED, "stopped");
  };
  fake_.run = [&](PenstockRequest* request) { request->on_stop(request, cancelled, request); };
  Make();
  CancelToken token;
  request_.cancel = &token;
  Run();
  EXPECT_TRUE(parts_.empty());
  token.Cancel();
  ASSERT_EQ(parts_.size(), 1U);
  EXPECT_EQ(parts_[0].status.code(), StatusCode::kCancelled);
}

}  // namespace
}  // namespace penstock
