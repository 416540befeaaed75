// SPDX-License-Identifier: Apache-2.0
#include "infer/trial.h"

#include <memory>
#include <utility>

#include "infer/served_model.h"
#include "infer/traffic_split.h"

namespace penstock {
namespace {

// Finds the version of an arm or shadow. A model on demand that is not loaded begins to load, but
// this does not wait for it.
StatusOr<core::Handle> FindTarget(core::Manager& manager, const ExperimentTarget& target,
                                  const Clock& clock) {
  StatusOr<core::Handle> handle = target.label.empty()
                                      ? manager.GetHandle(target.model, target.version)
                                      : manager.GetHandleByLabel(target.model, target.label);
  if (handle.status().code() == StatusCode::kUnavailable)
    manager.LoadOnDemand({.model = target.model,
                          .version = target.version,
                          .label = target.label,
                          .deadline = clock.Now(),
                          .done = [](const Status&) {}});
  return handle;
}

// A copy of a request for a shadow. One thread at a time.
struct ShadowRun {
  ~ShadowRun() { shadow.in_flight.fetch_sub(1, std::memory_order_relaxed); }

  const ExperimentRef experiment;
  Experiment::Shadow& shadow;
  const core::Handle main;          // keeps the names in the request alive, which may be those of
  const core::Handle described_by;  // its signature or of this one's
  const core::Handle target;
  InferRequest request;
  const Clock& clock;
  SteadyTime start = {};
};

void Finish(const ShadowRun& run, const Status& status) {
  run.shadow.outcomes.Record(status.code(), run.clock.Now() - run.start);
}

// Runs on a thread of the shadow pool.
void Run(std::unique_ptr<ShadowRun> run) {
  run->start = run->clock.Now();
  if (run->start >= run->request.deadline)
    return Finish(*run, absl::DeadlineExceededError("waited too long for a thread"));
  // Keeps the model until Model::Run has returned: the answer may come earlier, and destroys `run`.
  const core::Handle target = run->target.Share();
  Model& model = Served(target).model();
  if (const Status status = CheckRequest(model.info(), run->request); !status.ok())
    return Finish(*run, status);
  ShadowRun* const raw = run.release();
  model.Run(raw->request, [raw](InferResponse&& part) {
    if (!part.is_last) return;
    Finish(*raw, part.status);
    part.outputs.clear();  // their names point into the request and the model
    delete raw;
  });
}

// Counts one more copy in flight. Returns false if the shadow already has the most that it may
// have.
bool TakePlace(Experiment::Shadow& shadow, int in_flight_max) {
  if (shadow.in_flight.fetch_add(1, std::memory_order_relaxed) < in_flight_max) return true;
  shadow.in_flight.fetch_sub(1, std::memory_order_relaxed);
  return false;
}

core::Handle ShareIfAny(const core::Handle& handle) {
  return handle ? handle.Share() : core::Handle();
}

}  // namespace

StatusOr<core::Handle> Trial::Choose(core::Manager& manager, uint64_t place, const Clock& clock) {
  const std::vector<ArmOptions>& arms = experiment->options().arms;
  const ArmOrder order = OrderArms(arms, place);
  for (const uint32_t position : order) {
    StatusOr<core::Handle> handle = FindTarget(manager, arms[position].target, clock);
    if (!handle.ok()) continue;
    arm = position;
    if (position != order[0]) experiment->arm(order[0]).fallbacks.Add();
    return handle;
  }
  if (!order.empty()) experiment->arm(order[0]).fallbacks.Add();
  return manager.GetHandle(experiment->model());
}

uint64_t PlaceOf(std::string_view model, const Tensor& input) {
  if (input.element_count() == 0) return RandomPlace();
  if (input.dtype() == DType::kString) return PlaceOf(model, input.strings()[0].view());
  const size_t bytes = input.bytes() / static_cast<size_t>(input.element_count());
  return PlaceOf(model, std::string_view(reinterpret_cast<const char*>(input.data()), bytes));
}

ResponseCallback MeasureArm(const Trial& trial, ResponseCallback done, const Clock& clock) {
  if (!trial.arm) return done;
  return [experiment = trial.experiment, arm = *trial.arm, start = clock.Now(), &clock,
          done = std::move(done)](InferResponse&& part) mutable {
    if (part.is_last) experiment->arm(arm).outcomes.Record(part.status.code(), clock.Now() - start);
    done(std::move(part));
  };
}

void StartShadows(const Trial& trial, const InferRequest& request, const core::Handle& main,
                  core::Manager& manager, const Experiments& experiments, const Clock& clock) {
  const std::vector<ShadowOptions>& all = trial.experiment->options().shadows;
  for (size_t i = 0; i < all.size(); ++i) {
    if (!IsAmong(all[i].fraction, RandomPlace())) continue;
    Experiment::Shadow& shadow = trial.experiment->shadow(i);
    StatusOr<core::Handle> target = FindTarget(manager, all[i].target, clock);
    if (!target.ok()) {
      shadow.not_ready.Add();
      continue;
    }
    if (!TakePlace(shadow, all[i].in_flight_max)) {
      shadow.busy.Add();
      continue;
    }
    auto run = std::unique_ptr<ShadowRun>(new ShadowRun{trial.experiment, shadow, main.Share(),
                                                        ShareIfAny(trial.described_by),
                                                        *std::move(target), request, clock});
    run->request.cancel = nullptr;  // if the client disconnects, only the main request is cancelled
    if (!experiments.SubmitShadow([run = std::move(run)]() mutable { Run(std::move(run)); }))
      shadow.busy.Add();
  }
}

}  // namespace penstock
