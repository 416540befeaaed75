// SPDX-License-Identifier: Apache-2.0
// Models that are loaded when a request needs them, and unloaded when others need the memory more.
#include <algorithm>
#include <utility>

#include "core/manager_impl.h"

namespace penstock::core {
namespace {

// How often the use of models is looked at, at most and at least.
constexpr Duration kLookMin = std::chrono::milliseconds(10);
constexpr Duration kLookMax = std::chrono::seconds(1);

}  // namespace

bool Manager::Impl::LoadOnDemand(std::string_view name, SteadyTime deadline, OnLoaded done,
                                 std::function<bool()> is_wanted) {
  const Change change(*this);
  Model* model = FindConfigured(name);
  if (model == nullptr || model->config.load_mode != LoadMode::kOnDemand || draining_) {
    return false;
  }
  if (model->waiters.size() >= options_.demand_waiters_max) DropGoneWaiters(*model);
  if (model->waiters.size() >= options_.demand_waiters_max) {
    new_calls_.push_back([done = std::move(done), waiters = model->waiters.size(),
                          name = std::string(name)]() mutable {
      done(Error(StatusCode::kUnavailable,
                 "{} requests wait already until model {} is loaded: try again later", waiters,
                 name));
    });
  } else {
    const uint64_t number = ++waiter_count_;
    model->waiters.push_back({number, std::move(done), std::move(is_wanted)});
    const SteadyTime now = background_->Now();
    const bool was_demanded = std::exchange(model->is_demanded, true);
    if (was_demanded && now - model->retried_since >= options_.load_retry_interval_max &&
        !model->versions.IsAnyComing()) {
      model->retried_since = now;
      model->versions.RetryAll();
    }
    Advance(*model);
    // It is the last one, if it was not answered at once.
    const bool waits = !model->waiters.empty() && model->waiters.back().number == number;
    if (waits && deadline != kNoDeadline) {
      background_->RunAt(deadline,
                         [this, name = std::string(name), number] { TimeOutWaiter(name, number); });
    }
  }
  return true;
}

void Manager::Impl::DropGoneWaiters(Model& model) {
  std::vector<Waiter> staying;
  for (Waiter& waiter : model.waiters) {
    if (!waiter.is_wanted || waiter.is_wanted()) {
      staying.push_back(std::move(waiter));
      continue;
    }
    new_calls_.push_back([done = std::move(waiter.done)]() mutable {
      done(absl::CancelledError("the client has gone"));
    });
  }
  model.waiters = std::move(staying);
}

void Manager::Impl::SettleWaiters(Model& model) {
  if (model.waiters.empty()) return;
  if (!model.versions.Ready().empty()) return AnswerWaiters(model, OkStatus());
  if (draining_) {
    if (model.versions.IsAnyLoading()) return;
    return AnswerWaiters(model, absl::UnavailableError("the server is shutting down"));
  }
  if (!model.was_told || IsSourceWaiting(model) || model.versions.IsAnyComing()) return;
  const Status error = model.versions.NewestError();
  const Status& why = error.ok() ? model.source_status : error;
  AnswerWaiters(model, why.ok()
                           ? Error(StatusCode::kNotFound,
                                   "Servable not found for request: Latest({})", model.config.name)
                           : Error(StatusCode::kUnavailable, "model {} cannot be loaded: {}",
                                   model.config.name, MessageOf(why)));
}

void Manager::Impl::AnswerWaiters(Model& model, const Status& status) {
  for (Waiter& waiter : std::exchange(model.waiters, {})) {
    new_calls_.push_back([done = std::move(waiter.done), status]() mutable { done(status); });
  }
  if (!status.ok()) return;
  ++model.answering;
  new_calls_.push_back([this, name = model.config.name] { FinishAnswers(name); });
}

void Manager::Impl::FinishAnswers(const std::string& name) {
  const Change change(*this);
  const auto model = models_.find(name);
  if (model == models_.end()) return;
  if (model->second.answering > 0) --model->second.answering;
  if (wait_for_memory_.empty()) return;
  review_memory_ = true;
}

void Manager::Impl::TimeOutWaiter(const std::string& name, uint64_t number) {
  OnLoaded done;
  {
    MutexLock lock(mutex_);
    Model* model = FindConfigured(name);
    if (model == nullptr) return;
    const auto found = std::find_if(model->waiters.begin(), model->waiters.end(),
                                    [&](const Waiter& waiter) { return waiter.number == number; });
    if (found == model->waiters.end()) return;
    done = std::move(found->done);
    model->waiters.erase(found);
  }
  done(Error(StatusCode::kDeadlineExceeded, "the deadline passed while model {} was being loaded",
             name));
}

// --- Making room.

void Manager::Impl::NoteUse(Model& model, SteadyTime now) {
  uint64_t uses = 0;
  bool is_used = !model.waiters.empty();
  for (const VersionEntry* entry : model.versions.Ready()) {
    uses += entry->Uses();
    is_used |= entry->HasHandles();
  }
  const uint64_t seen = std::exchange(model.uses_seen, uses);
  model.recent_uses = uses < seen ? uses : uses - seen;  // fewer: others are loaded than then
  if (model.recent_uses > 0 || is_used) model.last_used = now;
}

uint64_t Manager::Impl::ReadyBytes(const Model& model) const {
  uint64_t bytes = 0;
  for (const auto& [status, load] : model.versions.Statuses()) {
    if (model.versions.IsReady(status.id.version)) bytes += memory_.TakenBy(load);
  }
  return bytes;
}

bool Manager::Impl::IsMovable(const Model& model) {
  return model.config.load_mode == LoadMode::kOnDemand && !model.config.keep_loaded &&
         model.is_configured;
}

uint64_t Manager::Impl::Movable(const Model& for_model) const {
  uint64_t bytes = 0;
  for (const auto& [name, model] : models_) {
    if (&model != &for_model && IsMovable(model)) bytes += ReadyBytes(model);
  }
  return bytes;
}

bool Manager::Impl::MakeRoom(uint64_t bytes, const Model& for_model) {
  uint64_t coming = memory_.free() + unloading_bytes_;
  if (bytes > coming + Movable(for_model)) return false;
  const SteadyTime now = background_->Now();
  std::vector<Model*> candidates;
  for (auto& [name, model] : models_) {
    if (&model == &for_model || !IsMovable(model) || ReadyBytes(model) == 0) continue;
    if (model.answering > 0) continue;  // soon
    NoteUse(model, now);
    candidates.push_back(&model);
  }
  std::sort(candidates.begin(), candidates.end(), [](const Model* a, const Model* b) {
    return std::pair(a->last_used, a->recent_uses) < std::pair(b->last_used, b->recent_uses);
  });
  for (Model* model : candidates) {
    if (coming >= bytes) break;
    coming += ReadyBytes(*model);
    model->is_demanded = false;
    UnloadAll(*model);
  }
  return true;
}

void Manager::Impl::StartLookingAtUse() {
  if (looks_at_use_) return;
  Duration period = options_.ram_bytes_max > 0 ? kLookMax : Duration::max();
  bool any_loaded = false;
  for (const auto& [name, model] : models_) {
    if (model.config.load_mode != LoadMode::kOnDemand || model.versions.Ready().empty()) continue;
    any_loaded = true;
    if (model.config.unload_after_idle > Duration::zero())
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
