// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/simulation.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace penstock::sim {
namespace {

using core::LoadMode;
using core::ManagerEvent;
using core::ServableId;
using core::VersionNumber;
using core::VersionState;
using std::chrono::milliseconds;

constexpr int kVersions = 5;  // of a model, from 0
constexpr int kDepthMax = 3;  // loads that run at a time, one inside another
constexpr size_t kHandlesMax = 6;
constexpr uint64_t kBytesMax = 40;  // of a version
constexpr int kSettleStepsMax = 100'000;
const char* const kLabels[] = {"stable", "canary"};

std::string_view NameOf(core::VersionRole role) {
  switch (role) {
    case core::VersionRole::kMain:
      break;
    case core::VersionRole::kLabel:
      return " (for a label)";
    case core::VersionRole::kReserve:
      return " (reserve)";
  }
  return "";
}

bool IsLegal(std::optional<VersionState> from, VersionState to) {
  switch (to) {
    case VersionState::kStart:  // again, with an error: it is retried after a pause
      return from != VersionState::kAvailable;
    case VersionState::kLoading:  // again, if it says why it waits; from kEnd, if there is room now
      return from == VersionState::kStart || from == VersionState::kEnd ||
             from == VersionState::kLoading;
    case VersionState::kAvailable:
      return from == VersionState::kLoading;
    case VersionState::kUnloading:
      return from == VersionState::kAvailable || from == VersionState::kLoading;
    case VersionState::kEnd:
      return from.has_value() && from != VersionState::kAvailable;
  }
  return false;
}

}  // namespace

// Counts itself and its memory. One thread.
class Simulation::SimServable final : public core::Servable {
 public:
  SimServable(Simulation& sim, Version& version, uint64_t bytes)
      : sim_(sim), version_(version), bytes_(bytes) {
    sim_.alive_bytes_ += bytes_;
    ++version_.alive;
    version_.servables.insert(this);
  }
  ~SimServable() override {
    sim_.alive_bytes_ -= bytes_;
    --version_.alive;
    version_.servables.erase(this);
  }
  void SetBrokenCallback(core::BrokenCallback callback) override { broken_ = std::move(callback); }
  void Break() {
    is_broken_ = true;
    if (broken_) std::exchange(broken_, nullptr)(absl::DataLossError("it broke"));
  }
  bool is_broken() const { return is_broken_; }

 private:
  Simulation& sim_;
  Version& version_;
  const uint64_t bytes_;
  core::BrokenCallback broken_;
  bool is_broken_ = false;
};

// Does what the plan of its version says; other things happen meanwhile. One thread.
class Simulation::SimLoader final : public core::Loader {
 public:
  SimLoader(Simulation& sim, ServableId id)
      : sim_(sim), id_(std::move(id)), version_(sim.PlanOf(id_)) {}

  StatusOr<core::ResourceEstimate> EstimateResources() override {
    if (!sim_.is_settling_ && sim_.Chance(2)) return absl::DataLossError("no estimate");
    return core::ResourceEstimate{version_.bytes, version_.extra_bytes};
  }
  StatusOr<core::ResourceEstimate> ResourcesTaken(
      const std::optional<core::MemoryGrowth>& growth) override {
    if (!growth) return core::ResourceEstimate{version_.bytes};
    if (growth->bytes != version_.bytes) {
      sim_.late_failure_ = fmt::format("{} takes {} bytes, and {} were measured", id_.ToString(),
                                       version_.bytes, growth->bytes);
    }
    return core::ResourceEstimate{.ram_bytes = growth->bytes, .is_measured = true};
  }
  StatusOr<std::unique_ptr<core::Servable>> Load() override {
    if (++version_.loading > 1) sim_.late_failure_ = id_.ToString() + " is loaded twice at once";
    const uint64_t extra = version_.extra_bytes;
    sim_.alive_bytes_ += version_.bytes + extra;
    for (int i = 0; i < version_.steps_inside && sim_.depth_ < kDepthMax; ++i) sim_.StepInside();
    sim_.alive_bytes_ -= version_.bytes + extra;
    --version_.loading;
    if (sim_.is_settling_) return Loaded();
    if (version_.throws && sim_.Chance(50)) throw std::runtime_error("broken library");
    if (version_.failures_left > 0) {
      --version_.failures_left;
      return absl::DataLossError("broken file");
    }
    return Loaded();
  }
  void Cancel() override {}

