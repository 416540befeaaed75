// SPDX-License-Identifier: Apache-2.0
#include "models/model_reloader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>

#include "base/os/test_folder.h"
#include "core/background_threads.h"
#include "core/loader_fake.h"
#include "models/idle_settings.h"
#include "models/sources_fixture.h"
#include "models/unserved_arms.h"
#include "serving/model_server_config.pb.h"

namespace penstock {
namespace {

using testing::HasSubstr;
using testing::Not;
using Kind = ModelChange::Kind;

// Keeps loads from beginning. Thread-safe.
class HeldLoads final {
 public:
  // So many loads, from the next one on, begin when they are released.
  void HoldNext(int count) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    left_ = count;
  }
  // Until they are all there: loads begin in their own time, and one that comes first is held.
  void WaitUntilHeld() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    while (left_ > 0) held_.Wait(mutex_);
  }
  void Release() EXCLUDES(mutex_) {
    std::vector<Task> tasks;
    {
      MutexLock lock(mutex_);
      left_ = 0;
      tasks.swap(tasks_);
    }
    for (Task& task : tasks) run_(std::move(task));
  }

 private:
  friend class HoldingBackground;

  // True if `task` is kept.
  bool Take(Task& task) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    if (left_ == 0) return false;
    tasks_.push_back(std::move(task));
    if (--left_ == 0) held_.NotifyAll();
    return true;
  }

  std::function<void(Task)> run_;  // fixed before the first load
  Mutex mutex_;
  CondVar held_;
  int left_ GUARDED_BY(mutex_) = 0;
  std::vector<Task> tasks_ GUARDED_BY(mutex_);
};

// Real threads, but for the loads that are held. Thread-safe.
class HoldingBackground final : public core::Background {
 public:
  HoldingBackground(HeldLoads& held, core::SnapshotCell& lookup)
      : held_(held), threads_({.load_threads = 4, .nice = 0}, lookup) {
    held_.run_ = [this](Task task) { threads_.RunLoad(std::move(task), false); };
  }

  SteadyTime Now() const override { return threads_.Now(); }
  core::TimerId RunAt(SteadyTime time, Task task) override {
    return threads_.RunAt(time, std::move(task));
  }
  void Cancel(const core::TimerId& timer) override { threads_.Cancel(timer); }
  void RunLoad(Task task, bool continues) override {
    if (continues || !held_.Take(task)) threads_.RunLoad(std::move(task), continues);
  }
  void SetLoadThreads(int threads) override { threads_.SetLoadThreads(threads); }
  void NoteHungLoads(int change) override { threads_.NoteHungLoads(change); }
  void FreeSnapshot(std::unique_ptr<const core::Snapshot> snapshot) override {
    threads_.FreeSnapshot(std::move(snapshot));
  }
  void Unload(std::unique_ptr<core::VersionEntry> entry, Task on_unloaded) override {
    threads_.Unload(std::move(entry), std::move(on_unloaded));
  }

 private:
  HeldLoads& held_;
  core::BackgroundThreads threads_;
};

ConfiguredModel Builtin(std::string name) {
  ConfiguredModel model;
  model.name = std::move(name);
  model.base_path = "builtin:half_plus_two";
  return model;
}

// The model "m", of whose versions 1 to 3 in a folder the first one serves.
class ModelReloaderTest : public testing::Test {
 protected:
  ModelReloaderTest() {
    for (const char* version : {"1", "2"}) WriteVersion(version, "half_plus_two");
    WriteVersion("3", "nonsense");
    EXPECT_EQ(reloader_.ApplyFirst({Configured()}, "the test"), OkStatus());
    models_.Start();
    reloader_.Start();
    EXPECT_TRUE(manager_.WaitFor([this] { return manager_.IsReady(); }));
  }
  ~ModelReloaderTest() override {
    reloader_.Stop();
    manager_.StartDrain();
    held_.Release();
    models_.Stop();
  }

  void WriteVersion(const std::string& version, const std::string& model) const {
    folder_.Write("m/" + version + "/model.builtin", model + "\n");
  }
  ConfiguredModel Configured() const {
    ConfiguredModel model;
    model.name = "m";
    model.base_path = folder_ / "m";
    model.versions = ConfiguredModel::Versions::kSpecific;
    model.specific = {{1}};
    return model;
  }

