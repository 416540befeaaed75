// SPDX-License-Identifier: Apache-2.0
#include "infer/experiments/experiments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <thread>

#include "absl/strings/ascii.h"
#include "base/executor.h"
#include "core/loader_fake.h"
#include "infer/engine.h"
#include "infer/experiments/assignment.h"
#include "infer/experiments/traffic_split.h"
#include "infer/model_fake.h"

namespace penstock {
namespace {

using core::FakeGate;
using testing::AllOf;
using testing::Each;
using testing::HasSubstr;
using testing::Not;

ModelSelector Select(std::string_view name, std::optional<core::VersionNumber> version = {},
                     std::string_view label = {}) {
  return {name, version, label};
}

ExperimentTarget VersionOf(const std::string& model, int64_t version) {
  return {model, core::VersionNumber{version}, ""};
}

// The headers of a request by this user. An empty name stands for no headers.
class UserHeader final : public RequestHeaders {
 public:
  explicit UserHeader(std::string_view user) : user_(user) {}
  std::string_view Header(std::string_view name) const override {
    constexpr std::string_view kName = "x-user";
    const bool is_same = std::ranges::equal(name, kName, {}, absl::ascii_tolower);
    return is_same ? user_ : std::string_view();
  }

 private:
  const std::string_view user_;
};

// Versions of two models behind an engine, each of which gives its name as the output.
class ExperimentsTest : public testing::Test {
 protected:
  ExperimentsTest() {
    info_.traits.answers_in_run = true;
    request_.inputs.push_back({"user", *Tensor::Allocate(DType::kInt64, {2})});
    SetUser(7);
    EXPECT_TRUE(manager_.SetModels({{.name = "m"}, {.name = "other"}}).ok());
  }
  ~ExperimentsTest() override {
    gate_.Open();
    manager_.Stop();
  }

  void SetUser(int64_t user) {
    Tensor tensor = *Tensor::Allocate(DType::kInt64, {2});
    tensor.mutable_as<int64_t>()[0] = user;
    tensor.mutable_as<int64_t>()[1] = 0;
    request_.inputs[0].tensor = tensor;
  }

  // Makes exactly these versions of the model ready.
  void Serve(const std::string& model, const std::vector<int64_t>& versions) {
    Aspire(model, versions);
    manager_.WaitUntilIdle();
  }
  void Aspire(const std::string& model, const std::vector<int64_t>& versions) {
    std::vector<core::AspiredVersion> aspired;
    for (const int64_t version : versions) {
      const core::ServableId id{model, {version}};
      aspired.push_back({id.version, std::make_unique<FakeModelLoader>(
                                         id,
                                         [this, id] {
                                           return std::make_unique<FakeModel>(
                                               info_, [this, id](const InferRequest& request,
                                                                 ResponseCallback done) {
                                                 RunModel(id, request, std::move(done));
                                               });
                                         },
                                         metrics_)});
    }
    manager_.SetAspired(model, std::move(aspired));
  }

  void RunModel(const core::ServableId& id, const InferRequest& request, ResponseCallback done) {
    const std::string name = fmt::format("{}/{}", id.name, id.version.value);
    if (name == blocked_) gate_.WaitUntilOpen();
    InferResponse response;
    const bool is_endless = name == endless_;
    const int parts = parts_.contains(name) ? parts_.at(name) : 0;
    for (int i = 0; is_endless ? !request.cancel->IsCancelled() : i < parts; ++i) {
      {
        MutexLock lock(mutex_);
        ++runs_[name];
        changed_.NotifyAll();
      }
      InferResponse part;
      part.is_last = false;
      done(std::move(part));
    }
    if (is_endless) response.status = absl::CancelledError("nobody waits");
    if (name == failing_) response.status = absl::InternalError("it fails");
    {
      MutexLock lock(mutex_);
      ++runs_[name];
      users_[name] = request.inputs[0].tensor.as<int64_t>()[0];
      changed_.NotifyAll();
    }
    done(std::move(response));
  }
  int Runs(const std::string& name) {
    MutexLock lock(mutex_);
    return runs_[name];
  }
  void WaitForRuns(const std::string& name, int runs) {
    MutexLock lock(mutex_);
    while (runs_[name] < runs) changed_.Wait(mutex_);
  }