 private:
  std::unique_ptr<core::Servable> Loaded() {
    return std::make_unique<SimServable>(sim_, version_, version_.bytes);
  }

  Simulation& sim_;
  const ServableId id_;
  Version& version_;
};

Simulation::Simulation(SimulationOptions options)
    : options_(options), random_(options.seed), manager_options_(RandomOptions()) {
  manager_ = std::make_unique<core::Manager>(manager_options_, [this](core::SnapshotCell&) {
    auto background = std::make_unique<core::VirtualBackground>();
    background_ = background.get();
    background_->SetLoadThreads(manager_options_.load_threads);
    return background;
  });
  manager_->AddListener([this](const ManagerEvent& event) { CheckEvent(event); });
}

// Also after a violation: a manager is destroyed only when nothing is under way.
Simulation::~Simulation() { StopManager(); }

core::ManagerOptions Simulation::RandomOptions() {
  core::ManagerOptions options;
  options.load_threads = 1 + static_cast<int>(Random(3));
  options.initial_load_threads = static_cast<int>(Random(4));
  options.load_retries_max = Chance(50) ? -1 : static_cast<int>(Random(4));
  options.load_retry_interval = milliseconds(10);
  options.load_retry_interval_max = milliseconds(100);
  options.load_timeout = Chance(50) ? milliseconds(50) : milliseconds(0);
  options.ram_bytes_max = Chance(50) ? 60 + Random(100) : 0;
  options.demand_waiters_max = 3;
  options.ended_versions_max = Random(3);
  options.read_memory = [this] {
    return std::optional(ProcessMemory{.own_bytes = alive_bytes_, .peak_bytes = alive_bytes_});
  };
  return options;
}

core::ModelConfig Simulation::RandomConfig(const std::string& name) {
  core::ModelConfig config{.name = name};
  if (Chance(25)) {
    config.policy = &core::ResourcePreservingPolicy();
  } else if (options_.policy != nullptr) {
    config.policy = options_.policy;
  }
  for (const char* label : kLabels) {
    if (Chance(30)) config.labels[label] = VersionNumber{static_cast<int64_t>(Random(kVersions))};
  }
  if (Chance(25)) config.load_mode = LoadMode::kOnDemand;
  if (Chance(5)) config.load_mode = LoadMode::kNever;
  if (Chance(50)) config.unload_after_idle = milliseconds(200);
  config.keep_loaded = Chance(20);
  config.generation = ++generation_;
  config.retries_failed = Chance(20);
  return config;
}

Simulation::Version& Simulation::PlanOf(const ServableId& id) {
  const auto [found, is_new] = versions_.try_emplace(id);
  Version& version = found->second;
  if (!is_new) return version;
  version.bytes = 1 + Random(kBytesMax);
  version.extra_bytes = Chance(30) ? Random(kBytesMax) : 0;
  version.failures_left = Chance(30) ? static_cast<int>(Random(5)) : 0;
  version.steps_inside = static_cast<int>(Random(6));
  version.throws = Chance(10);
  return version;
}

std::unique_ptr<core::Loader> Simulation::NewLoader(const ServableId& id) {
  return std::make_unique<SimLoader>(*this, id);
}

void Simulation::Trace(const std::string& what) const {
  if (options_.trace) {
    fmt::print(
        "{:>6} ms {}{}\n",
        std::chrono::duration_cast<milliseconds>(background_->Now().time_since_epoch()).count() -
            3'600'000,
        std::string(static_cast<size_t>(depth_) * 2, ' '), what);
  }
}

void Simulation::Fail(const std::string& what) const {
  throw Violation(fmt::format("seed {}: {}", options_.seed, what));
}

// --- Steps.

void Simulation::Run() {
  for (int i = 0; i < options_.steps; ++i) Step();
  Settle();
  CheckSettled();
  CheckStopped();
}

void Simulation::Step() {
  ++depth_;
  const uint64_t kind = Random(100);
  if (is_settling_ || kind < 25) {
    background_->RunLoadStep();
  } else if (kind < 37) {
    background_->UnloadOne(Random(100));
  } else if (kind < 52) {
    PassTime();
  } else if (kind < 67) {
    SourceTells();
  } else if (kind < 70) {
    SourceFails();
  } else if (kind < 73) {
    Reload();
  } else if (kind < 78) {
    AddOrChangeModel();
  } else if (kind < 79) {
    RemoveModel();
  } else if (kind < 85) {
    Request();
  } else if (kind < 89) {
    RequestOnDemand();
  } else if (kind < 95) {
    DropHandle();
  } else if (kind < 97) {
    BreakServable();
  } else {
    background_->FreeSnapshots();
  }
  --depth_;
  Check();
}