  // An answer that is asked for, and may have come.
  struct Answer {
    std::future<Status> status;
    std::shared_ptr<std::atomic<bool>> is_wanted = std::make_shared<std::atomic<bool>>(true);

    bool HasCome() const { return status.wait_for(Duration::zero()) == std::future_status::ready; }
    Status Get() { return status.get(); }
  };

  Answer Submit(ChangeRequest request) {
    std::promise<Status> promise;
    Answer answer{promise.get_future()};
    request.is_wanted = [is_wanted = answer.is_wanted] { return is_wanted->load(); };
    request.done = [promise = std::move(promise)](Status status) mutable {
      promise.set_value(std::move(status));
    };
    reloader_.Submit(std::move(request));
    return answer;
  }
  Answer Submit(Kind kind, std::string model, int64_t version = 0,
                SteadyTime deadline = kNoDeadline) {
    ModelChange change;
    change.kind = kind;
    change.model = std::move(model);
    change.version = {version};
    change.label = "stable";
    if (kind == Kind::kPut) {
      tensorflow::serving::ModelConfig config;
      config.set_name(change.model);
      config.set_base_path("builtin:half_plus_two");
      change.config = config.SerializeAsString();
    }
    return Submit({.change = std::move(change), .deadline = deadline});
  }
  Answer SubmitList(std::vector<ConfiguredModel> models) {
    return Submit({.change = ModelListChange{std::move(models)}});
  }
  // A change of a model of its own, so that all that came before have been looked at.
  void PassOne() { EXPECT_EQ(Submit(Kind::kPut, "passing").Get(), OkStatus()); }

  const TestFolder folder_;
  Settings settings_ = [this] {
    Settings settings;
    settings.state_file = folder_ / "state";
    settings.admin_api = "full";
    settings.version_settle_ms = 0;
    return settings;
  }();
  MetricsRegistry metrics_;
  BackendHost backends_{{.folder = folder_.path(), .options = {}, .set_by = {}, .importers = {}}};
  Experiments experiments_{metrics_};
  HeldLoads held_;
  core::Manager manager_{{.load_retries_max = 0}, [this](core::SnapshotCell& lookup) {
                           return std::make_unique<HoldingBackground>(held_, lookup);
                         }};
  RequestLogs request_logs_{{}, metrics_};
  schedule::Scheduler scheduler_{{.threads = schedule::PoolThreads::kNone}};
  Engine engine_{{}, manager_, scheduler_};
  ModelSet models_{settings_,
                   backends_,
                   metrics_,
                   {manager_, experiments_, request_logs_, scheduler_, engine_},
                   MakeTestSources};
  ModelReloader reloader_{settings_, models_, manager_, metrics_};
};

TEST_F(ModelReloaderTest, ASlowChangeHoldsUpNoOtherModel) {
  held_.HoldNext(1);
  Answer slow = Submit(Kind::kPut, "slow");
  held_.WaitUntilHeld();
  EXPECT_EQ(Submit(Kind::kPut, "quick").Get(), OkStatus());
  EXPECT_EQ(Submit(Kind::kPin, "m", 2).Get(), OkStatus());
  EXPECT_FALSE(slow.HasCome());
  held_.Release();
  EXPECT_EQ(slow.Get(), OkStatus());
}

TEST_F(ModelReloaderTest, ASlowListHoldsUpNothing) {
  held_.HoldNext(1);
  Answer slow = SubmitList({Configured(), Builtin("slow")});
  held_.WaitUntilHeld();
  EXPECT_EQ(Submit(Kind::kPut, "quick").Get(), OkStatus());
  Answer longer = SubmitList({Builtin("slow"), Configured(), Builtin("more")});
  PassOne();
  EXPECT_TRUE(manager_.WaitFor([this] { return manager_.IsModelReady("more").value_or(false); }));
  EXPECT_FALSE(slow.HasCome() || longer.HasCome());
  held_.Release();
  EXPECT_EQ(slow.Get(), OkStatus());  // what it asked for is in the other list, too
  EXPECT_EQ(longer.Get(), OkStatus());
}

