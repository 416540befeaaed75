// SPDX-License-Identifier: Apache-2.0
#include "backends/host/hosted_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <future>
#include <optional>
#include <stdexcept>
#include <thread>
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
int32_t Answer(PenstockRequest* request, bool is_last = true) {
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
  return request->respond(request, &part);
}

class HostedModelTest : public testing::Test {
 protected:
  void Make(uint32_t runs_max = 0) { Make(FakeDescription(runs_max)); }
  void Make(plugin::Description description) {
    const plugin::FrozenDescription frozen(std::move(description));
    model_.emplace(table_, &fake_, *abi::FromC("fake", frozen.info()), watch_, [] {});
    request_.inputs.push_back({"x", *Tensor::Allocate(DType::kFloat32, {1})});
  }
  void Run() {
    model_->Run(request_, [this](InferResponse part) { parts_.push_back(std::move(part)); });
  }

  const PenstockBackend table_ = FakeTable();
  FakeModel fake_;
  DeadlineWatch watch_;
  std::optional<HostedModel> model_;
  FlowControl flow_;
  InferRequest request_;
  std::vector<InferResponse> parts_;
};

TEST_F(HostedModelTest, TensorsAreSortedByNameAndKeepTheirPlaces) {
  Make();
  const std::vector<TensorSpec>& outputs = model_->info().signatures[0].outputs;
  ASSERT_EQ(outputs.size(), 2u);
  EXPECT_EQ(outputs[0].name, "y");
  EXPECT_EQ(AtPlace(outputs, 0).name, "z");
  EXPECT_EQ(AtPlace(outputs, 1).name, "y");
}

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

// --- A slow receiver

TEST_F(HostedModelTest, APartSaysWhetherTheReceiverIsSlow) {
  std::vector<int32_t> slow;
  fake_.run = [&](PenstockRequest* request) {
    slow.push_back(Answer(request, false));
    flow_.SetSlow();
    slow.push_back(Answer(request, false));
    Answer(request);
  };
  Make();
  request_.flow = &flow_;
  Run();
  EXPECT_THAT(slow, ElementsAre(0, 1));
  EXPECT_EQ(parts_.size(), 3U);
}

TEST_F(HostedModelTest, OnReadyCallsWhenTheReceiverIsReady) {
  PenstockRequest* running = nullptr;
  std::vector<int32_t> waits;
  const auto finish = [](void* request) { Answer(static_cast<PenstockRequest*>(request)); };
  fake_.run = [&](PenstockRequest* request) {
    waits.push_back(request->on_ready(request, finish, request));
    flow_.SetSlow();
    waits.push_back(request->on_ready(request, finish, request));
    waits.push_back(request->on_ready(request, nullptr, nullptr));
    waits.push_back(request->on_ready(request, finish, request));
    running = request;
  };
  Make();
  request_.flow = &flow_;
  Run();
  EXPECT_NE(running, nullptr);
  EXPECT_THAT(waits, ElementsAre(0, 1, 0, 1));
  EXPECT_TRUE(parts_.empty());
  flow_.SetReady();
  EXPECT_EQ(parts_.size(), 1U);
}

TEST_F(HostedModelTest, WithoutFlowControlNobodyIsSlow) {
  int32_t waits = -1;
  fake_.run = [&](PenstockRequest* request) {
    EXPECT_EQ(Answer(request, false), 0);
    waits = request->on_ready(
        request, [](void*) { ADD_FAILURE(); }, nullptr);
    Answer(request);
  };
  Make();
  Run();
  EXPECT_EQ(waits, 0);
}

// Gives `left` parts, and throws in the last one if told so. One thread at a time.
class CountingSource final : public plugin::PartSource {
 public:
  CountingSource(int left, bool throws) : left_(left), throws_(throws) {}
  bool Next(plugin::Request& request, plugin::Outputs& outputs) override {
    if (--left_ == 0 && throws_) throw std::runtime_error("burst");
    *outputs.Add<float>(request, 0, PENSTOCK_FLOAT32, {1}) = static_cast<float>(left_);
    *outputs.Add<float>(request, 1, PENSTOCK_FLOAT32, {1}) = 0;
    return left_ > 0;
  }