// The manager would take what is thrown for an error of the loader.
void Simulation::StepInside() {
  try {
    Step();
  } catch (const Violation& violation) {
    late_violation_ = violation.what();
  }
}

void Simulation::SourceTells() {
  const std::string name = RandomName();
  std::set<int64_t> numbers;
  for (uint64_t i = Random(4); i > 0; --i) numbers.insert(static_cast<int64_t>(Random(kVersions)));
  std::set<int64_t> without_loader;
  std::map<int64_t, uint64_t> revisions;
  std::map<int64_t, core::VersionRole> roles;
  std::set<int64_t> reserves;
  bool has_main = false;
  std::vector<core::AspiredVersion> versions;
  std::string text;
  for (const int64_t number : numbers) {
    core::AspiredVersion version{VersionNumber{number}, NewLoader({name, {number}})};
    if (Chance(3)) {
      version.loader = absl::NotFoundError("no model file");
      without_loader.insert(number);
    }
    if (Chance(5)) version.revision = Random(3);
    if (Chance(10)) version.role = core::VersionRole::kLabel;
    if (has_main && Chance(20)) version.role = core::VersionRole::kReserve;
    has_main |= version.role == core::VersionRole::kMain;
    revisions[number] = version.revision;
    if (version.role == core::VersionRole::kReserve) {
      reserves.insert(number);
      without_loader.erase(number);
    }
    text += fmt::format(" {}{}", number, NameOf(version.role));
    roles[number] = version.role;
    versions.push_back(std::move(version));
  }
  const auto found = models_.find(name);
  const uint64_t current = found == models_.end() ? 0 : found->second.config.generation;
  const bool is_old = current > 1 && Chance(10);
  Trace(fmt::format("{} is told:{}{}", name, text, is_old ? ", too late" : ""));
  if (found != models_.end() && !is_old) {
    Expected& model = found->second;
    model.aspired = numbers;
    for (const int64_t number : reserves) model.aspired.erase(number);
    model.roles = roles;
    model.without_loader = without_loader;
    model.revisions = revisions;
    model.was_told = true;
    if (numbers.empty()) model.was_ready = false;
  }
  const uint64_t generation = Chance(50) ? current : 0;
  core::SourceReport report{.versions = std::move(versions)};
  if (numbers.empty() && Chance(50)) report.status = absl::NotFoundError("no version is wanted");
  if (!numbers.empty() && Chance(50)) report.status = OkStatus();
  manager_->Report(name, std::move(report), is_old ? current - 1 : generation);
}

void Simulation::SourceFails() {
  manager_->SetSourceStatus(RandomName(),
                            Chance(50) ? absl::NotFoundError("no base path") : OkStatus());
}

void Simulation::Configured(core::ModelConfig config) {
  Expected& model = models_[config.name];
  const bool keeps_ready =
      config.load_mode == LoadMode::kAlways && config.policy != &core::ResourcePreservingPolicy();
  if (!keeps_ready) {
    model.was_ready = false;
    model.labels.clear();
  }
  std::erase_if(model.labels,
                [&](const auto& label) { return !config.labels.contains(label.first); });
  model.config = std::move(config);
}

void Simulation::Reload() {
  std::vector<core::ModelConfig> configs;
  for (const char* name : {"a", "b", "c", "d"}) {
    if (Chance(70)) configs.push_back(RandomConfig(name));
  }
  std::string text;
  for (const auto& config : configs) text += config.name;
  for (const auto& config : configs) text += fmt::format("{}", static_cast<int>(config.load_mode));
  Trace("the list is now " + text);
  std::erase_if(models_, [&](const auto& item) {
    return std::none_of(configs.begin(), configs.end(),
                        [&](const auto& config) { return config.name == item.first; });
  });
  for (const core::ModelConfig& config : configs) Configured(config);
  if (!manager_->SetModels(std::move(configs)).ok()) Fail("a good list was refused");
}

void Simulation::AddOrChangeModel() {
  core::ModelConfig config = RandomConfig(RandomName());
  Trace(fmt::format("{} is configured, mode {}", config.name, static_cast<int>(config.load_mode)));
  Configured(config);
  if (!manager_->SetModel(std::move(config)).ok()) Fail("a good model was refused");
}