TEST_F(ModelReloaderTest, ChangesOfOneModelGoOneAfterTheOther) {
  held_.HoldNext(1);
  Answer pin = Submit(Kind::kPin, "m", 2);
  Answer unpin = Submit(Kind::kUnpin, "m");
  held_.WaitUntilHeld();
  PassOne();
  Answer list = SubmitList({Configured()});  // behind them, since it is about all models
  EXPECT_EQ(reloader_.Entries()["m"].pinned_version, core::VersionNumber{2});
  EXPECT_FALSE(pin.HasCome() || unpin.HasCome() || list.HasCome());
  held_.Release();
  EXPECT_EQ(pin.Get(), OkStatus());
  EXPECT_EQ(unpin.Get(), OkStatus());
  EXPECT_EQ(list.Get(), OkStatus());
  EXPECT_EQ(reloader_.Entries()["m"].pinned_version, std::nullopt);
}

TEST_F(ModelReloaderTest, ToPutAModelWithALabelWhoseVersionIsMissingIsAnError) {
  ModelChange change;
  change.kind = Kind::kPut;
  change.model = "m";
  tensorflow::serving::ModelConfig config;
  config.set_name("m");
  config.set_base_path(folder_ / "m");
  config.mutable_model_version_policy()->mutable_specific()->add_versions(1);
  (*config.mutable_version_labels())["stable"] = 9;
  change.config = config.SerializeAsString();
  const Status status = Submit({.change = std::move(change)}).Get();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(MessageOf(status), HasSubstr("label \"stable\""));
  EXPECT_EQ(reloader_.Entries().size(), 1U);  // it stays, as one that cannot be loaded
}

TEST_F(ModelReloaderTest, WhatCannotBeHadIsRolledBackAndChangesOfOthersStay) {
  ASSERT_EQ(Submit(Kind::kLabel, "m", 1).Get(), OkStatus());
  for (const Kind kind : {Kind::kPin, Kind::kLabel}) {
    held_.HoldNext(1);
    Answer bad = Submit(kind, "m", 3);
    held_.WaitUntilHeld();
    PassOne();
    held_.Release();
    EXPECT_EQ(bad.Get().code(), StatusCode::kFailedPrecondition);
    EXPECT_EQ(reloader_.Entries()["m"].pinned_version, std::nullopt);
    EXPECT_EQ(manager_.Labels("m").at("stable").wanted.value, 1);
    EXPECT_TRUE(reloader_.Entries().contains("passing"));
    ModelOverrides kept;
    ASSERT_EQ(kept.Read(settings_.state_file), OkStatus());
    EXPECT_EQ(kept.PinOf("m"), std::nullopt);
    EXPECT_EQ(kept.Over({Configured()})->size(), 2U);
  }
}

TEST_F(ModelReloaderTest, AServerThatTakesNoChangesLeavesTheStateFileAsItIs) {
  ASSERT_EQ(Submit(Kind::kPut, "added").Get(), OkStatus());
  settings_.admin_api = "read";
  EXPECT_EQ(SubmitList({Configured()}).Get(), OkStatus());
  EXPECT_FALSE(reloader_.Entries().contains("added"));
  ModelOverrides kept;
  ASSERT_EQ(kept.Read(settings_.state_file), OkStatus());
  EXPECT_EQ(kept.Over({Configured()})->size(), 2U);
}

TEST_F(ModelReloaderTest, AVersionThatWasMendedCanBePinned) {
  EXPECT_EQ(Submit(Kind::kPin, "m", 3).Get().code(), StatusCode::kFailedPrecondition);
  WriteVersion("3", "half_plus_two");
  EXPECT_EQ(Submit(Kind::kPin, "m", 3).Get(), OkStatus());
  EXPECT_EQ(reloader_.Entries().at("m").pinned_version, core::VersionNumber{3});
}

TEST_F(ModelReloaderTest, ToRemoveOrUnloadAModelWaitsForNothing) {
  for (const Kind kind : {Kind::kUnload, Kind::kRemove}) {
    held_.HoldNext(1);
    Answer slow = Submit(Kind::kPut, "slow");
    Answer again = Submit(Kind::kLoad, "slow");
    EXPECT_EQ(Submit(kind, "slow").Get(), OkStatus());
    const Status status = slow.Get();
    EXPECT_EQ(status.code(), StatusCode::kAborted);
    EXPECT_THAT(MessageOf(status), HasSubstr("removed, unloaded or moved model slow"));
    EXPECT_EQ(again.Get().code(), StatusCode::kAborted);
    held_.Release();
  }
  EXPECT_FALSE(reloader_.Entries().contains("slow"));
}

