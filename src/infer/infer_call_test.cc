// SPDX-License-Identifier: Apache-2.0
#include "infer/infer_call.h"

#include <gtest/gtest.h>

#include <new>

#include "infer/model_fake.h"

namespace penstock {
namespace {

// What a call did. Its steps are written down by their first letters: Select, Decode, Encode,
// Write, Fail, Count, Release. Of answers in parts: Part, and '.' for the end. '!': stops the run.
struct Script {
  std::string steps;
  std::string model = "m";
  size_t tensor_bytes = 8;  // that decoding allocates
  size_t answer_bytes = 0;
  std::vector<ByteChain> unsent;
  bool decodes_in_place = false;
  bool decode_throws = false;
  bool encode_throws = false;
  Status error;
  std::string counted_model;
  StatusCode counted = StatusCode::kUnknown;
};

// Decodes into one int8 tensor.
class FakeCall final : public InferCall {
 public:
  explicit FakeCall(Script& script) : script_(script) {}
  using InferCall::Start;

 private:
  std::string_view Header(std::string_view) const override { return {}; }
  Status ReadSelector(ModelSelector& selector, InferRequest&) override {
    script_.steps += 'S';
    selector.name = script_.model;
    return OkStatus();
  }
  bool DecodesInPlace() const override { return script_.decodes_in_place; }
  Status Decode(const ModelInfo&, RequestMemory& memory, InferRequest& request) override {
    script_.steps += 'D';
    if (script_.decode_throws) throw std::bad_alloc();
    ASSIGN_OR_RETURN(
        Tensor tensor,
        Tensor::Allocate(DType::kInt8, {static_cast<int64_t>(script_.tensor_bytes)}, memory));
    request.inputs.clear();
    request.inputs.push_back({"x", std::move(tensor)});
    return OkStatus();
  }
  StatusOr<ByteChain> Encode(const NamedTensors&, RequestMemory&) override {
    script_.steps += 'E';
    if (script_.encode_throws) throw std::bad_alloc();
    return ByteChain(WholeSlice(AllocateBuffer(script_.answer_bytes)));
  }
  void Send(ByteChain&& answer) override {
    script_.steps += 'W';
    script_.unsent.push_back(std::move(answer));
  }
  void SendPart(ByteChain&& part) override {
    script_.steps += 'P';
    script_.unsent.push_back(std::move(part));
  }
  void EndParts() override { script_.steps += '.'; }
  void StopRun() override { script_.steps += '!'; }
  void SendError(const Status& status) override {
    script_.steps += 'F';
    script_.error = status;
  }
  void Record(std::string_view model, StatusCode code, Duration) override {
    script_.steps += 'C';
    script_.counted_model = std::string(model);
    script_.counted = code;
  }
  void Release() override {
    script_.steps += 'R';
    delete this;
  }

  Script& script_;
};

class InferCallTest : public testing::Test {
 protected:
  InferCallTest() {
    EXPECT_TRUE(ServeFakeModel(manager_, metrics_, "m", [this] {
                  ModelInfo info = FakeInfoOfAny();
                  info.traits.answers_in_run = true;
                  return std::make_unique<FakeModel>(
                      std::move(info), [this](const InferRequest& request, ResponseCallback done) {
                        run_.steps += 'X';
                        while_running_();
                        run_.bytes = request.inputs[0].tensor.bytes();
                        for (int i = 1; i < parts_; ++i) {
                          InferResponse part;
                          part.is_last = false;
                          done(std::move(part));
                          run_.saw_slow_receiver =
                              request.flow != nullptr && request.flow->IsSlow();
                        }
                        done({.status = last_status_, .outputs = {}});
                      });
                }).ok());
    // From now on the model runs inline.
    for (int i = 0; i < 100; ++i) Run();
    run_ = {};
  }

  // A pool without threads would keep what still waits.
  ~InferCallTest() override { scheduler_.RunQueued(); }

  // Starts a call on the "event loop", and then has the pool run what it got.
  void Run(size_t body_bytes = 100) {
    script_.steps.clear();
    record_.Clear();
    record_.filter = &filter_;
    auto* call = new FakeCall(script_);
    call->Start(engine_, {.start = clock_.Now(),
                          .deadline = deadline_,
                          .cancel = &cancel_,
                          .record = &record_,
                          .request_id = 1,
                          .body_bytes = body_bytes,
                          .parts = takes_parts_ ? receiver_.get() : nullptr});
    steps_on_loop_ = script_.steps;
    runs_on_loop_ = run_.steps;
    while_queued_();
    scheduler_.RunQueued();
  }