void Simulation::RemoveModel() {
  const std::string name = RandomName();
  const bool is_known = models_.erase(name) > 0;
  Trace(name + " is removed");
  if (manager_->RemoveModel(name).ok() != is_known) Fail("wrong answer to the removal of " + name);
}

void Simulation::Request() {
  const std::string name = RandomName();
  std::optional<VersionNumber> version;
  if (Chance(30)) version = VersionNumber{static_cast<int64_t>(Random(kVersions))};
  StatusOr<core::Handle> handle = manager_->GetHandle(name, version);
  if (handle.ok() && handles_.size() < kHandlesMax) handles_.push_back(*std::move(handle));
}

void Simulation::RequestOnDemand() {
  const std::string name = RandomName();
  const size_t number = waiters_.size();
  waiters_.push_back(0);
  const SteadyTime deadline =
      Chance(50) ? kNoDeadline : background_->Now() + milliseconds(Random(100));
  std::optional<VersionNumber> version;
  if (Chance(30)) version = VersionNumber{static_cast<int64_t>(Random(kVersions))};
  const auto done = [this, number, name, version](Status status) {
    Trace(fmt::format("{}: request {} is told {}", name, number, MessageOf(status)));
    if (++waiters_[number] > 1) late_failure_ = "a request was answered twice";
    if (status.ok() && !manager_->GetHandle(name, version).ok())
      late_failure_ = name + ": a request was told that it is ready, and it is not";
    const auto model = models_.find(name);
    if (status.code() == StatusCode::kNotFound && version && model != models_.end() &&
        model->second.aspired.contains(version->value)) {
      late_failure_ = name + ": a request was told that a version is not there, and it is";
    }
  };
  core::Demand demand{.model = name, .version = version, .deadline = deadline, .done = done};
  const bool waits = manager_->IsModelOnDemand(name) ? manager_->LoadOnDemand(std::move(demand))
                                                     : manager_->AwaitFirstLoad(std::move(demand));
  Trace(fmt::format("{}: request {} for what is not loaded {}", name, number,
                    waits ? "waits" : "does not wait"));
  if (!waits && waiters_[number]++ != 0) Fail("a request that does not wait was answered");
}

void Simulation::DropHandle() {
  if (handles_.empty()) return;
  handles_.erase(handles_.begin() + static_cast<long>(Random(handles_.size())));
}

void Simulation::BreakServable() {
  for (auto& [id, version] : versions_) {
    if (version.servables.empty() || !Chance(30)) continue;
    Trace(id.ToString() + " breaks");
    (*version.servables.begin())->Break();
    return;
  }
}

void Simulation::PassTime() {
  if (background_->RunDueTimer()) return;
  if (Chance(50)) {
    background_->Advance(milliseconds(Random(60)));
  } else {
    background_->AdvanceToNextTimer();
  }
}

// --- Checks.

void Simulation::CheckEvent(const ManagerEvent& event) {
  if (!event.version) return;
  const ServableId& id = event.version->id;
  Trace(fmt::format("{} {} {}", id.ToString(), VersionStateName(event.version->state),
                    MessageOf(event.version->status)));
  const auto known = states_.find(id);
  const auto from = known == states_.end() ? std::nullopt : std::optional(known->second);
  if (!IsLegal(from, event.version->state)) {
    late_failure_ = fmt::format("{} went from {} to {}", id.ToString(),
                                from ? VersionStateName(*from) : "nothing",
                                VersionStateName(event.version->state));
  }
  states_[id] = event.version->state;
}

void Simulation::Check() {
  if (late_violation_) throw Violation(*late_violation_);
  if (late_failure_) Fail(*late_failure_);
  CheckAvailability();
  CheckMemory();
  CheckHandles();
  if (background_->running() > background_->threads() + depth_) Fail("too many loads at a time");
}

// From its report until it is gone.
bool Simulation::HasBroken(const std::string& name) const {
  for (const auto& [id, version] : versions_) {
    if (id.name != name) continue;
    for (const SimServable* servable : version.servables) {
      if (servable->is_broken()) return true;
    }
  }
  return false;
}