TEST_F(ModelReloaderTest, OvertakenChangeIsAnsweredOnceTheModelIsGone) {
  held_.HoldNext(1);
  bool was_there = true;
  ChangeRequest list{.change = ModelListChange{{Configured(), Builtin("slow")}}};
  list.is_wanted = [] { return true; };
  std::promise<Status> answered;
  list.done = [&](Status status) {
    was_there = reloader_.Entries().contains("slow");
    answered.set_value(std::move(status));
  };
  reloader_.Submit(std::move(list));
  held_.WaitUntilHeld();
  Answer change = Submit(Kind::kPut, "slow");
  EXPECT_EQ(Submit(Kind::kRemove, "slow").Get(), OkStatus());
  EXPECT_EQ(answered.get_future().get().code(), StatusCode::kAborted);
  EXPECT_FALSE(was_there);
  EXPECT_EQ(change.Get().code(), StatusCode::kAborted);
}

TEST_F(ModelReloaderTest, AnOvertakingChangeThatIsRefusedEndsNoWait) {
  ConfiguredModel shadowed = Builtin("shadowed");
  shadowed.experiment.shadows.emplace_back().target.model = "slow";
  held_.HoldNext(2);
  Answer list = SubmitList({Configured(), Builtin("slow"), shadowed});
  held_.WaitUntilHeld();
  Answer load = Submit(Kind::kLoad, "slow");
  EXPECT_EQ(Submit(Kind::kRemove, "slow").Get().code(), StatusCode::kInvalidArgument);
  PassOne();
  EXPECT_FALSE(list.HasCome() || load.HasCome());
  held_.Release();
  EXPECT_EQ(list.Get(), OkStatus());
  EXPECT_EQ(load.Get(), OkStatus());
}

TEST_F(ModelReloaderTest, TheLoadOfAModelOnDemandHasItsPlaceAmongTheChanges) {
  ConfiguredModel lazy = Builtin("lazy");
  lazy.load_mode = core::LoadMode::kOnDemand;
  ASSERT_EQ(SubmitList({Configured(), lazy}).Get(), OkStatus());
  held_.HoldNext(1);
  Answer load = Submit(Kind::kLoad, "lazy");
  Answer next = Submit(Kind::kUnpin, "lazy");
  held_.WaitUntilHeld();
  PassOne();
  EXPECT_FALSE(load.HasCome() || next.HasCome());
  held_.Release();
  EXPECT_EQ(load.Get(), OkStatus());
  EXPECT_TRUE(manager_.IsModelReady("lazy").value_or(false));
  EXPECT_EQ(next.Get(), OkStatus());
  EXPECT_EQ(Submit(Kind::kUnload, "lazy").Get(), OkStatus());
  ASSERT_TRUE(manager_.WaitUntilIdle());
  held_.HoldNext(1);
  Answer again = Submit(Kind::kLoad, "lazy");
  held_.WaitUntilHeld();
  EXPECT_EQ(Submit(Kind::kUnload, "lazy").Get(), OkStatus());
  EXPECT_EQ(again.Get().code(), StatusCode::kAborted);
}

TEST_F(ModelReloaderTest, TheEndOfTheReloaderDoesNotWaitForALoadOnDemand) {
  ConfiguredModel lazy = Builtin("lazy");
  lazy.load_mode = core::LoadMode::kOnDemand;
  ASSERT_EQ(SubmitList({Configured(), lazy}).Get(), OkStatus());
  held_.HoldNext(1);
  Answer load = Submit(Kind::kLoad, "lazy");
  held_.WaitUntilHeld();
  PassOne();
  reloader_.Stop();
  EXPECT_EQ(load.Get().code(), StatusCode::kUnavailable);
  held_.Release();  // what the manager says now finds nobody
  EXPECT_TRUE(manager_.WaitFor([this] { return manager_.IsModelReady("lazy").value_or(false); }));
}