  void Split(std::vector<ArmOptions> arms, std::string header = "", std::string input = "") {
    experiments_.Set({{"m", {std::move(arms), std::move(header), std::move(input), {}}}});
  }
  // One request with the header "x-user" (none if empty): which version answers.
  std::string Ask(const std::string& user = "", const ModelSelector& selector = Select("m")) {
    StatusOr<ModelHandle> handle = engine_.FindToRun(selector, UserHeader(user));
    if (!handle.ok()) return std::string(MessageOf(handle.status()));
    engine_.Decide(*handle, request_);
    engine_.Run(*handle, request_, true, [this](InferResponse&& part) { status_ = part.status; });
    return fmt::format("{}/{}", handle->id().name, handle->id().version.value);
  }

  ModelInfo info_ = FakeInfo({FakeInput("user", DType::kInt64)});
  MetricsRegistry metrics_;
  Experiments experiments_{metrics_};
  core::Manager manager_;
  schedule::Scheduler scheduler_{{.threads = schedule::PoolThreads::kCaller}};
  Engine engine_{{.traffic = &experiments_}, manager_, scheduler_};
  InferRequest request_;
  Status status_;                     // of the last run
  std::string blocked_;               // this version waits for the gate
  std::string failing_;               // and this one fails
  std::string endless_;               // and this one gives parts until it is cancelled
  std::map<std::string, int> parts_;  // how many each gives before the last one
  FakeGate gate_;