  // Until the next call of RunQueued.
  void FillQueue() {
    while (scheduler_.common().Submit([] {})) {
    }
  }

  struct Runs {
    std::string steps;
    size_t bytes = 0;
    bool saw_slow_receiver = false;
  };

  FakeClock clock_;
  MetricsRegistry metrics_;
  schedule::Scheduler scheduler_{{.queue_requests_max = 4, .threads = schedule::PoolThreads::kNone},
                                 clock_};
  core::Manager manager_;
  Counter& refusals_ = metrics_.AddCounter("refusals", "For the budget.");
  RequestBudget budget_ = std::make_shared<RequestAllowance>(20'000, refusals_);
  const Refusals refused_{metrics_};
  Engine engine_{{.inline_request_bytes_max = 1000,
                  .decoded_tensor_bytes_max = 5000,
                  .request_budget = budget_,
                  .refusals = &refused_},
                 manager_,
                 scheduler_,
                 clock_};
  CancelToken cancel_;
  CallFilter filter_;
  CallRecord record_;
  SteadyTime deadline_ = kNoDeadline;
  int parts_ = 1;
  Status last_status_;
  bool takes_parts_ = false;
  std::shared_ptr<PartReceiver> receiver_ = std::make_shared<PartReceiver>(scheduler_.common());
  std::function<void()> while_queued_ = [] {};
  std::function<void()> while_running_ = [] {};
  Script script_;
  Runs run_;
  std::string steps_on_loop_;
  std::string runs_on_loop_;
};

TEST_F(InferCallTest, ASmallRequestStaysOnTheEventLoop) {
  Run();
  EXPECT_EQ(steps_on_loop_, "SDEWCR");
  EXPECT_EQ(script_.counted_model, "m");
  EXPECT_EQ(script_.counted, StatusCode::kOk);
}

TEST_F(InferCallTest, TheRecordGetsDetailsOnlyIfSomebodyReadsThem) {
  Run();
  EXPECT_FALSE(record_.has_details);
  filter_.errors = true;
  Run();
  EXPECT_FALSE(record_.has_details);
  filter_.all = true;
  Run();
  ASSERT_TRUE(record_.has_details);
  EXPECT_EQ(record_.details->model, "m");
  EXPECT_TRUE(record_.details->version.has_value());
  EXPECT_EQ(record_.details->code, StatusCode::kOk);
}

TEST_F(InferCallTest, TheRecordOfAnErrorHasTheNameThatWasAsked) {
  filter_.errors = true;
  script_.model = std::string(10'000, 'n');
  Run();
  ASSERT_TRUE(record_.has_details);
  EXPECT_EQ(record_.details->model, std::string(kRecordTextBytesMax, 'n'));
  EXPECT_EQ(record_.details->version, std::nullopt);
  EXPECT_EQ(record_.details->code, StatusCode::kNotFound);
  EXPECT_FALSE(record_.details->error.empty());
}

TEST_F(InferCallTest, TheRecordHasTheTimesOfTheStages) {
  filter_.all = true;
  while_queued_ = [this] { clock_.Advance(std::chrono::milliseconds(5)); };
  while_running_ = [this] { clock_.Advance(std::chrono::milliseconds(3)); };
  Run(1001);
  ASSERT_TRUE(record_.has_details);
  const StageTimes& times = record_.details->times;
  EXPECT_EQ(times.queued, std::chrono::milliseconds(5));
  EXPECT_EQ(times.run_start - times.begun, times.queued);
  EXPECT_EQ(times.run_end - times.run_start, std::chrono::milliseconds(3));
  EXPECT_EQ(times.answered, times.run_end);
}

TEST_F(InferCallTest, RequestsThatDoNotRunAreCountedByReason) {
  FillQueue();
  Run(1001);
  EXPECT_EQ(refused_.queue_full.Value(), 1u);
  deadline_ = clock_.Now();
  Run(1001);
  EXPECT_EQ(refused_.deadline_passed.Value(), 1u);
  deadline_ = kNoDeadline;
  cancel_.Cancel();
  Run(1001);
  EXPECT_EQ(refused_.client_left.Value(), 1u);
  EXPECT_EQ(script_.counted, StatusCode::kCancelled);
}

TEST_F(InferCallTest, ARequestThatIsCancelledByItsDeadlineHasExceededIt) {
  cancel_.Cancel(CancelReason::kDeadline);
  Run(1001);
  EXPECT_EQ(script_.counted, StatusCode::kDeadlineExceeded);
  EXPECT_EQ(script_.error.code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(refused_.deadline_passed.Value(), 1u);
}

TEST_F(InferCallTest, TheStagesAreHistogramsOfTheVersion) {
  while_queued_ = [this] { clock_.Advance(std::chrono::milliseconds(5)); };
  while_running_ = [this] { clock_.Advance(std::chrono::milliseconds(3)); };
  const std::string before = metrics_.Text();
  Run(1001);
  const std::string after = metrics_.Text();
  const auto count = [](const std::string& text, const std::string& stage) {
    const size_t at =
        text.find("penstock_stage_latency_us_count{model_name=\"m\",model_version=\"1\",stage=\"" +
                  stage + "\"} ");
    return at == text.npos ? -1 : std::atoi(text.c_str() + text.find("} ", at) + 2);
  };
  for (const char* stage : {"decode", "queue", "run", "encode"})
    EXPECT_EQ(count(after, stage), count(before, stage) + 1) << stage;
  EXPECT_EQ(count(after, "write"), 0) << "an answer that need not wait does not count";
}

TEST_F(InferCallTest, ALargeBodyIsDecodedAndRunOnThePoolInOneGo) {
  Run(1001);
  EXPECT_EQ(steps_on_loop_, "");
  EXPECT_EQ(script_.steps, "SDEWCR");
  EXPECT_EQ(runs_on_loop_, "");
}

TEST_F(InferCallTest, ALargeBodyThatNeedsNoDecodingStaysOnTheLoop) {
  script_.decodes_in_place = true;
  Run(5000);
  EXPECT_EQ(steps_on_loop_, "SDEWCR");
  EXPECT_EQ(runs_on_loop_, "X");
}

TEST_F(InferCallTest, ASmallBodyThatExpandsIsDecodedOnThePool) {
  script_.tensor_bytes = 1001;
  Run();
  EXPECT_EQ(steps_on_loop_, "SD") << "the attempt that found out allocates nothing";
  EXPECT_EQ(script_.steps, "SDDEWCR");
  EXPECT_EQ(runs_on_loop_, "");
  EXPECT_EQ(run_.bytes, 1001U);
}

TEST_F(InferCallTest, TheModelIsFoundBeforeAnythingIsDecoded) {
  script_.model = "other";
  for (const size_t body_bytes : {100, 5000}) {
    Run(body_bytes);
    EXPECT_EQ(script_.steps, "SFCR");
    EXPECT_EQ(script_.counted, StatusCode::kNotFound);
    EXPECT_EQ(script_.counted_model, "") << "clients could make up any name";
  }
}

TEST_F(InferCallTest, RefusesARequestThatDecodesToTooMuch) {
  script_.tensor_bytes = 5001;
  Run();
  EXPECT_EQ(script_.counted, StatusCode::kResourceExhausted);
  EXPECT_EQ(script_.counted_model, "m");
}

TEST_F(InferCallTest, AFailedAllocationEndsOnlyTheRequest) {
  script_.decode_throws = true;
  Run();
  EXPECT_EQ(script_.steps, "SDFCR");
  EXPECT_EQ(script_.error.code(), StatusCode::kResourceExhausted);
  script_.decode_throws = false;
  script_.encode_throws = true;
  Run();
  EXPECT_EQ(script_.steps, "SDEFCR");
  EXPECT_EQ(script_.error.code(), StatusCode::kResourceExhausted);
  script_.encode_throws = false;
  Run();
  EXPECT_EQ(script_.counted, StatusCode::kOk);
}

TEST_F(InferCallTest, TensorsCountAsLongAsTheyLive) {
  script_.tensor_bytes = 5000;
  while_queued_ = [this] { EXPECT_EQ(budget_->left(), 20'000U) << "nothing is decoded yet"; };
  Run();
  EXPECT_EQ(script_.counted, StatusCode::kOk);
  EXPECT_EQ(budget_->left(), 20'000U);
  while_queued_ = [] {};
  ASSERT_TRUE(budget_->TryTake(16'000));
  Run();
  EXPECT_EQ(script_.error.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(budget_->refusals(), 1U);
  EXPECT_EQ(script_.steps, "SDDFCR");
}

TEST_F(InferCallTest, AnswersCountUntilTheyAreSent) {
  script_.answer_bytes = 8000;
  Run();
  Run();
  EXPECT_EQ(budget_->left(), 4000U);
  Run();
  EXPECT_EQ(script_.steps, "SDEFCR");
  EXPECT_EQ(script_.error.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(budget_->refusals(), 1U);
  script_.unsent.clear();
  Run();
  EXPECT_EQ(script_.counted, StatusCode::kOk);
}

TEST_F(InferCallTest, AFullPoolRefuses) {
  FillQueue();
  Run(1001);
  EXPECT_EQ(script_.steps, "FCR");
  EXPECT_EQ(script_.counted, StatusCode::kUnavailable);
}

TEST_F(InferCallTest, NothingIsDecodedForAClientThatHasLeft) {
  while_queued_ = [this] { cancel_.Cancel(); };
  Run(1001);
  EXPECT_EQ(script_.steps, "FCR");
  EXPECT_EQ(script_.counted, StatusCode::kCancelled);
}

TEST_F(InferCallTest, ADeadlineCountsAsDeadlineExceeded) {
  deadline_ = clock_.Now() + std::chrono::seconds(1);
  while_queued_ = [this] {
    clock_.Advance(std::chrono::seconds(1));
    cancel_.Cancel(CancelReason::kDeadline);  // as the network layer does once it has answered
  };
  Run(1001);
  EXPECT_EQ(script_.counted, StatusCode::kDeadlineExceeded);
}

TEST_F(InferCallTest, AClientThatLeavesCountsAsCancelledEvenIfTheRunEndsLater) {
  deadline_ = clock_.Now() + std::chrono::seconds(1);
  while_running_ = [this] {
    cancel_.Cancel(CancelReason::kClientLeft);
    clock_.Advance(std::chrono::seconds(2));
  };
  Run(1001);
  EXPECT_EQ(script_.steps, "SDEWCR") << "the run takes no notice of the cancel";
  EXPECT_EQ(script_.counted, StatusCode::kCancelled);
}

TEST_F(InferCallTest, RefusesAnswersInSeveralParts) {
  parts_ = 3;
  Run();
  EXPECT_EQ(script_.steps, "SDF!CR") << "the run is stopped at its first part";
  EXPECT_EQ(script_.counted, StatusCode::kUnimplemented);
  last_status_ = absl::CancelledError("it was stopped");
  Run();
  EXPECT_EQ(script_.counted, StatusCode::kUnimplemented);
}

TEST_F(InferCallTest, SendsEachPartToAClientThatTakesParts) {
  takes_parts_ = true;
  parts_ = 3;
  Run();
  EXPECT_EQ(script_.steps, "SDEPEP.CR") << "the last part has no outputs, and only ends the answer";
  EXPECT_EQ(script_.counted, StatusCode::kOk);
}

TEST_F(InferCallTest, AnAnswerThatIsNotInPartsIsOnePart) {
  takes_parts_ = true;
  Run();
  EXPECT_EQ(script_.steps, "SDEP.CR");
}

TEST_F(InferCallTest, AnErrorAfterSomeParts) {
  takes_parts_ = true;
  parts_ = 2;
  last_status_ = absl::InternalError("no more");
  Run();
  EXPECT_EQ(script_.steps, "SDEPFCR");
  EXPECT_EQ(script_.counted, StatusCode::kInternal);
}

TEST_F(InferCallTest, APartThatFindsNoMemoryEndsTheAnswerAtOnce) {
  takes_parts_ = true;
  parts_ = 4;
  script_.answer_bytes = 15'000;
  last_status_ = absl::CancelledError("it was stopped");
  Run();
  EXPECT_EQ(script_.steps, "SDEPEF!CR");
  EXPECT_EQ(script_.counted, StatusCode::kResourceExhausted);
}

TEST_F(InferCallTest, AFullPoolEndsAnAnswerWhoseModelWaits) {
  receiver_->OnSend();
  EXPECT_TRUE(receiver_->flow().SetCallback([] {}));
  FillQueue();
  receiver_->OnAccepted(cancel_);
  EXPECT_TRUE(receiver_->is_refused());
  EXPECT_TRUE(cancel_.IsCancelled());
}

TEST_F(InferCallTest, AModelThatWaitsForTheReceiverGoesOnOnThePool) {
  bool goes_on = false;
  receiver_->OnSend();
  EXPECT_TRUE(receiver_->flow().SetCallback([&] { goes_on = true; }));
  receiver_->OnAccepted(cancel_);
  EXPECT_FALSE(goes_on) << "an event loop must not run the model";
  EXPECT_EQ(scheduler_.RunQueued(), 1U);
  EXPECT_TRUE(goes_on);
  receiver_->OnSend();
  receiver_->OnAccepted(cancel_);
  EXPECT_FALSE(receiver_->flow().IsSlow());
  EXPECT_EQ(scheduler_.RunQueued(), 0U) << "no model waits, so no thread is needed";
}

TEST(CallPool, ReturnsTheObjectsItGot) {
  auto first = CallPool<int>::Take();
  const int* const address = first.get();
  CallPool<int>::Give(std::move(first));
  EXPECT_EQ(CallPool<int>::Take().get(), address);
}

}  // namespace
}  // namespace penstock