void Simulation::CheckAvailability() {
  for (auto& [name, model] : models_) {
    if (HasBroken(name)) {
      model.was_ready = false;
      model.labels.clear();
      continue;
    }
    const StatusOr<core::Handle> handle = manager_->GetHandle(name);
    const bool is_ready = handle.ok();
    if (is_ready) CheckRole(name, model, handle->id().version.value);
    if (model.was_ready && !is_ready) Fail(name + " was ready and is not any more");
    const bool keeps_ready = model.config.load_mode == LoadMode::kAlways &&
                             model.config.policy != &core::ResourcePreservingPolicy();
    model.was_ready = is_ready && keeps_ready && !model.aspired.empty();
    if (keeps_ready) CheckLabels(name, model);
  }
}

// A request that names no version gets the one for a label only if there is no other.
void Simulation::CheckRole(const std::string& name, const Expected& model, int64_t answers) {
  const auto is_main = [&](int64_t number) {
    const auto role = model.roles.find(number);
    return role != model.roles.end() && role->second == core::VersionRole::kMain;
  };
  const auto role = model.roles.find(answers);
  if (role == model.roles.end() || role->second != core::VersionRole::kLabel) return;
  for (int64_t number = 0; number < kVersions; ++number) {
    if (is_main(number) && manager_->GetHandle(name, VersionNumber{number}).ok())
      Fail(fmt::format("{}: version {} for a label answers in place of {}", name, answers, number));
  }
}

void Simulation::CheckLabels(const std::string& name, Expected& model) {
  for (const auto& [label, wanted] : model.config.labels) {
    const StatusOr<core::Handle> handle = manager_->GetHandleByLabel(name, label);
    const auto answered = model.labels.find(label);
    if (handle.ok()) {
      model.labels[label] = handle->id().version.value;
    } else if (answered != model.labels.end()) {
      if (model.aspired.contains(answered->second) || model.aspired.contains(wanted.value))
        Fail(fmt::format("{}: the label {} was answered and is not any more", name, label));
      model.labels.erase(answered);
    }
  }
}

void Simulation::CheckMemory() const {
  const uint64_t limit = manager_options_.ram_bytes_max;
  const core::Manager::Memory memory = manager_->MemoryUse();
  if (limit != 0 && memory.reserved_bytes > limit) Fail("more memory is reserved than there is");
  if (limit != 0 && alive_bytes_ > memory.reserved_bytes)
    Fail(fmt::format("{} bytes are used, {} are reserved", alive_bytes_, memory.reserved_bytes));
}

void Simulation::CheckHandles() const {
  for (const core::Handle& handle : handles_) {
    const auto found = versions_.find(handle.id());
    if (found == versions_.end() || found->second.alive == 0)
      Fail(handle.id().ToString() + " was destroyed while it was used");
  }
}

// --- The end.

void Simulation::Settle() {
  Trace("settling");
  is_settling_ = true;
  handles_.clear();
  RunUntilRest();
  // A source tells again what it has told after each change of the list. What has had all its
  // retries gets other files.
  const bool has_retries = manager_options_.load_retries_max < 0;
  for (auto& [name, model] : models_) {
    if (!model.was_told) continue;
    std::vector<core::AspiredVersion> versions;
    for (const auto& [number, role] : model.roles) {
      versions.push_back({VersionNumber{number}, NewLoader({name, {number}}),
                          has_retries ? model.revisions[number] : 1000, role});
    }
    model.without_loader.clear();
    Trace(fmt::format("{} is told again: {} versions", name, versions.size()));
    manager_->SetAspired(name, std::move(versions));
  }
  RunUntilRest();
}

void Simulation::RunUntilRest() {
  const SteadyTime end = background_->Now() + std::chrono::seconds(10);
  for (int steps = 0; steps < kSettleStepsMax; ++steps) {
    const bool did = background_->RunLoadStep() || background_->UnloadOne(0) ||
                     background_->FreeSnapshots() || background_->RunDueTimer();
    Check();
    if (did) continue;
    if (!background_->IsQuiet()) Fail("something is left undone");
    // Looks at the use of models on demand go on for ever: so far, and no further.
    if (background_->Now() > end || !background_->AdvanceToNextTimer()) return;
  }
  Fail("it does not come to rest");
}

