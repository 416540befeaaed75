// SPDX-License-Identifier: Apache-2.0
// How a change of the models is applied and answered.
//
// 1. Submit puts a change into incoming_, and the thread moves it to queue_. ServeChanges takes the
// changes that need not wait.
//
// 2. A change goes to a copy of overrides_, or replaces base_. Apply gives the combination of both
// to ModelSet, which accepts all of it or nothing: so a refused change leaves no trace.
//
// 3. An accepted change becomes a pending change. The thread never waits for a load, because one
// slow model would delay the changes of all others. It checks the pending changes after each event
// of the manager, and every 100 ms for clients that have disconnected.
//
// 4. `done` answers the client. If a pin or label cannot get its version, `done` rolls it back
// first. An answer may free changes in the queue, so ServeChanges repeats until no change has
// ended.
//
// base_ and overrides_ are separate, so that a new list of models does not undo the pins of
// operators, and so that the state file has only the changes of operators.
#include "models/model_reloader.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <utility>

#include "base/executor.h"
#include "base/log.h"
#include "models/idle_settings.h"
#include "models/unserved_arms.h"
#include "options/component_options.h"
#include "options/config_file.h"

namespace penstock {
namespace {

// The most changes that may be unanswered at a time: more than operators and their scripts need.
// The limit exists because each one keeps a call open and is checked after each event of the
// manager.
constexpr size_t kUnderWayMax = 100;
// The interval of the checks whether their clients have disconnected.
constexpr Duration kGoneCheckPeriod = std::chrono::milliseconds(100);

using EntryMap = std::map<std::string, ModelEntry>;

std::string_view NameOf(core::LoadMode mode) {
  switch (mode) {
    case core::LoadMode::kAlways:
      break;
    case core::LoadMode::kOnDemand:
      return "ON_DEMAND";
    case core::LoadMode::kNever:
      return "NEVER";
  }
  return "ALWAYS";
}

Status ShuttingDown() { return absl::UnavailableError("the server is shutting down"); }

// The models that a new list removes, moves or unloads. A change must not wait for these any more.
std::set<std::string> Lost(const EntryMap& before, const EntryMap& after) {
  std::set<std::string> lost;
  for (const auto& [name, old] : before) {
    const auto found = after.find(name);
    if (found == after.end() || found->second.base_path != old.base_path ||
        (found->second.load == NameOf(core::LoadMode::kNever) && found->second.load != old.load)) {
      lost.insert(name);
    }
  }
  return lost;
}

std::map<std::string, std::string> BasePathsOf(const EntryMap& entries) {
  std::map<std::string, std::string> paths;
  for (const auto& [name, entry] : entries) paths[name] = entry.base_path;
  return paths;
}

std::map<std::string, std::string> BasePathsOf(const std::vector<ConfiguredModel>& models) {
  std::map<std::string, std::string> paths;
  for (const ConfiguredModel& model : models) paths[model.name] = model.base_path;
  return paths;
}

bool NamesVersion(const ModelChange& change) {
  return change.kind == ModelChange::Kind::kPin || change.kind == ModelChange::Kind::kLabel;
}

Counter& ReloadCounter(MetricsRegistry& metrics, const char* source, const char* result) {
  return metrics.AddCounter(
      "penstock_reloads_total",
      "Changes of the list of models, by where they came from and how they ended.",
      {{"source", source}, {"result", result}});
}

// Wraps `done` so that the outcome of a change is logged, and counted by `count`, before `done`
// answers it.
template <typename Count, typename Done>
Done LogEnd(std::string change, Count count, Done done) {
  return [change = std::move(change), count, done = std::move(done)](Status status) mutable {
    count(status);
    if (status.ok()) {
      PENSTOCK_LOG(kInfo, "audit: {}: done", change);
    } else {
      PENSTOCK_LOG(kWarning, "audit: {}: {}: {}", change, StatusCodeName(status.code()),
                   MessageOf(status));
    }
    done(std::move(status));
  };
}

// True if the change makes the manager try failed loads of the model again. Its client expects a
// new try, not the error of an earlier one.
bool TriesAgain(const ModelChange& change) {
  return NamesVersion(change) || change.kind == ModelChange::Kind::kLoad ||
         change.kind == ModelChange::Kind::kPut;
}

}  // namespace

ModelReloader::Counts::Counts(MetricsRegistry& metrics, const char* source)
    : ok(ReloadCounter(metrics, source, "ok")), failed(ReloadCounter(metrics, source, "failed")) {}

ModelReloader::ModelReloader(const Settings& settings, ModelSet& models, core::Manager& manager,
                             MetricsRegistry& metrics)
    : settings_(settings),
      models_(models),
      manager_(manager),
      file_reloads_(metrics, "file"),
      requests_(metrics, "request") {}

ModelReloader::~ModelReloader() { Stop(); }

void ModelReloader::Start() {
  if (!settings_.model_config_file.empty()) {
    // Only a regular file can be read a second time: the content of a pipe is gone.
    std::error_code ignored;
    if (std::filesystem::is_regular_file(settings_.model_config_file, ignored)) {
      const auto text = ReadConfigFile("model_config_file", settings_.model_config_file);
      if (text.ok()) last_text_ = *text;
    }
    const auto period = std::chrono::seconds(settings_.model_config_file_poll_wait_seconds);
    if (period > Duration::zero()) next_file_poll_ = Clock::Real().Now() + period;
  }
  listener_ = manager_.AddListener([this](const core::ManagerEvent&) {
    MutexLock lock(mutex_);
    has_event_ = true;
    // Events are frequent. If nothing waits for one, the thread sleeps on.
    if (awaits_events_) wake_.NotifyOne();
  });
  thread_ = std::thread([this] { RunThread(); });
}

void ModelReloader::Stop() {
  {
    MutexLock lock(mutex_);
    is_stopping_ = true;
  }
  wake_.NotifyOne();
  // From here on this thread alone uses queue_ and pending_.
  if (thread_.joinable()) thread_.join();
  if (const int listener = std::exchange(listener_, 0); listener != 0)
    manager_.RemoveListener(listener);
  std::vector<ChangeRequest> incoming;
  {
    MutexLock lock(mutex_);
    incoming.swap(incoming_);
  }
  for (ChangeRequest& request : incoming) queue_.Add(std::move(request));
  queue_.AnswerAll(ShuttingDown());
  pending_.AnswerAll(ShuttingDown());
}

void ModelReloader::ReloadFile() {
  {
    MutexLock lock(mutex_);
    shall_read_file_ = true;
  }
  wake_.NotifyOne();
}

void ModelReloader::Submit(ChangeRequest request) {
  request.done = LogEnd(
      Describe(request), [this](const Status& status) { requests_.Add(status); },
      std::move(request.done));
  request.deadline =
      std::min(request.deadline,
               Clock::Real().Now() + std::chrono::seconds(settings_.reload_timeout_seconds));
  Status refused;
  {
    MutexLock lock(mutex_);
    if (is_stopping_) {
      refused = ShuttingDown();
    } else if (*under_way_ >= kUnderWayMax) {
      refused = Error(StatusCode::kUnavailable,
                      "{} changes of the models are under way: try again later", kUnderWayMax);
    } else {
      ++*under_way_;
      request.done = [under_way = under_way_,
                      done = std::move(request.done)](Status status) mutable {
        --*under_way;
        done(std::move(status));
      };
      incoming_.push_back(std::move(request));
    }
  }
  // Without the lock, because `done` is foreign code.
  if (!refused.ok()) return request.done(std::move(refused));
  wake_.NotifyOne();
}

std::map<std::string, ModelEntry> ModelReloader::Entries() const {
  MutexLock lock(mutex_);
  return entries_;
}

Status ModelReloader::ApplyFirst(std::vector<ConfiguredModel> base, std::string_view where) {
  ASSIGN_OR_RETURN(roots_, ModelRoots::Parse(settings_.model_roots));
  ModelOverrides overrides;
  std::string both(where);
  if (!settings_.state_file.empty()) {
    TRY(overrides.Read(settings_.state_file));
    if (!overrides.IsEmpty()) both += " with --state_file=" + settings_.state_file;
    // The roots may be narrower than when a client added its model.
    ASSIGN_OR_RETURN(const std::vector<ConfiguredModel> all, overrides.Over(base));
    TRY(CheckRoots(all, BasePathsOf(base)));
  }
  TRY(Apply(std::move(base), std::move(overrides), both));
  WatchLabels(both);
  return OkStatus();
}

Status ModelReloader::CheckRoots(const std::vector<ConfiguredModel>& models,
                                 const std::map<std::string, std::string>& trusted) const {
  for (const ConfiguredModel& model : models) {
    const auto found = trusted.find(model.name);
    if (found != trusted.end() && found->second == model.base_path) continue;
    TRY(roots_.Check(model.name, model.base_path));
  }
  return OkStatus();
}

AwaitedModels::Labels ModelReloader::LabelsToAwait() const {
  if (settings_.allow_version_labels_for_unavailable_models) return {};
  return Labels();
}

AwaitedModels::Labels ModelReloader::Labels() const {
  AwaitedModels::Labels labels;
  const auto models = overrides_.Over(base_);
  if (!models.ok()) return labels;  // cannot happen: this list is in force
  for (const ConfiguredModel& model : *models)
    if (!model.labels.empty()) labels[model.name] = model.labels;
  return labels;
}

Status ModelReloader::ApplyList(std::vector<ConfiguredModel> base, ModelOverrides overrides,
                                std::string_view where) {
  ASSIGN_OR_RETURN(const std::vector<ConfiguredModel> models, overrides.Over(base));
  if (const Status status = CheckLabels(models); !status.ok())
    return Error(status.code(), "{}: {}", where, MessageOf(status));
  // Before Apply, which answers the changes that wait for a model of the former list. They must not
  // take the new list for their own.
  ++list_;
  const Status applied = Apply(std::move(base), std::move(overrides), where);
  if (!applied.ok()) --list_;
  return applied;
}

Status ModelReloader::CheckLabels(const std::vector<ConfiguredModel>& models) const {
  const AwaitedModels::Labels before = Labels();
  for (const ConfiguredModel& model : models) {
    const auto old = before.find(model.name);
    for (const auto& [label, version] : model.labels) {
      const bool is_used = old != before.end() && old->second.contains(label);
      if (is_used && old->second.at(label) == version) continue;
      const bool may_be_missing = !is_used && settings_.allow_version_labels_for_unavailable_models;
      if (may_be_missing || !models_.LacksVersion(model, version)) continue;
      return Error(StatusCode::kFailedPrecondition,
                   "Request to assign label to version {} of model {}, which is not currently "
                   "available for inference: label \"{}\": there is no such version in {}",
                   version.value, model.name, label, model.base_path);
    }
  }
  return OkStatus();
}

bool ModelReloader::HoldLabels(std::vector<ConfiguredModel>& models,
                               const AwaitedModels::Labels& before) {
  bool any = false;
  for (ConfiguredModel& model : models) {
    const auto old = before.find(model.name);
    if (old == before.end()) continue;
    model.holds_labels = std::ranges::any_of(model.labels, [&](const auto& label) {
      const auto found = old->second.find(label.first);
      return found != old->second.end() && found->second != label.second;
    });
    any |= model.holds_labels;
  }
  return any;
}

void ModelReloader::DecideLabels(uint64_t list, const AwaitedModels::Labels* before) {
  // A newer list has its own labels and makes its own decision.
  if (list != list_ || IsStopping()) return;
  std::vector<ConfiguredModel> base = base_;
  for (ConfiguredModel& model : base) {
    model.holds_labels = false;
    if (before == nullptr) continue;
    const auto old = before->find(model.name);
    model.labels = old == before->end() ? AwaitedModels::Labels::mapped_type() : old->second;
  }
  const Status applied = Apply(std::move(base), overrides_, "ReloadConfigRequest");
  if (!applied.ok())
    PENSTOCK_LOG(kError, "the labels cannot be {}: {}", before == nullptr ? "moved" : "rolled back",
                 MessageOf(applied));
}

void ModelReloader::WatchLabels(std::string_view where) {
  AwaitedModels awaited{.names = {}, .labels = Labels(), .pinned = {}};
  if (awaited.labels.empty()) return;
  for (const auto& [name, labels] : awaited.labels) awaited.names.push_back(name);
  pending_.Add(
      {.awaited = std::move(awaited),
       .model = "",
       .deadline = Clock::Real().Now() + std::chrono::seconds(settings_.reload_timeout_seconds),
       .is_wanted = [] { return true; },
       .load = nullptr,
       .done =
           [where = std::string(where)](Status status) {
             // ABORTED and UNAVAILABLE come from another change and from the end of the server,
             // which write log lines of their own.
             if (status.ok() || status.code() == StatusCode::kAborted ||
                 status.code() == StatusCode::kUnavailable)
               return;
             PENSTOCK_LOG(kWarning, "{}: {}", where, MessageOf(status));
           }});
}

Status ModelReloader::Apply(std::vector<ConfiguredModel> base, ModelOverrides overrides,
                            std::string_view where, std::string_view retried) {
  ASSIGN_OR_RETURN(const std::vector<ConfiguredModel> models, overrides.Over(base));
  EntryMap entries;
  for (const ConfiguredModel& model : models) {
    entries.emplace(model.name,
                    ModelEntry{model.base_path, model.platform,
                               std::string(NameOf(model.load_mode)), overrides.PinOf(model.name)});
  }
  // Computed before the change is in force: afterwards the manager no longer knows the models that
  // are gone.
  const std::set<std::string> lost = OnTheirWay(Lost(Entries(), entries));
  TRY(models_.Apply(models, where, retried));
  base_ = std::move(base);
  overrides_ = std::move(overrides);
  std::vector<std::string> warnings = UnservedArms(models, models_);
  for (std::string& warning : IdleSettings(models)) warnings.push_back(std::move(warning));
  for (std::string& warning : MissingReadyModels(entries)) warnings.push_back(std::move(warning));
  // A warning that was true for the list before is not repeated at each change.
  for (const std::string& warning : warnings) {
    if (std::ranges::find(warnings_, warning) == warnings_.end())
      PENSTOCK_LOG(kWarning, "{}: {}", where, warning);
  }
  warnings_ = std::move(warnings);
  {
    MutexLock lock(mutex_);
    entries_ = std::move(entries);
  }
  // Last, because it answers clients, and their next request must find the new list.
  pending_.Overtake(lost);
  return OkStatus();
}

std::vector<std::string> ModelReloader::MissingReadyModels(
    const std::map<std::string, ModelEntry>& entries) const {
  std::vector<std::string> warnings;
  const auto rule = MakeReadinessRule(settings_);
  if (!rule.ok()) return warnings;  // cannot happen: the server would not have started
  for (const std::string& name : rule->models) {
    if (entries.contains(name)) continue;
    warnings.push_back(
        fmt::format("--ready_when={} names model {}, which is not in the list: the server is not "
                    "ready until it is there",
                    settings_.ready_when, name));
  }
  return warnings;
}

std::set<std::string> ModelReloader::OnTheirWay(std::set<std::string> models) const {
  std::erase_if(models, [this](const std::string& name) {
    return manager_.IsModelReady(name).value_or(false) && !pending_.HasChangeOf(name) &&
           !pending_.AwaitVersionOf(name);
  });
  return models;
}

Status ModelReloader::WriteState() const {
  // A server that takes no changes from operators must not write the file: another server may.
  if (settings_.state_file.empty() || settings_.admin_api != "full") return OkStatus();
  return overrides_.Write(settings_.state_file);
}

void ModelReloader::RunThread() {
  SetThreadName("reload");
  while (const std::optional<FileRead> read = WaitForWork()) {
    if (*read != FileRead::kNone) ReadFile(*read);
    ServeChanges();
  }
}

std::optional<ModelReloader::FileRead> ModelReloader::WaitForWork() {
  const SteadyTime now = Clock::Real().Now();
  // Without waiting changes nothing can happen until a new change, a poll or the end. So an idle
  // thread does not wake up ten times a second.
  const bool has_work = queue_.size() + pending_.size() > 0;
  const SteadyTime until =
      has_work ? std::min(next_file_poll_, now + kGoneCheckPeriod) : next_file_poll_;
  MutexLock lock(mutex_);
  awaits_events_ = has_work;
  while (!is_stopping_ && !shall_read_file_ && incoming_.empty() && !(has_event_ && has_work)) {
    if (until == kNoDeadline) {
      wake_.Wait(mutex_);
    } else if (!wake_.WaitUntil(mutex_, until)) {
      break;
    }
  }
  if (is_stopping_) return std::nullopt;
  has_event_ = false;
  for (ChangeRequest& request : std::exchange(incoming_, {})) queue_.Add(std::move(request));
  if (std::exchange(shall_read_file_, false)) return FileRead::kAlways;
  return Clock::Real().Now() < next_file_poll_ ? FileRead::kNone : FileRead::kIfChanged;
}

void ModelReloader::ServeChanges() {
  // If a queued change will remove or unload a model, nothing waits for that model any more.
  // Earlier changes of it, and lists, are applied at once. Apply answers them ABORTED when the
  // model goes.
  const auto is_busy = [this](const std::string& model) {
    return pending_.HasChangeOf(model) && !queue_.Unwants(model);
  };
  do {
    queue_.AnswerGone(Clock::Real().Now());
    while (std::optional<ChangeRequest> request = queue_.TakeNext(is_busy)) {
      if (IsStopping()) return request->done(ShuttingDown());
      if (std::holds_alternative<ModelChange>(request->change)) {
        ServeChange(*std::move(request));
      } else {
        ServeList(*std::move(request));
      }
    }
  } while (pending_.AnswerSettled());
}

bool ModelReloader::IsStopping() const {
  MutexLock lock(mutex_);
  return is_stopping_;
}

void ModelReloader::ReadFile(FileRead read) {
  if (read == FileRead::kIfChanged) {
    next_file_poll_ =
        Clock::Real().Now() + std::chrono::seconds(settings_.model_config_file_poll_wait_seconds);
  }
  const bool is_forced = read == FileRead::kAlways;
  const std::string& file = settings_.model_config_file;
  const StatusOr<std::string> text = ReadConfigFile("model_config_file", file);
  if (text.ok() && *text == last_text_ && !is_forced) return;
  Status status = text.status();
  if (status.ok()) {
    auto models = ParseModelConfig(*text, file);
    if (models.ok()) models = KeepOwnModels(settings_, *std::move(models), file);
    status = models.ok() ? ApplyList(*std::move(models), overrides_, file) : models.status();
  }
  // A refused file is tried again at the next poll, because the library of a platform may appear
  // meanwhile. But the same error is logged only once.
  file_reloads_.Add(status);
  const std::string error(MessageOf(status));
  const bool is_known = std::exchange(last_error_, error) == error;
  if (status.ok()) {
    last_text_ = *text;
    PENSTOCK_LOG(kInfo, "audit: the operator: {} was read again and is in force", file);
    WatchLabels(file);
  } else if (!is_known || is_forced) {
    PENSTOCK_LOG(kError,
                 "audit: the operator: model_config_file rejected, keeping the current "
                 "configuration: {}",
                 error);
  }
}

void ModelReloader::ServeList(ChangeRequest request) {
  AwaitedModels awaited;
  const std::string what = Describe(request);
  auto& models = std::get<ModelListChange>(request.change).models;
  if (const Status allowed = CheckRoots(models, BasePathsOf(Entries())); !allowed.ok())
    return request.done(allowed);
  for (const ConfiguredModel& model : models) awaited.names.push_back(model.name);
  ModelOverrides overrides = overrides_;
  // A client that sends a whole list means these models and these labels. Changes of operators to
  // the old list would contradict it.
  overrides.ForgetList();
  const AwaitedModels::Labels before = Labels();
  const bool waits_for_labels = !settings_.allow_version_labels_for_unavailable_models;
  const bool holds_labels = waits_for_labels && HoldLabels(models, before);
  const Status applied = ApplyList(std::move(models), std::move(overrides), "ReloadConfigRequest");
  if (!applied.ok()) return request.done(applied);
  PENSTOCK_LOG(kInfo, "{}: in force", what);
  awaited.labels = LabelsToAwait();
  if (awaited.labels.empty()) WatchLabels("ReloadConfigRequest");
  pending_.Add({.awaited = std::move(awaited),
                .model = "",
                .deadline = request.deadline,
                .is_wanted = std::move(request.is_wanted),
                .load = nullptr,
                .done = [this, before, holds_labels, list = list_, written = WriteState(),
                         done = std::move(request.done)](Status waited) mutable {
                  // These two codes mean that a version cannot be had. All others, such as the
                  // deadline, say only that the client did not wait: its list stays in force.
                  const bool is_refused = waited.code() == StatusCode::kFailedPrecondition ||
                                          waited.code() == StatusCode::kUnknown;
                  if (is_refused || holds_labels)
                    DecideLabels(list, is_refused ? &before : nullptr);
                  done(waited.ok() ? written : waited);
                }});
}

void ModelReloader::ServeChange(ChangeRequest request) {
  const ModelChange& change = std::get<ModelChange>(request.change);
  AwaitedModels awaited;
  std::optional<ModelOverrides> before;
  // Only a change that names a version can fail after it was applied, and must then be undone.
  if (NamesVersion(change)) before = overrides_;
  if (const Status status = ApplyChange(change); !status.ok()) return request.done(status);
  PENSTOCK_LOG(kInfo, "{}: in force", Describe(request));
  if (const Status status = WriteState(); !status.ok()) {
    return request.done(Error(status.code(),
                              "the change is in force, but will not outlive the server: {}",
                              MessageOf(status)));
  }
  if (change.kind != ModelChange::Kind::kRemove) awaited.names.push_back(change.model);
  if (change.kind == ModelChange::Kind::kLabel)
    awaited.labels[change.model][change.label] = change.version;
  if (change.kind == ModelChange::Kind::kPin) awaited.pinned[change.model] = change.version;
  // The former versions may still serve, so "a version is available" is not yet the effect. Wait
  // until the selected versions have ended their loads.
  if (change.kind == ModelChange::Kind::kUnpin || change.kind == ModelChange::Kind::kPut)
    awaited.settled = change.model;
  if (change.kind == ModelChange::Kind::kPut) awaited.labels = LabelsToAwait();
  Await(std::move(request), std::move(awaited), std::move(before));
}

Status ModelReloader::ApplyChange(const ModelChange& change) {
  ModelOverrides overrides = overrides_;
  TRY(overrides.Add(change, base_));
  if (change.kind == ModelChange::Kind::kPut) {
    ASSIGN_OR_RETURN(const std::vector<ConfiguredModel> all, overrides.Over(base_));
    TRY(CheckRoots(all, BasePathsOf(Entries())));
  }
  if (NamesVersion(change)) TRY(CheckVersion(change));
  return Apply(base_, std::move(overrides), "the admin API",
               TriesAgain(change) ? change.model : std::string());
}

void ModelReloader::Await(ChangeRequest request, AwaitedModels awaited,
                          std::optional<ModelOverrides> before) {
  ModelChange& change = std::get<ModelChange>(request.change);
  PendingChange pending{.awaited = std::move(awaited),
                        .model = change.model,
                        .deadline = request.deadline,
                        .is_wanted = request.is_wanted,
                        .load = nullptr,
                        .done = nullptr};
  if (change.kind == ModelChange::Kind::kLoad) pending.load = LoadNow(request, change.model);
  pending.done = [this, change = std::move(change), before = std::move(before),
                  done = std::move(request.done)](Status status) mutable {
    // UNKNOWN: the model has no version available at all.
    const bool has_failed =
        status.code() == StatusCode::kFailedPrecondition || status.code() == StatusCode::kUnknown;
    if (before && has_failed) RollBack(change, *before);
    // UNKNOWN would look like a fault of the server, but the model is at fault.
    if (status.code() == StatusCode::kUnknown)
      status = Error(StatusCode::kFailedPrecondition, "{}", MessageOf(status));
    done(std::move(status));
  };
  pending_.Add(std::move(pending));
}

void ModelReloader::RollBack(const ModelChange& change, const ModelOverrides& before) {
  ModelOverrides overrides = overrides_;
  if (!overrides.RollBack(change, before)) return;
  if (const Status status = Apply(base_, std::move(overrides), "the admin API"); !status.ok()) {
    PENSTOCK_LOG(kError, "the change of model {} cannot be rolled back: {}", change.model,
                 MessageOf(status));
  } else if (const Status written = WriteState(); !written.ok()) {
    PENSTOCK_LOG(
        kError,
        "the change of model {} is rolled back, but the next start of the server will have "
        "it in force: {}",
        change.model, MessageOf(written));
  }
}

std::shared_ptr<DemandedLoad> ModelReloader::LoadNow(const ChangeRequest& request,
                                                     const std::string& model) {
  auto load = std::make_shared<DemandedLoad>([this] {
    MutexLock lock(mutex_);
    has_event_ = true;
    wake_.NotifyOne();
  });
  const bool is_on_demand = manager_.LoadOnDemand(
      {.model = model,
       .deadline = request.deadline,
       .done = [load](Status status) { load->Answer(std::move(status)); },
       .is_wanted = [load,
                     is_wanted = request.is_wanted] { return load->IsWanted() && is_wanted(); }});
  return is_on_demand ? load : nullptr;
}

Status ModelReloader::CheckVersion(const ModelChange& change) const {
  for (const core::VersionStatus& version : manager_.VersionStatuses(change.model)) {
    // A version that the manager knows is there, even if its source cannot be asked now.
    if (version.id.version == change.version && version.state != core::VersionState::kEnd)
      return OkStatus();
  }
  const auto entries = Entries();
  const std::string& base_path = entries.at(change.model).base_path;
  if (models_.HasVersion(change.model, change.version)) return OkStatus();
  if (change.kind == ModelChange::Kind::kPin) {
    return Error(StatusCode::kNotFound,
                 "model {} has no version {} in {}: nothing is changed, since pinning it would "
                 "unload all others",
                 change.model, change.version.value, base_path);
  }
  return Error(
      StatusCode::kFailedPrecondition,
      "Request to assign label to version {} of model {}, which is not currently available "
      "for inference: there is no such version in {}",
      change.version.value, change.model, base_path);
}

}  // namespace penstock