TEST_F(ModelReloaderTest, LoadTriesAgainWhatHadAllItsRetries) {
  ConfiguredModel third = Configured();
  third.name = "third";
  third.specific = {{3}};
  EXPECT_EQ(SubmitList({Configured(), third}).Get().code(), StatusCode::kUnknown);
  const auto loads = [this] { return manager_.VersionStatuses("third").at(0).since; };
  auto before = loads();
  EXPECT_EQ(Submit(Kind::kLoad, "third").Get().code(), StatusCode::kFailedPrecondition);
  EXPECT_GT(loads(), before);
  before = loads();
  EXPECT_EQ(Submit(Kind::kUnload, "third").Get(), OkStatus());
  EXPECT_EQ(Submit(Kind::kLoad, "third").Get().code(), StatusCode::kFailedPrecondition);
  EXPECT_GT(loads(), before);
}

TEST_F(ModelReloaderTest, AListThatASourceRefusesChangesNothing) {
  ConfiguredModel none = Configured();
  none.name = "none";
  none.versions = ConfiguredModel::Versions::kLatest;
  none.latest_count = 0;
  const Status status = SubmitList({Builtin("new"), none}).Get();
  EXPECT_EQ(status,
            absl::InvalidArgumentError("ReloadConfigRequest: the model \"none\" shall "
                                       "serve the latest 0 versions; at least 1 is needed"));
  EXPECT_EQ(manager_.ModelNames(), std::vector<std::string>{"m"});
}

TEST_F(ModelReloaderTest, WhatIsRolledBackIsSoThoughTheStateFileCannotBeWritten) {
  held_.HoldNext(1);
  Answer pin = Submit(Kind::kPin, "m", 3);
  held_.WaitUntilHeld();
  PassOne();
  std::filesystem::remove(settings_.state_file);
  std::filesystem::create_directories(settings_.state_file + "/in_the_way");
  testing::internal::CaptureStderr();
  held_.Release();
  EXPECT_EQ(pin.Get().code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              HasSubstr("the change of model m is rolled back, but the next start of the server"));
  EXPECT_EQ(reloader_.Entries()["m"].pinned_version, std::nullopt);
}