void Simulation::CheckSettled() {
  for (const auto& [name, model] : models_) CheckSettledModel(name, model);
  for (size_t i = 0; i < waiters_.size(); ++i) {
    if (waiters_[i] == 1) continue;
    // Without a deadline one may wait for a source that never says anything.
    bool any_untold = false;
    for (const auto& [name, model] : models_) any_untold |= !model.was_told;
    if (waiters_[i] == 0 && any_untold) continue;
    Fail(fmt::format("request {} was answered {} times", i, waiters_[i]));
  }
  uint64_t ready_bytes = 0;
  for (const auto& [id, version] : versions_) {
    const bool is_ready = manager_->GetHandle(id.name, id.version).ok();
    if (version.alive != (is_ready ? 1 : 0))
      Fail(fmt::format("{}: {} in memory, ready: {}", id.ToString(), version.alive, is_ready));
    if (is_ready) ready_bytes += version.bytes;
  }
  if (manager_->MemoryUse().reserved_bytes != ready_bytes) Fail("the books of memory are wrong");
}

// What would be free if the other models on demand were unloaded.
uint64_t Simulation::MovableBytes(const std::string& for_model) const {
  uint64_t bytes = 0;
  for (const auto& [id, version] : versions_) {
    const auto model = models_.find(id.name);
    if (id.name == for_model || model == models_.end()) continue;
    const core::ModelConfig& config = model->second.config;
    if (config.load_mode != LoadMode::kOnDemand || config.keep_loaded) continue;
    if (manager_->GetHandle(id.name, id.version).ok()) bytes += version.bytes;
  }
  return bytes;
}

void Simulation::CheckSettledModel(const std::string& name, const Expected& model) {
  // What others may go for: a version that requests without a label get, if any such is aspired.
  bool any_main = false;
  for (const auto& [number, role] : model.roles) any_main |= role == core::VersionRole::kMain;
  bool may_others_go = false;
  std::set<int64_t> ready;
  for (int64_t number = 0; number < kVersions; ++number) {
    if (!manager_->GetHandle(name, VersionNumber{number}).ok()) continue;
    ready.insert(number);
    if (model.aspired.contains(number))
      may_others_go |= !any_main || model.roles.at(number) == core::VersionRole::kMain;
  }
  if (model.config.load_mode == LoadMode::kNever && !ready.empty())
    Fail(name + " is loaded, but shall not be");
  // One on demand is either loaded as a whole or not at all.
  if (model.config.load_mode == LoadMode::kNever) return;
  if (model.config.load_mode == LoadMode::kOnDemand && ready.empty()) return;
  const core::Manager::Memory memory = manager_->MemoryUse();
  for (const core::VersionStatus& status : manager_->VersionStatuses(name)) {
    const int64_t number = status.id.version.value;
    if (!model.aspired.contains(number) || ready.contains(number)) continue;
    if (model.without_loader.contains(number)) continue;
    if (status.status.code() != StatusCode::kResourceExhausted)
      Fail(fmt::format("{} is aspired and not ready: {}", status.id.ToString(),
                       MessageOf(status.status)));
    const Version& version = versions_.at(status.id);
    if (version.bytes + version.extra_bytes <=
        memory.limit_bytes - memory.reserved_bytes + MovableBytes(name))
      Fail(status.id.ToString() + " would fit now and was forgotten");
  }
  if (model.was_told && manager_->VersionStatuses(name).size() < model.aspired.size())
    Fail(name + ": an aspired version is not even listed");
  for (const int64_t number : ready) {
    if (model.aspired.contains(number) || !may_others_go) continue;
    // See ModelRecord::Held.
    const core::ModelStatus status = *manager_->StatusOf(name);
    const bool is_answered = status.has_report && status.source_status.ok();
    const bool is_held = std::ranges::any_of(status.labels, [&](const auto& label) {
      return label.second.in_force.value == number &&
             (label.second.wanted.value != number || !is_answered);
    });
    if (!is_held && (any_main || status.has_report))
      Fail(fmt::format("{} version {} should have gone", name, number));
  }
}

void Simulation::StopManager() {
  is_settling_ = true;
  models_.clear();
  handles_.clear();
  manager_->StartDrain();
  manager_->Stop(SteadyTime::min());
  while (background_->RunLoadStep() || background_->UnloadOne(0)) {
  }
  background_->FreeSnapshots();
}

void Simulation::CheckStopped() {
  StopManager();
  if (!manager_->Stop(SteadyTime::min())) Fail("it does not stop");
  if (alive_bytes_ != 0) Fail("something is in memory at the end");
  if (manager_->MemoryUse().reserved_bytes != 0) Fail("memory is reserved at the end");
  for (size_t i = 0; i < waiters_.size(); ++i) {
    if (waiters_[i] != 1) Fail(fmt::format("request {} was answered {} times", i, waiters_[i]));
  }
}

}  // namespace penstock::sim
