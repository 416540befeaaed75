// SPDX-License-Identifier: Apache-2.0
// The manager delivers one event at a time, also if an event is caused while one is delivered. So
// everything but Pin and List runs on one thread at a time, without a lock. A review compares what
// is ready with what is chosen, and does not ask what the event was: so none can be missed.
//
// The chosen versions are held, so that the manager unloads none of them before the steps have
// changed to another one. A request finds them by their numbers. It may come between a change in
// the manager and its event: then a version may be gone, or be another object. Another object is
// checked again; that is rare.
#include "ensemble/step_versions.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace penstock::ensemble {
namespace {

std::string ListIds(std::span<const ModelHandle* const> versions) {
  std::string list;
  for (const ModelHandle* version : versions)
    list += fmt::format("{}{}", list.empty() ? "" : ", ", version->id().ToString());
  return list;
}

}  // namespace

StepVersions::StepVersions(core::ServableId id, const Graph& graph, const Plan& plan,
                           std::span<const ModelHandle> versions, core::Manager& manager,
                           Engine& engine)
    : id_(std::move(id)), graph_(graph), plan_(plan), manager_(manager), engine_(engine) {
  std::vector<const ModelHandle*> pointers;
  for (const ModelHandle& version : versions) pointers.push_back(&version);
  Choose(pointers);
  // Last: from here on reviews may run. What has changed since the caller found the versions shows
  // at the event that says that this ensemble is available.
  listener_ = manager_.AddListener([this](const core::ManagerEvent& event) { OnEvent(event); });
}

StepVersions::~StepVersions() {
  manager_.RemoveListener(listener_);
  EndHolds(held_);
}

Status StepVersions::Pin(Handles& versions) const {
  Chosen chosen = Get();
  while (true) {
    Status status = Find(chosen, versions);
    if (status.ok()) [[likely]]
      return status;
    // Between Get and Find the steps may have changed, and what they used before may be gone.
    Chosen newer = Get();
    if (newer.change == chosen.change) return status;
    chosen = std::move(newer);
  }
}

Status StepVersions::Find(const Chosen& chosen, Handles& versions) const {
  if (!chosen.problem.ok()) [[unlikely]]
    return chosen.problem;
  versions.clear();
  bool is_other = false;
  for (size_t i = 0; i < plan_.models.size(); ++i) {
    const Version& version = chosen.versions[i];
    StatusOr<ModelHandle> found =
        engine_.Find({.name = plan_.models[i].name, .version = version.number, .label = {}});
    if (!found.ok()) [[unlikely]]
      return Missing(i, found.status());
    is_other |= &found->model() != version.model;
    versions.push_back(*std::move(found));
  }
  if (!is_other) [[likely]]
    return OkStatus();
  std::vector<const ModelHandle*> pointers;
  for (const ModelHandle& version : versions) pointers.push_back(&version);
  Status why;
  if (Check(pointers, why) == Fit::kFits) return OkStatus();
  return Error(StatusCode::kUnavailable, "the steps change to {}: try again", ListIds(pointers));
}

StepVersions::Chosen StepVersions::Get() const {
  // A search for a version may cause an event, whose review waits for the readers. So the search
  // comes after this.
  const ReadMostly<Chosen>::Reader chosen(chosen_);
  return *chosen;
}

std::vector<ModelStep> StepVersions::List() const {
  const Chosen chosen = Get();
  std::vector<ModelStep> list;
  for (const PlanStep& step : plan_.steps) {
    ModelStep& to = list.emplace_back();
    to.name = step.name;
    to.model = plan_.models[step.model].name;
    to.signature = step.signature.empty() ? std::string(kDefaultSignatureName) : step.signature;
    if (chosen.problem.ok()) to.version = chosen.versions[step.model].number;
  }
  return list;
}

Status StepVersions::Missing(size_t model, const Status& why) const {
  // The request names only the ensemble, so a model that is not there is no fault of it.
  const auto step = std::ranges::find(plan_.steps, model, &PlanStep::model);
  return Error(StatusCode::kUnavailable, "step '{}': {}", step->name, MessageOf(why));
}

void StepVersions::OnEvent(const core::ManagerEvent& event) {
  if (is_renewed_) return;
  const bool concerns =
      event.model == id_.name ||  // it is available now
      std::ranges::find(plan_.models, event.model, &StepModel::name) != plan_.models.end();
  if (concerns) Review();
}

StepVersions::Fit StepVersions::Check(Pointers versions, Status& why) const {
  std::vector<const ModelInfo*> infos;
  for (const ModelHandle* version : versions) infos.push_back(&version->info());
  const StatusOr<Plan> plan = MakePlan(graph_, infos);
  if (!plan.ok()) {
    why = Error(StatusCode::kUnavailable, "the steps do not fit each other with {}: {}",
                ListIds(versions), MessageOf(plan.status()));
    return Fit::kNot;
  }
  return HasSameTensors(plan->info, plan_.info) ? Fit::kFits : Fit::kOtherTensors;
}