TEST_F(ModelReloaderTest, APinThatFailsIsRolledBackThoughNothingElseIsThere) {
  WriteVersion("4", "nonsense");
  ConfiguredModel third = Configured();
  third.name = "third";
  third.specific = {{3}};
  EXPECT_EQ(SubmitList({Configured(), third}).Get().code(), StatusCode::kUnknown);
  EXPECT_EQ(Submit(Kind::kPin, "third", 4).Get().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(reloader_.Entries().at("third").pinned_version, std::nullopt);
  EXPECT_EQ(Submit(Kind::kLabel, "third", 3).Get().code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(manager_.Labels("third").empty());
}

TEST_F(ModelReloaderTest, AModelThatGoesEndsTheWaitForAnotherVersionOfIt) {
  ConfiguredModel both = Configured();
  both.specific = {{1}, {2}};
  both.labels["stable"] = {2};
  held_.HoldNext(1);
  Answer list = SubmitList({both});
  held_.WaitUntilHeld();
  EXPECT_EQ(Submit(Kind::kUnload, "m").Get(), OkStatus());
  EXPECT_EQ(list.Get().code(), StatusCode::kAborted);
}

// A source that is slower than changes of other models come would never be heard.
TEST_F(ModelReloaderTest, ChangesOfOtherModelsDoNotOutdateWhatASourceFinds) {
  const auto answered = [this] { return manager_.StatusOf("m")->has_report; };
  const auto tell = [this](int64_t version, uint64_t generation) {
    manager_.SetAspired("m", Aspire(core::FakeVersion(version, std::make_shared<core::FakePlan>())),
                        generation);
    return manager_.VersionStatuses("m").at(0).id.version.value == version;
  };
  PassOne();
  ASSERT_TRUE(manager_.WaitFor(answered));
  EXPECT_TRUE(tell(8, /*generation=*/1));
  EXPECT_EQ(Submit(Kind::kPin, "m", 2).Get(), OkStatus());
  EXPECT_FALSE(tell(9, /*generation=*/2));
}

TEST_F(ModelReloaderTest, APlatformThatIsLeftOutIsThatOfTheBackendThatServes) {
  for (const char* backend : {"builtin", "onnxruntime"})
    folder_.Write(fmt::format("{0}/penstock_{0}.so", backend));
  ConfiguredModel named = Configured();
  const auto since = manager_.VersionStatuses("m").at(0).since;
  named.platform = "builtin";
  EXPECT_EQ(SubmitList({named}).Get(), OkStatus());
  EXPECT_EQ(SubmitList({Configured()}).Get(), OkStatus());
  named.platform = "onnx";
  EXPECT_EQ(SubmitList({named}).Get(),
            InvalidArgument("ReloadConfigRequest: model 'm' has the platform 'builtin', which "
                            "cannot become 'onnx': remove the model first"));
  const core::VersionStatus now = manager_.VersionStatuses("m").at(0);
  EXPECT_EQ(now.state, core::VersionState::kAvailable);
  EXPECT_EQ(now.since, since) << "the version was loaded again";
}

TEST_F(ModelReloaderTest, TwoNamesOfAPlatformAreTheSame) {
  folder_.Write("onnxruntime/penstock_onnxruntime.so");
  ConfiguredModel model = Configured();
  model.name = "n";
  model.specific.clear();
  model.platform = "onnx";
  EXPECT_EQ(SubmitList({Configured(), model}).Get(), OkStatus());
  model.platform = "onnxruntime";
  EXPECT_EQ(SubmitList({Configured(), model}).Get(), OkStatus());
  model.platform = "";
  EXPECT_EQ(SubmitList({Configured(), model}).Get(), OkStatus());
}

TEST_F(ModelReloaderTest, AnArmThatNothingServesIsWarnedOf) {
  using core::VersionNumber;
  ConfiguredModel model = Configured();
  model.experiment.arms = {{"gone", {"m", VersionNumber{9}, ""}},
                           {"apart", {"m", VersionNumber{2}, ""}},
                           {"none", {"m", std::nullopt, "next"}},
                           {"good", {"m", VersionNumber{1}, ""}}};
  const std::vector<std::string> warnings = UnservedArms({model}, models_);
  ASSERT_EQ(warnings.size(), 3U);
  EXPECT_EQ(warnings[0], "nothing serves the arm gone of model m: model m has no version 9");
  EXPECT_EQ(warnings[1],
            "nothing serves the arm apart of model m: version 2 of model m is not selected by its "
            "model_version_policy");
  EXPECT_EQ(warnings[2], "nothing serves the arm none of model m: model m has no label \"next\"");
}

TEST_F(ModelReloaderTest, SettingsThatNeedOnDemandAreWarnedOfWithoutIt) {
  ConfiguredModel model = Configured();
  model.unload_after_idle = std::chrono::seconds(1);
  model.keep_loaded = true;
  EXPECT_EQ(IdleSettings({model}),
            (std::vector<std::string>{
                "model m: unload_after_idle_ms has no effect without load: ON_DEMAND",
                "model m: keep_loaded has no effect without load: ON_DEMAND"}));
  model.load_mode = core::LoadMode::kOnDemand;
  EXPECT_EQ(IdleSettings({model, Configured()}), std::vector<std::string>{});
}

TEST_F(ModelReloaderTest, AListThatTakesModelsAwayEndsTheWaitForThem) {
  held_.HoldNext(3);
  Answer first = SubmitList({Configured(), Builtin("slow"), Builtin("more")});
  Answer change = Submit(Kind::kPut, "added");
  held_.WaitUntilHeld();
  PassOne();
  EXPECT_EQ(SubmitList({Configured()}).Get(), OkStatus());
  EXPECT_EQ(first.Get().code(), StatusCode::kAborted);
  EXPECT_EQ(change.Get().code(), StatusCode::kAborted);
}

// The end of the first list released the labels of the second one.
TEST_F(ModelReloaderTest, AnOvertakenListDoesNotMoveTheLabelsOfTheNextOne) {
  WriteVersion("4", "half_plus_two");
  ConfiguredModel model = Configured();
  model.specific = {{1}, {2}, {4}};
  model.labels["stable"] = {1};
  ASSERT_EQ(SubmitList({model}).Get(), OkStatus());
  ASSERT_TRUE(manager_.WaitUntilIdle());
  held_.HoldNext(1);
  model.labels["stable"] = {2};
  Answer first = SubmitList({model, Builtin("slow")});
  held_.WaitUntilHeld();
  EXPECT_EQ(manager_.Labels("m").at("stable").in_force.value, 1);
  held_.HoldNext(1);
  model.labels["stable"] = {4};
  Answer second = SubmitList({model, Builtin("other")});
  EXPECT_EQ(first.Get().code(), StatusCode::kAborted);
  held_.WaitUntilHeld();
  PassOne();
  EXPECT_FALSE(second.HasCome());
  EXPECT_EQ(manager_.Labels("m").at("stable").in_force.value, 1);
  held_.Release();
  EXPECT_EQ(second.Get(), OkStatus());
  EXPECT_EQ(manager_.Labels("m").at("stable").in_force.value, 4);
}

TEST_F(ModelReloaderTest, AModelThatWasThereAndGoesDoesNotEndTheWaitForOthers) {
  held_.HoldNext(1);
  Answer list = SubmitList({Configured(), Builtin("slow")});
  held_.WaitUntilHeld();
  EXPECT_EQ(Submit(Kind::kRemove, "m").Get(), OkStatus());
  PassOne();
  EXPECT_FALSE(list.HasCome());
  held_.Release();
  EXPECT_EQ(list.Get(), OkStatus());
}

TEST_F(ModelReloaderTest, AClientThatGoesFreesWhatItHeld) {
  held_.HoldNext(1);
  Answer pin = Submit(Kind::kPin, "m", 2);
  Answer given_up = Submit(Kind::kLabel, "m", 1);
  Answer next = Submit(Kind::kUnpin, "m");
  *given_up.is_wanted = false;
  EXPECT_EQ(given_up.Get().code(), StatusCode::kCancelled);
  EXPECT_TRUE(manager_.Labels("m").empty());  // it was not carried out
  EXPECT_FALSE(pin.HasCome() || next.HasCome());
  *pin.is_wanted = false;
  EXPECT_EQ(pin.Get().code(), StatusCode::kCancelled);
  EXPECT_EQ(next.Get(), OkStatus());
}

TEST_F(ModelReloaderTest, NobodyWaitsLongerThanItsDeadline) {
  auto patience = std::chrono::milliseconds(10);
  const auto soon = [&patience] { return Clock::Real().Now() + patience; };
  held_.HoldNext(1);
  Answer pin = Submit(Kind::kPin, "m", 2);
  EXPECT_EQ(Submit(Kind::kLabel, "m", 2, soon()).Get().code(), StatusCode::kDeadlineExceeded);
  EXPECT_FALSE(pin.HasCome());
  held_.WaitUntilHeld();
  held_.HoldNext(1);
  // The deadline of a request that a busy machine reads late passes before the list is changed.
  for (; !reloader_.Entries().contains("slow"); patience *= 2) {
    EXPECT_EQ(Submit(Kind::kPut, "slow", 0, soon()).Get().code(), StatusCode::kDeadlineExceeded);
  }
  EXPECT_TRUE(reloader_.Entries().contains("slow"));  // it stays in the list, and may come
}

TEST_F(ModelReloaderTest, TheFileIsReadWhileOthersWait) {
  settings_.model_config_file = folder_.Write(
      "models", "model_config_list { config { name: 'read' base_path: 'builtin:identity' } }");
  held_.HoldNext(2);
  Answer slow = Submit(Kind::kPut, "slow");
  Answer pin = Submit(Kind::kPin, "m", 2);
  held_.WaitUntilHeld();
  PassOne();
  reloader_.ReloadFile();
  EXPECT_TRUE(manager_.WaitFor([this] { return manager_.IsModelReady("read").value_or(false); }));
  EXPECT_EQ(pin.Get().code(), StatusCode::kAborted);  // the file has no such model
  EXPECT_FALSE(slow.HasCome());
  held_.Release();
  EXPECT_EQ(slow.Get(), OkStatus());
}

TEST_F(ModelReloaderTest, AFileWithALabelForAVersionThatDoesNotExistChangesNothing) {
  const std::string list = "model_config_list {{ config {{ name: 'm' base_path: '" +
                           (folder_ / "m") +
                           "' model_version_policy {{ specific {{ versions: 1 }} }} "
                           "version_labels {{ key: 'stable' value: {} }} }} "
                           "config {{ name: '{}' base_path: 'builtin:identity' }} }}";
  const auto reload = [&](int version, const std::string& model) {
    settings_.model_config_file =
        folder_.Write("models", fmt::format(fmt::runtime(list), version, model));
    reloader_.ReloadFile();
    PassOne();
  };
  reload(1, "first");
  EXPECT_TRUE(reloader_.Entries().contains("first"));
  for (const bool is_allowed : {false, true}) {
    settings_.allow_version_labels_for_unavailable_models = is_allowed;
    reload(7, "second");  // a label that is in use, so the flag does not matter
    EXPECT_FALSE(reloader_.Entries().contains("second"));
    EXPECT_EQ(manager_.Labels("m").at("stable").wanted.value, 1);
  }
  reload(2, "third");  // a version that is there and not served is loaded for it
  EXPECT_TRUE(reloader_.Entries().contains("third"));
  EXPECT_EQ(manager_.Labels("m").at("stable").wanted.value, 2);
}

TEST_F(ModelReloaderTest, UnpinIsAnsweredOnceTheSelectedVersionIsThere) {
  ASSERT_EQ(Submit(Kind::kPin, "m", 2).Get(), OkStatus());
  held_.HoldNext(1);
  Answer unpin = Submit(Kind::kUnpin, "m");
  held_.WaitUntilHeld();
  PassOne();
  EXPECT_FALSE(unpin.HasCome());  // version 2 serves on meanwhile
  held_.Release();
  EXPECT_EQ(unpin.Get(), OkStatus());
  EXPECT_TRUE(manager_.GetHandle("m", core::VersionNumber{1}).ok());
}

TEST_F(ModelReloaderTest, APutIsAnsweredOnceTheSelectedVersionIsThereOrHasFailed) {
  const auto put = [this](int64_t version) {
    ModelChange change;
    change.kind = Kind::kPut;
    change.model = "m";
    tensorflow::serving::ModelConfig config;
    config.set_name("m");
    config.set_base_path(folder_ / "m");
    config.mutable_model_version_policy()->mutable_specific()->add_versions(version);
    change.config = config.SerializeAsString();
    return Submit({.change = std::move(change)});
  };
  EXPECT_EQ(put(2).Get(), OkStatus());
  EXPECT_TRUE(manager_.GetHandle("m", core::VersionNumber{2}).ok());
  EXPECT_EQ(put(3).Get(), OkStatus());  // it cannot be loaded, and version 2 serves on
  EXPECT_TRUE(manager_.GetHandle("m", core::VersionNumber{2}).ok());
}

TEST_F(ModelReloaderTest, AModelThatReadinessWaitsForAndThatIsNotInTheListIsWarnedOf) {
  settings_.ready_when = "models:m,nope";
  const std::string warning = "names model nope, which is not in the list";
  testing::internal::CaptureStderr();
  EXPECT_EQ(SubmitList({Configured(), Builtin("other")}).Get(), OkStatus());
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr(warning));
  testing::internal::CaptureStderr();
  EXPECT_EQ(SubmitList({Configured()}).Get(), OkStatus());
  EXPECT_EQ(SubmitList({Configured(), Builtin("nope")}).Get(), OkStatus());
  EXPECT_THAT(testing::internal::GetCapturedStderr(), Not(HasSubstr(warning)));
}

TEST_F(ModelReloaderTest, TheEndAnswersAll) {
  held_.HoldNext(2);
  Answer put = Submit(Kind::kPut, "slow");
  Answer pin = Submit(Kind::kPin, "m", 2);
  held_.WaitUntilHeld();
  PassOne();
  Answer unpin = Submit(Kind::kUnpin, "m");
  Answer list = SubmitList({Configured()});
  reloader_.Stop();
  for (Answer* answer : {&put, &pin, &unpin, &list})
    EXPECT_EQ(answer->Get().code(), StatusCode::kUnavailable);
  EXPECT_EQ(Submit(Kind::kPut, "late").Get().code(), StatusCode::kUnavailable);
}

TEST_F(ModelReloaderTest, TooManyAreTurnedAway) {
  held_.HoldNext(1);
  std::vector<Answer> answers;
  answers.push_back(Submit(Kind::kPin, "m", 2));
  for (int i = 0; i < 99; ++i) answers.push_back(Submit(Kind::kUnpin, "m"));
  const Status status = Submit(Kind::kUnpin, "m").Get();
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_THAT(MessageOf(status), HasSubstr("100 changes of the models are under way"));
  held_.Release();
  for (Answer& answer : answers) EXPECT_EQ(answer.Get(), OkStatus());
  PassOne();
}

}  // namespace
}  // namespace penstock
