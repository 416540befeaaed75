// SPDX-License-Identifier: Apache-2.0
// Decides which load gets memory, and which one waits, evicts other models, or fails.
//
// Loads over the limit wait in the order in which they came. ReviewMemory goes through them
// whenever memory may have become free. The memory that is free, being unloaded, or evictable is
// certain to come. If it is enough for a waiting load and for the advance reservations before it,
// the load gets an advance reservation too, and models are evicted for it, the least recently used
// first. A later load begins only if the memory that is free or being unloaded is enough for all
// advance reservations before it as well. Without this, small loads could keep a big one waiting
// for ever.
//
// Some loads fit only if a running load fails, takes less than estimated, or becomes evictable.
// They get no advance reservation, because then one slow load would hold up all loads. But only
// kOvertakenMax loads may begin before such a load; then it gets one. A load that would not fit
// even so fails at once with RESOURCE_EXHAUSTED, and RetryFitting retries it when there is
// headroom.
#include <algorithm>
#include <utility>

#include "base/saturating.h"
#include "core/manager_impl.h"

namespace penstock::core {
namespace {

// A waiting load gets an advance reservation after so many later loads have begun before it.
constexpr int kOvertakenMax = 100;

// The bytes that a load needs while it runs.
uint64_t PeakBytes(const LoadJob& job) {
  return SaturatingSum(job.estimate.ram_bytes, job.estimate.load_extra_bytes);
}

}  // namespace

void Manager::Impl::Admit(Model& model, const std::shared_ptr<LoadJob>& job) {
  if (wait_for_memory_.empty() && TryReserve(*job, /*claimed=*/0)) return BeginLoad(model, job);
  wait_for_memory_.push_back({&model, job});
  review_memory_ = true;
}

bool Manager::Impl::TryReserve(const LoadJob& job, uint64_t claimed) {
  const uint64_t bytes = PeakBytes(job);
  if (bytes > memory_.free() || SaturatingSum(bytes, claimed) > ComingBytes()) return false;
  memory_.Set(job.number, bytes);
  loading_bytes_ += bytes;
  return true;
}

uint64_t Manager::Impl::ComingBytes() const {
  return SaturatingSum(memory_.free(), unloading_bytes_);
}

void Manager::Impl::ReviewMemory() {
  if (wait_for_memory_.empty() && lacking_.empty()) return;
  Room room;
  for (const auto& [name, model] : movable_) room.movable += Movable(*model);
  for (WaitingLoad& waiting : std::exchange(wait_for_memory_, {}))
    ReviewWaiting(std::move(waiting), room);
  if (!draining_) RetryFitting(room);
  for (Model* const model : room.changed) Advance(*model);
}

void Manager::Impl::ReviewWaiting(WaitingLoad waiting, Room& room) {
  Model& model = *waiting.model;
  LoadJob& job = *waiting.job;
  if (job.is_cancelled || draining_) {
    room.changed.insert(&model);
    return FailLoad(model, job, LoadCancelled());
  }
  if (TryReserve(job, room.claimed)) {
    if (room.overtakable != nullptr) ++room.overtakable->overtaken;
    if (waiting.was_told) model.versions.NoteWaiting(job, OkStatus());
    return BeginLoad(model, waiting.job);
  }
  const uint64_t bytes = PeakBytes(job);
  const uint64_t certain = SaturatingSum(ComingBytes(), room.movable - Movable(model));
  // Even all the memory of the running loads would not be enough.
  if (bytes > SaturatingSum(certain, loading_bytes_)) {
    room.changed.insert(&model);
    return FailLoad(model, job, NoMemory(job), bytes);
  }
  const bool is_certain = SaturatingSum(room.claimed, bytes) <= certain;
  if (is_certain || job.overtaken >= kOvertakenMax) {
    room.claimed = SaturatingSum(room.claimed, bytes);
  } else if (room.overtakable == nullptr) {
    room.overtakable = &job;
  }
  if (is_certain) MakeRoom(room.claimed, model, room);
  if (!std::exchange(waiting.was_told, true)) model.versions.NoteWaiting(job, NoMemory(job));
  wait_for_memory_.push_back(std::move(waiting));
}

void Manager::Impl::NoteMemory(Model& model) {
  const bool may_move =
      model.config.load_mode == LoadMode::kOnDemand && model.versions.LowestReady().has_value();
  const uint64_t lacked = ShallBeLoaded(model) ? model.versions.LackedBytes() : 0;
  if (lacked != model.lacked_bytes || !may_move) ForgetMemory(model);
  if (lacked > 0 && model.lacked_bytes == 0) lacking_.insert({lacked, model.config.name});
  model.lacked_bytes = lacked;
  if (may_move) movable_.emplace(model.config.name, &model);
}

void Manager::Impl::ForgetMemory(Model& model) {
  movable_.erase(model.config.name);
  if (model.lacked_bytes > 0) lacking_.erase({model.lacked_bytes, model.config.name});
  model.lacked_bytes = 0;
}

void Manager::Impl::RetryFitting(Room& room) {
  uint64_t left = SaturatingDifference(SaturatingSum(memory_.free(), room.movable), room.claimed);
  for (const auto& [bytes, name] : lacking_) {
    if (bytes > left) break;  // the models after it need even more
    Model& model = models_.find(name)->second;
    if (!ShallBeLoaded(model)) continue;
    const uint64_t retried =
        model.versions.RetryFitting(SaturatingDifference(left, Movable(model)));
    if (retried == 0) continue;
    left -= retried;  // more than this would only fail again
    room.changed.insert(&model);
  }
}

Status Manager::Impl::NoMemory(const LoadJob& job) const {
  const uint64_t needed = PeakBytes(job);
  if (needed <= memory_.free()) {
    return Error(StatusCode::kResourceExhausted,
                 "servable {} waits for memory: it takes {} bytes, and what is free is for loads "
                 "that came before it",
                 job.id.ToString(), needed);
  }
  return Error(StatusCode::kResourceExhausted,
               "Insufficient resources to load servable {}: it takes {} bytes, and {} of the limit "
               "of {} are taken, so that {} are missing",
               job.id.ToString(), needed, memory_.taken(), memory_.limit(),
               needed - memory_.free());
}

// --- Evicting models.

uint64_t Manager::Impl::ReadyBytes(const Model& model) const {
  uint64_t bytes = 0;
  for (const uint64_t load : model.versions.ReadyLoads()) bytes += memory_.TakenBy(load);
  return bytes;
}

uint64_t Manager::Impl::Movable(const Model& model) const {
  const bool may_move = model.config.load_mode == LoadMode::kOnDemand &&
                        !model.config.keep_loaded && model.is_configured;
  return may_move ? ReadyBytes(model) : 0;
}

std::vector<Manager::Impl::Model*> Manager::Impl::MovableModels() {
  const SteadyTime now = background_->Now();
  std::vector<Model*> models;
  for (const auto& [name, model] : movable_) {
    if (Movable(*model) == 0 || *model->answering > 0) continue;  // nothing to free, or not yet
    NoteUse(*model, now);
    models.push_back(model);
  }
  std::sort(models.begin(), models.end(), [](const Model* a, const Model* b) {
    return std::pair(a->last_used, a->recent_uses) < std::pair(b->last_used, b->recent_uses);
  });
  return models;
}

void Manager::Impl::MakeRoom(uint64_t bytes, const Model& for_model, Room& room) {
  if (ComingBytes() >= bytes) return;
  if (!room.candidates) room.candidates = MovableModels();
  for (Model*& candidate : *room.candidates) {
    if (ComingBytes() >= bytes) break;
    if (candidate == nullptr || candidate == &for_model) continue;
    Model& model = *std::exchange(candidate, nullptr);
    room.movable -= Movable(model);
    model.is_demanded = false;
    UnloadAll(model);
    // These wait for other versions of the model than the ready ones.
    RefuseWaiters(model, Error(StatusCode::kUnavailable,
                               "model {} is unloaded, as another one needs the memory: try again "
                               "later",
                               model.config.name));
  }
  std::erase(*room.candidates, nullptr);
}

}  // namespace penstock::core
