// SPDX-License-Identifier: Apache-2.0
// Requests that wait for a version, and models on demand.
//
// A request that finds no ready version calls LoadOnDemand or AwaitFirstLoad, and becomes a Waiter
// of its model. No thread blocks. After each transition, SettleWaiters asks AnswerFor what to
// answer: OK, an error, or nothing yet. The answers run after the Change has released the mutex,
// because they run the code of the request. Model::answering is not 0 meanwhile, so that the model
// is not evicted before the requests have their handles. All waiters of a model share one
// timer, because thousands of them may wait.
//
// Models on demand are unloaded when they are idle, or evicted (manager_memory.cc). Both must know
// which models are used. Requests do not notify the manager of a use, as that would cost them a
// lock: each version only counts its handles (lookup.h). So a timer compares these counts with
// those of the last check (LookAtUse). It runs only while a model on demand is loaded, and if there
// is a limit for the memory or for the idle time.
#include <algorithm>
#include <utility>

#include "base/utf8.h"
#include "core/manager_impl.h"

namespace penstock::core {
namespace {

// The period of the checks which models were used, at least and at most.
constexpr Duration kLookMin = std::chrono::milliseconds(10);
constexpr Duration kLookMax = std::chrono::seconds(1);

}  // namespace

bool Manager::Impl::LoadOnDemand(Demand demand) {
  const Change change(*this);
  Model* const model = FindConfigured(demand.model);
  if (model == nullptr || model->config.load_mode != LoadMode::kOnDemand || draining_) {
    return false;
  }
  const std::optional<VersionNumber> version = VersionOf(*model, demand);
  if (version && !model->versions.IsAspired(*version)) {
    // A version that the source does not have starts no load.
    std::optional<Status> answer = AnswerFor(*model, version, demand.label);
    if (answer && !answer->ok()) {
      Answer(std::move(demand.done), *std::move(answer));
      return true;
    }
  }
  const SteadyTime deadline = demand.deadline;
  if (!AddWaiter(*model, version, std::move(demand))) return true;
  const bool was_demanded = std::exchange(model->is_demanded, true);
  if (!was_demanded) model->versions.RetryFitting(UINT64_MAX);  // those that lacked memory
  RetryForRequest(*model, version);
  Advance(*model);
  TimeWaiters(*model, deadline);
  return true;
}

bool Manager::Impl::AwaitFirstLoad(Demand demand) {
  const Change change(*this);
  Model* const model = FindConfigured(demand.model);
  if (model == nullptr || model->config.load_mode != LoadMode::kAlways) return false;
  const std::optional<VersionNumber> version = VersionOf(*model, demand);
  std::optional<Status> answer = AnswerFor(*model, version, demand.label);
  // The version may have become ready since the request searched for it.
  if (!IsInFirstLoad(*model, version) && !(answer && answer->ok())) return false;
  if (answer) {
    Answer(std::move(demand.done), *std::move(answer));
    return true;
  }
  const SteadyTime deadline = demand.deadline;
  if (AddWaiter(*model, version, std::move(demand))) TimeWaiters(*model, deadline);
  return true;
}

bool Manager::Impl::IsInFirstLoad(const Model& model, std::optional<VersionNumber> version) {
  if (!model.has_served) return true;
  return version && !model.is_first_load_over && model.versions.IsComing(*version);
}

Status Manager::Impl::WhyNotReady(std::string_view name, std::optional<VersionNumber> version,
                                  std::string_view label) {
  MutexLock lock(mutex_);
  const Model* const model = FindConfigured(name);
  if (model == nullptr) return ServableNotFound(name, version);
  const ModelVersions& versions = model->versions;
  if (version && !versions.Ready().empty() && !IsInFirstLoad(*model, version))
    return VersionAbsent(*model, *version, label);
  const Status problem = versions.NewestProblem(version);
  const std::optional<Status> answer = AnswerFor(*model, version, label);
  if (answer && !answer->ok()) return *answer;
  const bool waits_for_source = problem.ok() && IsSourceWaiting(*model);
  const Status& why = waits_for_source ? model->source_status : problem;
  if (answer || why.ok()) {
    return Error(StatusCode::kUnavailable, "model {} is being loaded: try again later", name);
  }
  return Error(StatusCode::kUnavailable, "model {} is being loaded: {}", name,
               ToUtf8(MessageOf(why)));
}

std::optional<VersionNumber> Manager::Impl::VersionOf(const Model& model, const Demand& demand) {
  const auto label = model.labels.find(demand.label);
  return label == model.labels.end() ? demand.version : label->second;
}

bool Manager::Impl::AddWaiter(Model& model, std::optional<VersionNumber> version, Demand demand) {
  if (model.waiters.size() >= options_.demand_waiters_max) DropGoneWaiters(model);
  if (model.waiters.size() >= options_.demand_waiters_max) {
    Answer(std::move(demand.done),
           Error(StatusCode::kUnavailable,
                 "{} requests wait already until model {} is loaded: try again later",
                 model.waiters.size(), demand.model));
    return false;
  }
  model.waiters.push_back({version, std::move(demand.label), demand.deadline,
                           std::move(demand.done), std::move(demand.is_wanted)});
  return true;
}

void Manager::Impl::RetryForRequest(Model& model, std::optional<VersionNumber> version) {
  const SteadyTime now = background_->Now();
  // Without this limit, each request for a model that cannot be loaded would start its load again.
  if (now - model.retried_since < options_.load_retry_interval_max) return;
  const bool is_needed = version ? model.versions.HasFailed(*version)
                                 : model.versions.Ready().empty() && !model.versions.IsAnyComing();
  if (!is_needed) return;
  model.retried_since = now;
  model.versions.RetryAll();
}

void Manager::Impl::DropGoneWaiters(Model& model) {
  std::vector<Waiter> staying;
  for (Waiter& waiter : model.waiters) {
    if (!waiter.is_wanted || waiter.is_wanted()) {
      staying.push_back(std::move(waiter));
      continue;
    }
    Answer(std::move(waiter.done), absl::CancelledError("the client has gone"));
  }
  model.waiters = std::move(staying);
  TimeWaiters(model, kNoDeadline);
}

Status Manager::Impl::VersionAbsent(const Model& model, VersionNumber version,
                                    std::string_view label) {
  const std::string& name = model.config.name;
  const std::string what = label.empty()
                               ? std::string(MessageOf(ServableNotFound(name, version)))
                               : fmt::format("label \"{}\" of model {} waits for version {}", label,
                                             name, version.value);
  std::string why;
  if (const Status problem = model.versions.NewestProblem(version); !problem.ok()) {
    why = fmt::format("it could not be loaded: {}", ToUtf8(MessageOf(problem)));
  } else if (model.versions.IsComing(version)) {
    why = "it is being loaded";
  } else {
    std::vector<VersionNumber> known;
    for (const auto& [status, load] : model.versions.Statuses()) {
      if (status.is_aspired || status.state == VersionState::kAvailable)
        known.push_back(status.id.version);
    }
    why = SayVersions(std::move(known));
    if (!model.source_status.ok())
      why += fmt::format("; {}", ToUtf8(MessageOf(model.source_status)));
  }
  return Error(label.empty() ? StatusCode::kNotFound : StatusCode::kUnavailable, "{}: {}", what,
               why);
}

std::optional<Status> Manager::Impl::AnswerFor(const Model& model,
                                               std::optional<VersionNumber> version,
                                               std::string_view label) const {
  const ModelVersions& versions = model.versions;
  if (version ? versions.IsReady(*version) : !versions.Ready().empty()) return OkStatus();
  if (draining_) {
    // A load that runs may still succeed, and then its waiters can be served.
    if (versions.IsAnyLoading()) return std::nullopt;
    return absl::UnavailableError("the server is shutting down");
  }
  if (!model.has_report || IsSourceWaiting(model)) return std::nullopt;
  if (version ? versions.IsComing(*version) : versions.IsAnyComing()) return std::nullopt;
  const Status error = version ? versions.ErrorOf(*version) : versions.NewestError();
  const Status& why = error.ok() ? model.source_status : error;
  if (!why.ok()) {
    return Error(StatusCode::kUnavailable, "model {} cannot be loaded: {}", model.config.name,
                 ToUtf8(MessageOf(why)));
  }
  if (version) return VersionAbsent(model, *version, label);
  return Error(StatusCode::kUnavailable, "model {} cannot be loaded: it has no version",
               model.config.name);
}

void Manager::Impl::SettleWaiters(Model& model) {
  if (model.waiters.empty()) return;
  using Wanted = std::pair<std::optional<VersionNumber>, std::string>;  // version and label
  // Many requests wait for the same version, so each answer is computed only once.
  std::map<Wanted, std::optional<Status>> answers;
  std::vector<Waiter> staying;
  bool any_ready = false;
  for (Waiter& waiter : model.waiters) {
    const auto [answer, is_new] = answers.try_emplace(Wanted(waiter.version, waiter.label));
    if (is_new) answer->second = AnswerFor(model, waiter.version, waiter.label);
    if (!answer->second) {
      staying.push_back(std::move(waiter));
      continue;
    }
    any_ready |= answer->second->ok();
    Answer(std::move(waiter.done), *answer->second);
  }
  model.waiters = std::move(staying);
  TimeWaiters(model, kNoDeadline);
  if (!any_ready) return;
  ++*model.answering;
  new_calls_.push_back([this, answering = model.answering] { FinishAnswers(*answering); });
}

void Manager::Impl::RefuseWaiters(Model& model, const Status& error) {
  for (Waiter& waiter : std::exchange(model.waiters, {})) Answer(std::move(waiter.done), error);
  TimeWaiters(model, kNoDeadline);
}

void Manager::Impl::Answer(OnLoaded done, Status status) {
  new_calls_.push_back(
      [done = std::move(done), status = std::move(status)]() mutable { done(std::move(status)); });
}

void Manager::Impl::FinishAnswers(int& answering) {
  const Change change(*this);
  --answering;
  if (!wait_for_memory_.empty()) review_memory_ = true;
}

void Manager::Impl::TimeWaiters(Model& model, SteadyTime deadline) {
  if (!model.waiters.empty() &&
      (deadline == kNoDeadline || (model.timer && model.timer->time <= deadline))) {
    return;
  }
  if (model.timer) background_->Cancel(*std::exchange(model.timer, std::nullopt));
  if (model.waiters.empty()) return;
  model.timer =
      background_->RunAt(deadline, [this, name = model.config.name] { TimeOutWaiters(name); });
}

void Manager::Impl::TimeOutWaiters(const std::string& name) {
  const Change change(*this);
  Model* const model = FindConfigured(name);
  if (model == nullptr) return;
  const SteadyTime now = background_->Now();
  SteadyTime next = kNoDeadline;
  std::vector<Waiter> staying;
  for (Waiter& waiter : model->waiters) {
    if (waiter.deadline > now) {
      next = std::min(next, waiter.deadline);
      staying.push_back(std::move(waiter));
      continue;
    }
    Answer(std::move(waiter.done),
           Error(StatusCode::kDeadlineExceeded,
                 "the deadline passed while model {} was being loaded", name));
  }
  model->waiters = std::move(staying);
  // This timer has fired, or a new one was set while it waited for the mutex.
  if (model->timer) background_->Cancel(*std::exchange(model->timer, std::nullopt));
  TimeWaiters(*model, next);
}

// --- Checks of use.

void Manager::Impl::NoteUse(Model& model, SteadyTime now) {
  uint64_t uses = 0;
  bool is_used = !model.waiters.empty() || *model.answering > 0;
  for (const VersionEntry* entry : model.versions.Ready()) {
    uses += entry->Uses();
    is_used |= entry->HasHandles();
  }
  const uint64_t seen = std::exchange(model.uses_seen, uses);
  model.recent_uses = uses < seen ? uses : uses - seen;  // fewer: other versions are loaded now
  if (model.recent_uses > 0 || is_used) model.last_used = now;
}

void Manager::Impl::StartLookingAtUse() {
  if (looks_at_use_) return;
  Duration period = options_.ram_bytes_max > 0 ? kLookMax : Duration::max();
  bool any_loaded = false;
  for (const auto& [name, model] : models_) {
    if (model.config.load_mode != LoadMode::kOnDemand || model.versions.Ready().empty()) continue;
    any_loaded = true;
    if (model.config.unload_after_idle > Duration::zero())
      // Four checks in the idle time, so that the model stays about a quarter too long at most.
      period = std::min(period, model.config.unload_after_idle / 4);
  }
  if (!any_loaded || period == Duration::max()) return;
  looks_at_use_ = true;
  background_->RunAt(background_->Now() + std::clamp(period, kLookMin, kLookMax),
                     [this] { LookAtUse(); });
}

void Manager::Impl::LookAtUse() {
  const Change change(*this);
  looks_at_use_ = false;
  const SteadyTime now = background_->Now();
  for (auto& [name, model] : models_) {
    if (model.config.load_mode != LoadMode::kOnDemand || !model.is_configured) continue;
    NoteUse(model, now);
    const Duration idle_max = model.config.unload_after_idle;
    const bool is_idle = idle_max > Duration::zero() && now - model.last_used >= idle_max;
    if (is_idle && !model.versions.Ready().empty()) {
      model.is_demanded = false;
      UnloadAll(model);
    }
  }
  if (!stopped_) StartLookingAtUse();
}

}  // namespace penstock::core