 private:
  int left_;
  const bool throws_;
};

// A receiver on a thread of its own, which is slow after each part; sometimes the client leaves.
TEST_F(HostedModelTest, AnAnswerInPartsWithASlowReceiver) {
  Make();
  enum class End { kAll, kError, kCancel };
  for (const End end : {End::kAll, End::kError, End::kCancel}) {
    for (int round = 0; round < 50; ++round) {
      FlowControl flow;
      CancelToken cancel;
      request_.flow = &flow;
      request_.cancel = &cancel;
      fake_.run = [&](PenstockRequest* request) {
        plugin::AnswerInParts(plugin::Request(request),
                              std::make_unique<CountingSource>(20, end == End::kError));
      };
      std::atomic<int> parts{0};
      std::promise<Status> ended;
      model_->Run(request_, [&](InferResponse&& part) {
        ++parts;
        flow.SetSlow();
        if (part.is_last) ended.set_value(part.status);
      });
      std::atomic<bool> is_over{false};
      std::thread receiver([&] {
        while (!is_over) flow.SetReady();
      });
      if (end == End::kCancel) cancel.Cancel();
      const Status status = ended.get_future().get();
      is_over = true;
      receiver.join();
      const bool is_whole = end == End::kAll && status.ok() && parts == 20;
      const bool has_failed =
          end == End::kError && status == absl::InternalError("burst") && parts == 20;
      const bool may_be_cut = end == End::kCancel && (status.ok() || absl::IsCancelled(status));
      EXPECT_TRUE(is_whole || has_failed || may_be_cut) << status << " after " << parts;
    }
  }
  request_.flow = nullptr;
  request_.cancel = nullptr;
}

// --- Several signatures

TEST_F(HostedModelTest, OutputsNameTheirSignature) {
  plugin::Description description = FakeDescription();
  description.signatures.push_back(description.signatures[0]);
  description.signatures[1].name = "second";
  description.signatures[1].outputs.pop_back();
  description.flags = PENSTOCK_SEVERAL_SIGNATURES;
  Make(std::move(description));
  EXPECT_TRUE(model_->info().traits.several_signatures);
  request_.signature_name = "second";
  request_.further_signatures = {{.name = "", .output_filter = {"y"}}};
  fake_.run = [](PenstockRequest* raw) {
    plugin::Request request(raw);
    ASSERT_EQ(request.signatures().size(), 2U);
    EXPECT_EQ(plugin::View(request.signatures()[0].name), "second");
    EXPECT_EQ(request.signatures()[0].index, 1U);
    EXPECT_EQ(request.signatures()[1].index, 0U);
    ASSERT_EQ(request.outputs().size(), 2U);
    plugin::Outputs outputs;
    for (const PenstockNamedTensor& wanted : request.outputs()) {
      outputs.SetSignature(wanted.signature);
      *outputs.Add<float>(request, wanted.index, PENSTOCK_FLOAT32, {1}) = 0;
    }
    request.Finish(outputs);
  };
  Run();
  ASSERT_TRUE(parts_[0].status.ok()) << parts_[0].status;
  EXPECT_EQ(parts_[0].outputs[0].name, "z");
  EXPECT_EQ(parts_[0].outputs[0].signature, 0U);
  EXPECT_EQ(parts_[0].outputs[1].name, "y");
  EXPECT_EQ(parts_[0].outputs[1].signature, 1U);
}

TEST_F(HostedModelTest, AnOutputOfASignatureThatWasNotAskedForIsAnError) {
  fake_.run = [](PenstockRequest* raw) {
    plugin::Request request(raw);
    plugin::Outputs outputs;
    outputs.SetSignature(1);
    for (const uint32_t index : {0, 1}) {
      *outputs.Add<float>(request, index, PENSTOCK_FLOAT32, {1}) = 0;
    }
    request.Finish(outputs);
  };
  Make();
  Run();
  EXPECT_EQ(parts_[0].status, absl::InternalError("the backend gave an output of the signature at "
                                                  "position 1, of 1"));
}

}  // namespace
}  // namespace penstock
