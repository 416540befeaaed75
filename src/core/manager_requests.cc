// SPDX-License-Identifier: Apache-2.0
// What requests and status pages ask the manager. GetHandle and the questions of readiness search
// the published Snapshot, and take no lock.
#include <utility>

#include "core/manager.h"
#include "core/request_errors.h"

namespace penstock::core {
namespace {

// Returns the entry of `version`, or of the newest version; null if it is not ready. A linear
// search is enough, because a model has few ready versions.
VersionEntry* FindVersion(const Snapshot::Model& model, std::optional<VersionNumber> version) {
  for (VersionEntry* entry : model.ready) {
    if (!version || entry->id().version == *version) return entry;
  }
  return nullptr;
}

// Returns the reason why a configured model has no such version ready, if the snapshot has it; else
// OK.
Status WhyAbsent(const Snapshot::Model& model, std::string_view name,
                 std::optional<VersionNumber> version) {
  for (const auto& [number, reason] : model.broken) {
    if (version && number != *version) continue;
    return Error(StatusCode::kUnavailable, "Servable {} version {} was taken from service: {}",
                 name, number.value, MessageOf(reason));
  }
  return model.ready.empty() ? model.absent : OkStatus();
}

// Returns the answer of `ask` about a configured model, and false if there is no such model.
template <typename Ask>
bool AskModel(SnapshotCell& lookup, std::string_view name, Ask ask) {
  const SnapshotCell::Reader snapshot(lookup);
  const auto model = snapshot->models.find(name);
  return model != snapshot->models.end() && ask(*model->second);
}

}  // namespace

// --- Handles.

StatusOr<Handle> Manager::GetHandle(std::string_view name,
                                    std::optional<VersionNumber> version) const {
  {
    SnapshotCell::Reader snapshot(lookup_);
    const auto model = snapshot->models.find(name);
    if (model == snapshot->models.end()) return ServableNotFound(name, version);
    if (VersionEntry* entry = FindVersion(*model->second, version)) {
      entry->Ref();
      return Handle(entry);
    }
    TRY(WhyAbsent(*model->second, name, version));
  }
  return ErrorFor(name, version);
}

StatusOr<Handle> Manager::GetHandleByLabel(std::string_view name, std::string_view label) const {
  std::optional<VersionNumber> version;
  {
    SnapshotCell::Reader snapshot(lookup_);
    const auto model = snapshot->models.find(name);
    if (model != snapshot->models.end()) {
      const auto found = model->second->labels.find(label);
      if (found != model->second->labels.end()) {
        if (VersionEntry* entry = FindVersion(*model->second, found->second)) {
          entry->Ref();
          return Handle(entry);
        }
        TRY(WhyAbsent(*model->second, name, found->second));
        version = found->second;
      }
    }
  }
  if (version) return ErrorFor(name, version, label);
  return UnknownLabel(name, label);
}

void Manager::VisitReady(std::string_view name,
                         absl::FunctionRef<void(const ServableId&, Servable&)> visit) const {
  // A version that the snapshot has is not destroyed while the snapshot is read.
  const SnapshotCell::Reader snapshot(lookup_);
  const auto model = snapshot->models.find(name);
  if (model == snapshot->models.end()) return;
  for (VersionEntry* const entry : model->second->ready) visit(entry->id(), entry->servable());
}

Status Manager::ErrorFor(std::string_view name, std::optional<VersionNumber> version,
                         std::string_view label) const {
  MutexLock lock(mutex_);
  const Model* const model = FindConfigured(name);
  if (model == nullptr) return ServableNotFound(name, version);
  return WhyNotReady(*model, version, label, draining_);
}

Status Manager::UnknownLabel(std::string_view name, std::string_view label) const {
  MutexLock lock(mutex_);
  const Model* const model = FindConfigured(name);
  if (model == nullptr) return UnknownLabelError(label, {}, /*is_configured=*/false);
  return UnknownLabelError(label, model->LabelStates(), /*is_configured=*/true);
}

// --- Requests that wait.

bool Manager::LoadOnDemand(Demand demand) {
  if (!IsModelOnDemand(demand.model)) return false;
  const Change change(*this);
  Model* const model = FindConfigured(demand.model);
  if (model == nullptr || model->config.load_mode != LoadMode::kOnDemand || draining_) {
    return false;
  }
  const std::optional<VersionNumber> version = model->VersionFor(demand.label, demand.version);
  if (version && !model->versions.IsAspired(*version)) {
    // A version that the source does not have starts no load.
    std::optional<Status> answer = AnswerFor(*model, version, demand.label, draining_);
    if (answer && !answer->ok()) {
      demands_.Answer(std::move(demand.done), *std::move(answer));
      return true;
    }
  }
  if (!demands_.Add(version, std::move(demand))) return true;
  const bool was_demanded = std::exchange(model->is_demanded, true);
  if (!was_demanded) model->versions.RetryFitting(UINT64_MAX);  // those that lacked memory
  RetryForRequest(*model, version);
  Advance(*model);
  return true;
}

bool Manager::AwaitFirstLoad(Demand demand) {
  const Change change(*this);
  Model* const model = FindConfigured(demand.model);
  if (model == nullptr || model->config.load_mode != LoadMode::kAlways) return false;
  const std::optional<VersionNumber> version = model->VersionFor(demand.label, demand.version);
  std::optional<Status> answer = AnswerFor(*model, version, demand.label, draining_);
  // The version may have become ready since the request searched for it.
  if (!model->IsInFirstLoad(version) && !(answer && answer->ok())) return false;
  if (answer) {
    demands_.Answer(std::move(demand.done), *std::move(answer));
  } else {
    demands_.Add(version, std::move(demand));
  }
  return true;
}

void Manager::RetryForRequest(Model& model, std::optional<VersionNumber> version) {
  const SteadyTime now = background_.Now();
  // Without this limit, each request for a model that cannot be loaded would start its load again.
  if (now - model.retried_since < options_.load_retry_interval_max) return;
  const bool is_needed = version ? model.versions.HasFailed(*version)
                                 : model.versions.Ready().empty() && !model.versions.IsAnyComing();
  if (!is_needed) return;
  model.retried_since = now;
  model.versions.RetryAll();
}

void Manager::SettleWaiters(const Model& model) {
  demands_.Settle(model.config.name,
                  [&model, is_draining = draining_](std::optional<VersionNumber> version,
                                                    const std::string& label) {
                    return AnswerFor(model, version, label, is_draining);
                  });
}

void Manager::FinishAnswers(const std::shared_ptr<int>& answering) {
  const Change change(*this);
  DemandQueue::EndAnswers(answering);
  memory_.RequestReviewOfWaiting();  // the model may be evicted again
}

void Manager::TimeOutWaiters(const std::string& model) {
  const Change change(*this);
  demands_.TimeOut(model);
}

// --- Readiness.

bool Manager::IsReady() const { return SnapshotCell::Reader(lookup_)->is_ready; }

std::optional<bool> Manager::IsModelReady(std::string_view name) const {
  const SnapshotCell::Reader snapshot(lookup_);
  const auto model = snapshot->models.find(name);
  if (model == snapshot->models.end()) return std::nullopt;
  return !model->second->ready.empty();
}

std::optional<bool> Manager::CanModelAnswer(std::string_view name) const {
  const SnapshotCell::Reader snapshot(lookup_);
  const auto model = snapshot->models.find(name);
  if (model == snapshot->models.end()) return std::nullopt;
  return model->second->has_answers;
}

bool Manager::IsModelExpected(std::string_view name) const {
  return AskModel(lookup_, name, [](const Snapshot::Model& model) {
    return model.is_expected && !model.on_demand;
  });
}

bool Manager::IsModelOnDemand(std::string_view name) const {
  return AskModel(lookup_, name, [](const Snapshot::Model& model) { return model.on_demand; });
}

bool Manager::IsModelEstablished(std::string_view name) const {
  return AskModel(lookup_, name, [](const Snapshot::Model& model) {
    return model.is_expected && !model.on_demand && model.is_established();
  });
}

bool Manager::IsModelStarting(std::string_view name) const {
  return AskModel(lookup_, name, [](const Snapshot::Model& model) {
    return model.is_expected && !model.on_demand && model.is_of_start && !model.has_served;
  });
}

// --- Status.

std::vector<std::string> Manager::ModelNames() const {
  MutexLock lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [name, model] : models_) {
    if (model.is_configured) names.push_back(name);
  }
  return names;
}