  Mutex mutex_;
  CondVar changed_;
  std::map<std::string, int> runs_ GUARDED_BY(mutex_);
  std::map<std::string, int64_t> users_ GUARDED_BY(mutex_);
};

TEST_F(ExperimentsTest, WithoutAnExperimentTheNewestVersionAnswers) {
  Serve("m", {1, 2});
  EXPECT_FALSE(experiments_.any());
  EXPECT_EQ(Ask("user"), "m/2");
  experiments_.Set({{"m", {}}});
  EXPECT_FALSE(experiments_.any());
  EXPECT_THAT(metrics_.Text(), Not(HasSubstr("penstock_arm")));
}

TEST_F(ExperimentsTest, SplitsAtRandomByWeight) {
  Serve("m", {1, 2});
  Serve("other", {5});
  Split({{"old", VersionOf("m", 1), 60},
         {"new", VersionOf("m", 2), 30},
         {"x", {"other", {}, ""}, 10}});
  for (int i = 0; i < 20'000; ++i) Ask();
  EXPECT_NEAR(Runs("m/1"), 12'000, 300);
  EXPECT_NEAR(Runs("m/2"), 6'000, 300);
  EXPECT_NEAR(Runs("other/5"), 2'000, 200);
}

TEST_F(ExperimentsTest, SticksToAHeader) {
  Serve("m", {1, 2});
  Split({{"old", VersionOf("m", 1), 1}, {"new", VersionOf("m", 2), 1}}, "X-User");
  std::map<std::string, std::string> got;
  for (int i = 0; i < 100; ++i) got[fmt::format("user-{}", i)] = Ask(fmt::format("user-{}", i));
  Split({{"new", VersionOf("m", 2), 1}, {"old", VersionOf("m", 1), 1}}, "x-user");  // a reload
  for (const auto& [user, version] : got) EXPECT_EQ(Ask(user), version) << user;
  EXPECT_NEAR(Runs("m/1"), 100, 40);
  const auto arms = experiments_.Find("m")->options().arms;
  EXPECT_EQ(Ask("someone") == "m/2",
            arms[OrderArms(arms, PositionOf("m", "someone"))[0]].name == "new");
  for (int i = 0; i < 100; ++i) Ask();  // without the header: at random
  EXPECT_NEAR(Runs("m/1"), 150, 50);
}

TEST_F(ExperimentsTest, SticksToAnInput) {
  Serve("m", {1, 2});
  Split({{"old", VersionOf("m", 1), 1}, {"new", VersionOf("m", 2), 1}}, "", "user");
  std::map<std::string, int> answers;
  for (int64_t user = 0; user < 200; ++user) {
    SetUser(user);
    const std::string version = Ask();
    for (int again = 0; again < 3; ++again) EXPECT_EQ(Ask(), version) << user;
    ++answers[version];
  }
  EXPECT_NEAR(answers["m/1"], 100, 40);
}

TEST_F(ExperimentsTest, AMissingStickyInputMeansARandomArm) {
  Serve("m", {1, 2});
  Split({{"old", VersionOf("m", 1), 1}, {"new", VersionOf("m", 2), 1}}, "", "nobody");
  for (int i = 0; i < 200; ++i) Ask();
  EXPECT_NEAR(Runs("m/1"), 100, 50);
  request_.inputs[0].tensor = *Tensor::Allocate(DType::kInt64, {0});
  EXPECT_NE(PositionOf("m", request_.inputs[0].tensor), PositionOf("m", request_.inputs[0].tensor));
}

TEST_F(ExperimentsTest, ARequestWithAVersionOrLabelGetsIt) {
  Serve("m", {1, 2});
  Split({{"old", VersionOf("m", 1), 1}});
  EXPECT_EQ(Ask("", Select("m", core::VersionNumber{2})), "m/2");
  EXPECT_EQ(Ask("", Select("m", {}, "none")),
            "Unrecognized servable version label: none: the model has no label");
  EXPECT_EQ(Ask("", Select("")), "ModelSpec has no name specified.");
  EXPECT_EQ(Ask(), "m/1");
  EXPECT_EQ(engine_.Find(Select("m"))->id().version.value, 2);  // metadata
}

TEST_F(ExperimentsTest, OtherArmsServeForAnArmThatIsNotReady) {
  Serve("m", {2});
  Split({{"old", VersionOf("m", 1), 1}, {"new", VersionOf("m", 2), 1}}, "x-user");
  for (int i = 0; i < 100; ++i) EXPECT_EQ(Ask(fmt::format("user-{}", i)), "m/2");
  EXPECT_THAT(
      metrics_.Text(),
      AllOf(HasSubstr("penstock_arm_fallbacks_total{model_name=\"m\",arm=\"new\"} 0"),
            Not(HasSubstr("penstock_arm_fallbacks_total{model_name=\"m\",arm=\"old\"} 0"))));
}

TEST_F(ExperimentsTest, WithoutAReadyArmTheModelAnswersAsUsual) {
  Serve("m", {3});
  Split({{"old", VersionOf("m", 1), 1}, {"new", {"m", {}, "canary"}, 1}});
  EXPECT_EQ(Ask(), "m/3");
  Split({{"old", VersionOf("m", 1), 1}}, "", "user");
  EXPECT_EQ(Ask(), "m/3");
  Serve("m", {});
  EXPECT_EQ(Ask(), "model m cannot be loaded: it has no version");
  Split({{"old", VersionOf("m", 1), 1}});
  EXPECT_EQ(Ask(), "model m cannot be loaded: it has no version");
}

TEST_F(ExperimentsTest, AModelOnDemandLoadsForAnArmOrAShadow) {
  core::ModelConfig lazy;
  lazy.name = "other";
  lazy.load_mode = core::LoadMode::kOnDemand;
  ASSERT_TRUE(manager_.SetModel(lazy).ok());
  Serve("m", {1});
  Serve("other", {5});
  Split({{"lazy", {"other", {}, ""}, 1}});
  EXPECT_EQ(Ask(), "m/1");
  manager_.WaitUntilIdle();
  EXPECT_EQ(Ask(), "other/5");
  Serve("other", {});
  Serve("other", {6});
  experiments_.Set({{"m", {{}, "", "", {{"lazy", {"other", {}, ""}, 1, 16}}}}});
  EXPECT_EQ(Ask(), "m/1");
  manager_.WaitUntilIdle();
  EXPECT_EQ(Ask(), "m/1");
  WaitForRuns("other/6", 1);
}

TEST_F(ExperimentsTest, EachArmIsMeasured) {
  Serve("m", {1, 2});
  failing_ = "m/2";
  Split({{"old", VersionOf("m", 1), 1}, {"new", VersionOf("m", 2), 0}});
  Ask();
  Split({{"old", VersionOf("m", 1), 0}, {"new", VersionOf("m", 2), 1}});
  Ask();
  EXPECT_EQ(status_, absl::InternalError("it fails"));
  request_.signature_name = "none";
  Ask();
  const std::string text = metrics_.Text();
  const auto count = [](std::string arm, std::string status, int value) {
    return HasSubstr(
        fmt::format("penstock_arm_requests_total{{model_name=\"m\",arm=\"{}\",status=\"{}\"}} {}",
                    arm, status, value));
  };
  EXPECT_THAT(text, AllOf(count("old", "OK", 1), count("new", "OK", 0), count("new", "INTERNAL", 1),
                          count("new", "FAILED_PRECONDITION", 1)));
  EXPECT_THAT(text, HasSubstr("penstock_arm_latency_us_count{model_name=\"m\",arm=\"old\"} 1"));
}

TEST_F(ExperimentsTest, AnUnchangedExperimentKeepsItsState) {
  const ExperimentOptions options{{{"a", VersionOf("m", 1), 1}}, "x-user", "", {}};
  experiments_.Set({{"m", options}});
  const ExperimentRef first = experiments_.Find("m");
  experiments_.Set({{"m", options}, {"other", options}});
  EXPECT_EQ(experiments_.Find("m"), first);
  EXPECT_NE(experiments_.Find("other"), nullptr);
  EXPECT_EQ(experiments_.Find("none"), nullptr);
  ExperimentOptions changed = options;
  changed.arms[0].weight = 2;
  experiments_.Set({{"m", changed}});
  EXPECT_NE(experiments_.Find("m"), first);
  EXPECT_EQ(experiments_.Find("other"), nullptr);
}

// For TSan: requests while experiments come and go.
TEST_F(ExperimentsTest, ChangesWhileRequestsRun) {
  Serve("m", {1, 2});
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      while (!stop) {
        StatusOr<ModelHandle> handle = engine_.FindToRun(Select("m"), UserHeader(""));
        if (!handle.ok()) ADD_FAILURE() << handle.status();
        engine_.Run(*handle, request_, true, [](InferResponse&&) {});
      }
    });
  }
  for (uint32_t i = 0; i < 200; ++i) {
    ExperimentOptions options{{{"old", VersionOf("m", 1), i}, {"new", VersionOf("m", 2), 1}},
                              "",
                              "",
                              {{"s", VersionOf("m", 1), 0.5, 2}}};
    experiments_.Set({{"m", i % 3 == 0 ? ExperimentOptions() : options}});
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
}

// --- Shadows

TEST_F(ExperimentsTest, AShadowGetsCopiesAndItsAnswersAreDropped) {
  Serve("m", {1, 2});
  failing_ = "m/1";
  experiments_.Set({{"m", {{}, "", "", {{"candidate", VersionOf("m", 1), 1, 100}}}}});
  SetUser(42);
  EXPECT_EQ(Ask(), "m/2");
  EXPECT_TRUE(status_.ok());
  WaitForRuns("m/1", 1);
  {
    MutexLock lock(mutex_);
    EXPECT_EQ(users_["m/1"], 42);
  }
  manager_.Stop();  // returns when the copy has let go
  EXPECT_THAT(metrics_.Text(), HasSubstr("penstock_shadow_requests_total{model_name=\"m\",shadow="
                                         "\"candidate\",status=\"INTERNAL\"} 1"));
}

TEST_F(ExperimentsTest, AShadowGetsItsFraction) {
  Serve("m", {1, 2});
  experiments_.Set({{"m", {{}, "", "", {{"s", VersionOf("m", 1), 0.25, 1'000'000}}}}});
  for (int i = 0; i < 4000; ++i) Ask();
  manager_.Stop();
  EXPECT_EQ(Runs("m/2"), 4000);
  EXPECT_NEAR(Runs("m/1"), 1000, 120);
}

TEST_F(ExperimentsTest, ABusyShadowDelaysNothing) {
  Serve("m", {1, 2});
  blocked_ = "m/1";
  experiments_.Set({{"m", {{}, "", "", {{"s", VersionOf("m", 1), 1, 3}}}}});
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(Ask(), "m/2");
    EXPECT_TRUE(status_.ok());
  }
  EXPECT_THAT(
      metrics_.Text(),
      HasSubstr("penstock_shadow_dropped_total{model_name=\"m\",shadow=\"s\",reason=\"busy\"} 7"));
  gate_.Open();
  WaitForRuns("m/1", 3);
  manager_.Stop();
  EXPECT_EQ(Runs("m/1"), 3);
  EXPECT_THAT(metrics_.Text(),
              HasSubstr("penstock_shadow_latency_us_count{model_name=\"m\",shadow=\"s\"} 3"));
}

// The request is gone when the copy runs: its tensors and names must not be.
TEST_F(ExperimentsTest, ACopyOutlivesItsRequest) {
  Serve("m", {1, 2});
  blocked_ = "m/1";
  experiments_.Set({{"m", {{}, "", "", {{"s", VersionOf("m", 1), 1, 3}}}}});
  SetUser(1234);
  std::string names = "user serving_default";
  request_.names_owner = CopyToBuffer(names);
  const std::string_view kept(reinterpret_cast<const char*>(request_.names_owner->data()),
                              names.size());
  request_.inputs[0].name = kept.substr(0, 4);
  request_.signature_name = kept.substr(5);
  CancelToken cancel;
  cancel.Cancel();  // the client has gone; the copy runs all the same
  Ask();
  request_ = {};
  Aspire("m", {1});  // version 2 is unloaded when the copy has let go of it
  gate_.Open();
  WaitForRuns("m/1", 1);
  MutexLock lock(mutex_);
  EXPECT_EQ(users_["m/1"], 1234);
}

TEST_F(ExperimentsTest, TheCopyOfAStreamEndsWithItsRequest) {
  Serve("m", {1, 2});
  parts_["m/2"] = 5;
  endless_ = "m/1";
  experiments_.Set({{"m", {{}, "", "", {{"s", VersionOf("m", 1), 1, 3}}}}});
  Ask();
  manager_.Stop();  // returns when the copy has let go
  EXPECT_GE(Runs("m/1"), 5) << "it gets as many parts as its request";
  EXPECT_THAT(metrics_.Text(), HasSubstr("shadow=\"s\",status=\"OK\"} 1"));
}

TEST_F(ExperimentsTest, CopiesThatAnswerInPartsEndWhenTheirVersionIsUnloaded) {
  Serve("m", {1, 2});
  endless_ = "m/1";
  blocked_ = "m/2";  // the request does not end
  experiments_.Set({{"m", {{}, "", "", {{"s", VersionOf("m", 1), 1, 3}}}}});
  std::thread asks([this] { Ask(); });
  WaitForRuns("m/1", 2);
  experiments_.EndShadowsOf({"m", {3}});
  const int before = Runs("m/1");
  WaitForRuns("m/1", before + 1);  // it runs on
  experiments_.EndShadowsOf({"m", {1}});
  const std::string counted = "shadow=\"s\",status=\"CANCELLED\"} 1";
  while (metrics_.Text().find(counted) == std::string::npos) std::this_thread::yield();
  gate_.Open();
  asks.join();
}

TEST_F(ExperimentsTest, AllCopiesEndWithTheServer) {
  Serve("m", {1, 2});
  endless_ = "m/1";
  blocked_ = "m/2";
  experiments_.Set({{"m", {{}, "", "", {{"s", VersionOf("m", 1), 1, 3}}}}});
  std::thread asks([this] { Ask(); });
  WaitForRuns("m/1", 1);
  experiments_.EndShadows();
  const std::string counted = "shadow=\"s\",status=\"CANCELLED\"} 1";
  while (metrics_.Text().find(counted) == std::string::npos) std::this_thread::yield();
  gate_.Open();
  asks.join();
}

TEST_F(ExperimentsTest, AShadowThatIsNotReadyIsCounted) {
  Serve("m", {2});
  experiments_.Set({{"m", {{}, "", "", {{"s", VersionOf("m", 1), 1, 3}}}}});
  EXPECT_EQ(Ask(), "m/2");
  EXPECT_THAT(metrics_.Text(), HasSubstr("shadow=\"s\",reason=\"not_ready\"} 1"));
}

TEST_F(ExperimentsTest, RequestsThatTheModelRefusesAreNotCopied) {
  Serve("m", {1, 2});
  experiments_.Set({{"m", {{}, "", "", {{"s", VersionOf("m", 1), 1, 3}}}}});
  request_.inputs.clear();
  Ask();
  EXPECT_EQ(status_.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(
      metrics_.Text(),
      Not(HasSubstr("shadow_requests_total{model_name=\"m\",shadow=\"s\",status=\"INVALID")));
}

TEST_F(ExperimentsTest, AShadowThatTakesOtherInputsFailsAlone) {
  Serve("m", {2});
  info_.signatures[0].inputs[0].name = "customer";
  Serve("other", {1});
  experiments_.Set({{"m", {{}, "", "", {{"s", {"other", {}, ""}, 1, 3}}}}});
  EXPECT_EQ(Ask(), "m/2");
  EXPECT_TRUE(status_.ok());
  manager_.Stop();
  EXPECT_EQ(Runs("other/1"), 0);
  EXPECT_THAT(metrics_.Text(), HasSubstr("shadow=\"s\",status=\"INVALID_ARGUMENT\"} 1"));
}

TEST_F(ExperimentsTest, ACopyPastItsDeadlineIsNotRun) {
  Serve("m", {1, 2});
  info_.traits = {};
  experiments_.Set({{"m", {{}, "", "", {{"s", VersionOf("m", 1), 1, 3}}}}});
  request_.deadline = SteadyTime() + std::chrono::seconds(1);  // long ago
  EXPECT_EQ(Ask(), "m/2");
  EXPECT_EQ(status_.code(), StatusCode::kDeadlineExceeded);
  manager_.Stop();
  EXPECT_EQ(Runs("m/1"), 0);
  EXPECT_THAT(metrics_.Text(), HasSubstr("shadow=\"s\",status=\"DEADLINE_EXCEEDED\"} 1"));
}

}  // namespace
}  // namespace penstock
