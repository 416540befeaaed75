// SPDX-License-Identifier: Apache-2.0
#include "infer/trial.h"

#include <memory>
#include <utility>

#include "infer/served_model.h"
#include "infer/traffic_split.h"

namespace penstock {
namespace {

// A model that is loaded on demand and is not there begins to load: nobody waits for it here.
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

// A copy of a request on its way through a shadow. One thread at a time.
struct ShadowRun {
  ~ShadowRun() { shadow.in_flight.fetch_sub(1, std::memory_order_relaxed); }

  const ExperimentRef experiment;
  Experiment::Shadow& shadow;
  const core::Handle main;          // names in the request may be those of its signature
  const core::Handle described_by;  // or of this one's
  const core::Handle target;
  InferRequest request;
  const Clock& clock;
  SteadyTime start = {};
};

void Finish(const ShadowRun& run, const Status& status) {
  run.shadow.outcomes.Record(status.code(), run.clock.Now() - run.start);
}

// On a thread of the shadows.
void Run(std::unique_ptr<ShadowRun> run) {
  run->start = run->clock.Now();
  if (run->start >= run->request.deadline)
    return Finish(*run, absl::DeadlineExceededError("waited too long for a thread"));
  // Until Model::Run has returned, whenever it answers.
  const core::Handle target = run->target.Share();
  Model& model = Served(target).model();
  if (const Status status = CheckRequest(model.info(), run->request); !status.ok())
    return Finish(*run, status);
  ShadowRun* const raw = run.release();
  model.Run(raw->request, [raw](InferResponse&& part) {
    if (!part.is_last) return;
    Finish(*raw, part.status);
    part.outputs.clear();  // their names are the request's and the model's
    delete raw;
  });
}

// Takes one of the shadow's places in flight.
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
    run->request.cancel = nullptr;  // the client's leaving is the main request's business
    if (!experiments.SubmitShadow([run = std::move(run)]() mutable { Run(std::move(run)); }))
      shadow.busy.Add();
  }
}

}  // namespace penstock