std::vector<VersionStatus> Manager::VersionStatuses(std::string_view name) const {
  MutexLock lock(mutex_);
  if (const auto found = models_.find(name); found != models_.end())
    return StatusesOf(found->second);
  return removed_.Find(name, background_.Now());
}

std::vector<VersionStatus> Manager::StatusesOf(const Model& model) const {
  std::vector<VersionStatus> statuses;
  for (auto& [status, load] : model.versions.Statuses()) {
    status.memory_bytes = memory_.ReservedBy(load);
    status.is_memory_measured = memory_.IsMeasured(load);
    statuses.push_back(std::move(status));
  }
  return statuses;
}

Status Manager::SourceStatus(std::string_view name, std::optional<VersionNumber> version) const {
  MutexLock lock(mutex_);
  const Model* const model = FindConfigured(name);
  return model == nullptr ? ModelNotFound(name) : model->SourceStatusFor(version);
}

std::map<std::string, LabelState> Manager::Labels(std::string_view name) const {
  MutexLock lock(mutex_);
  const Model* const model = FindConfigured(name);
  return model == nullptr ? std::map<std::string, LabelState>() : model->LabelStates();
}

std::optional<ModelStatus> Manager::StatusOf(std::string_view name) const {
  MutexLock lock(mutex_);
  const Model* const model = FindConfigured(name);
  if (model == nullptr) return std::nullopt;
  return ModelStatus{.is_ready = !model->versions.Ready().empty(),
                     .is_expected = model->config.load_mode == LoadMode::kAlways,
                     .has_report = model->has_report,
                     .has_found = model->has_found,
                     .source_status = model->source_status,
                     .incomplete = model->incomplete,
                     .versions = StatusesOf(*model),
                     .labels = model->LabelStates()};
}

Manager::Memory Manager::MemoryUse() const {
  MutexLock lock(mutex_);
  return {memory_.reserved(), memory_.limit()};
}

std::vector<RunningLoad> Manager::RunningLoads() const {
  MutexLock lock(mutex_);
  std::vector<RunningLoad> loads;
  const SteadyTime now = background_.Now();
  for (const auto& [name, model] : models_) {
    for (const LoadJob* load : model.versions.RunningLoads())
      loads.push_back({load->id, now - load->step_start + load->worked});
  }
  return loads;
}

// --- Events.

int Manager::AddListener(ManagerListener listener) {
  return events_.AddListener(std::move(listener));
}
void Manager::RemoveListener(int id) { events_.RemoveListener(id); }
bool Manager::WaitFor(const std::function<bool()>& condition, SteadyTime until) const {
  return events_.WaitFor(condition, until);
}

}  // namespace penstock::core