void StepVersions::Review() {
  // While it is being loaded or unloaded, the models of its steps may come and go.
  const auto own = manager_.GetHandle(id_.name, id_.version);
  if (!own.ok()) return;
  const Chosen chosen = Get();
  std::vector<ModelHandle> found;  // what the pointers refer to
  found.reserve(2 * plan_.models.size());
  std::vector<const ModelHandle*> newest, kept;
  Status missing;
  bool has_new = false, has_lost = false;
  for (size_t i = 0; i < plan_.models.size(); ++i) {
    const StepModel& model = plan_.models[i];
    const ModelHandle* asked = nullptr;
    const ModelHandle* former = nullptr;
    auto version =
        engine_.Find({.name = model.name, .version = model.version, .label = model.label});
    if (version.ok()) {
      asked = &found.emplace_back(*std::move(version));
    } else if (missing.ok()) {
      missing = Missing(i, version.status());
    }
    if (chosen.problem.ok()) {
      version =
          engine_.Find({.name = model.name, .version = chosen.versions[i].number, .label = {}});
      if (version.ok() && &version->model() == chosen.versions[i].model)
        former = &found.emplace_back(*std::move(version));
    }
    if (asked == nullptr && former == nullptr) return ChooseNone(std::move(missing));
    has_lost |= former == nullptr;
    has_new |= former == nullptr || (asked != nullptr && &asked->model() != &former->model());
    newest.push_back(asked != nullptr ? asked : former);
    kept.push_back(former != nullptr ? former : asked);
  }
  // As of a label that is gone.
  if (!has_new) return Tell(std::move(missing), /*can_answer=*/true);
  Status why;
  switch (Check(newest, why)) {
    case Fit::kFits:
      Choose(newest);
      return Tell(std::move(missing), /*can_answer=*/true);
    case Fit::kOtherTensors:
      if (Renew(newest, why)) return;
      break;
    case Fit::kNot:
      break;
  }
  Status ignored;
  if (has_lost && Check(kept, ignored) != Fit::kFits) return ChooseNone(std::move(why));
  // One bad version must not keep the other models from changing.
  for (size_t i = 0; i < kept.size(); ++i) {
    std::vector<const ModelHandle*> tried = kept;
    tried[i] = newest[i];
    if (&tried[i]->model() != &kept[i]->model() && Check(tried, ignored) == Fit::kFits)
      kept = std::move(tried);
  }
  std::vector<const ModelHandle*> left;
  for (size_t i = 0; i < kept.size(); ++i) {
    if (&kept[i]->model() != &newest[i]->model()) left.push_back(kept[i]);
  }
  Choose(kept);
  Tell(
      Error(StatusCode::kUnavailable, "the steps go on with {}: {}", ListIds(left), MessageOf(why)),
      /*can_answer=*/true);
}

bool StepVersions::Renew(Pointers versions, Status& why) {
  PENSTOCK_LOG(kInfo,
               "model {} is loaded again, because it has other inputs or outputs with {}; until "
               "then requests get what it has",
               id_.ToString(), ListIds(versions));
  why = manager_.Renew(id_);
  is_renewed_ = why.ok();
  return is_renewed_;
}

void StepVersions::Choose(Pointers versions) {
  auto chosen = std::make_unique<Chosen>();
  for (const ModelHandle* version : versions)
    chosen->versions.push_back({version->id().version, &version->model()});
  std::vector<Held> former = std::exchange(held_, {});
  for (const ModelHandle* version : versions) {
    const auto held = std::ranges::find(former, version->id(), &Held::id);
    if (held != former.end()) {
      held_.push_back(*held);
      former.erase(held);
    } else {
      held_.push_back({version->id(), manager_.Hold(version->id())});
    }
  }
  Set(std::move(chosen));
  EndHolds(former);
}

void StepVersions::ChooseNone(Status problem) {
  auto chosen = std::make_unique<Chosen>();
  chosen->problem = problem;
  Set(std::move(chosen));
  EndHolds(std::exchange(held_, {}));
  Tell(std::move(problem), /*can_answer=*/false);
}

void StepVersions::Set(std::unique_ptr<Chosen> chosen) {
  chosen->change = ++changes_;
  chosen_.Set(std::move(chosen));
}

void StepVersions::EndHolds(const std::vector<Held>& holds) {
  for (const Held& held : holds) manager_.EndHold(held.id.name, held.hold);
}

void StepVersions::Tell(Status problem, bool can_answer) {
  if (told_ == problem) return;
  if (problem.ok()) {
    PENSTOCK_LOG(kInfo, "model {}: its steps fit each other again", id_.ToString());
  } else if (can_answer) {
    PENSTOCK_LOG(kWarning, "model {}: {}", id_.ToString(), MessageOf(problem));
  } else {
    PENSTOCK_LOG(kError, "model {} cannot answer: {}", id_.ToString(), MessageOf(problem));
  }
  told_ = problem;
  manager_.NoteProblem(id_, problem, can_answer);
}

}  // namespace penstock::ensemble
