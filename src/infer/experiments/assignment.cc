// SPDX-License-Identifier: Apache-2.0
// The engine calls an assignment in this order: DecideByHeader when it searches the model,
// DecideByInput when the request is decoded, Measure and StartShadows when it runs. A later step
// does nothing if the experiment does not need it.
#include "infer/experiments/assignment.h"

#include <memory>
#include <utility>

#include "infer/experiments/traffic_split.h"
#include "infer/served_model.h"
#include "infer/start_run.h"

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
    // The deadline has passed already, so nobody waits. The load itself goes on, and later requests
    // find the arm ready.
    manager.LoadOnDemand({.model = target.model,
                          .version = target.version,
                          .label = target.label,
                          .deadline = clock.Now(),
                          .done = [](const Status&) {}});
  return handle;
}

// A copy of a request for a shadow. One thread at a time.
struct ShadowRun {
  ~ShadowRun() {
    pool.copies().Remove(this);
    shadow.in_flight.fetch_sub(1, std::memory_order_relaxed);
  }

  // Called for each part but the last. Nobody receives the parts, so a copy that never ends by
  // itself would run until its deadline. It gets as many parts as its request got.
  void OnPart() {
    ++parts;
    control->gives_parts = true;
    if (!main_parts->has_ended || parts < main_parts->parts) return;
    has_enough = true;
    // The model gives a part on this thread, so the callback must run on another one. If the pool
    // has no place, the next part tries again.
    callback_is_due |= control->cancel.Mark();
    if (callback_is_due && pool.Submit([control = control] { control->cancel.RunCallback(); }))
      callback_is_due = false;
  }

  const ExperimentRef experiment;
  Experiment::Shadow& shadow;
  const core::Handle main;          // keeps the names in the request alive, which may be those of
  const core::Handle described_by;  // its signature or of this one's
  const core::Handle target;
  InferRequest request;
  const Clock& clock;
  const ShadowPool& pool;
  const PartCountRef main_parts;
  const std::shared_ptr<CopyControl> control = std::make_shared<CopyControl>();
  SteadyTime start = {};
  int64_t parts = 0;
  bool has_enough = false;
  bool callback_is_due = false;
};

void Finish(const ShadowRun& run, const Status& status) {
  const StatusCode code = run.has_enough ? StatusCode::kOk : status.code();
  run.shadow.outcomes.Record(code, run.clock.Now() - run.start);
}

// Runs on a thread of the shadow pool.
void Run(std::unique_ptr<ShadowRun> run) {
  run->start = run->clock.Now();
  if (run->start >= run->request.deadline)
    return Finish(*run, absl::DeadlineExceededError("waited too long for a thread"));
  if (run->control->cancel.IsCancelled())
    return Finish(*run, absl::CancelledError("the server stops"));
  // Keeps the model until Model::Run has returned: the answer may come earlier, and destroys `run`.
  const core::Handle target = run->target.Share();
  Model& model = Served(target).model();
  if (const Status status = CheckRequest(model.info(), run->request); !status.ok())
    return Finish(*run, status);
  ShadowRun* const raw = run.release();
  StartRun(model, raw->request, [raw](InferResponse&& part) {
    if (!part.is_last) return raw->OnPart();
    Finish(*raw, part.status);
    part.outputs.clear();  // their names point into the request and the model
    delete raw;
  });
}

// Counts one more copy in flight. Returns false if the shadow already has the most that it may
// have.
bool BeginCopy(Experiment::Shadow& shadow, int in_flight_max) {
  // Add first and test then. Two threads that test first could both take the last place. Relaxed is
  // enough for a limit.
  if (shadow.in_flight.fetch_add(1, std::memory_order_relaxed) < in_flight_max) return true;
  shadow.in_flight.fetch_sub(1, std::memory_order_relaxed);
  return false;
}

core::Handle ShareIfAny(const core::Handle& handle) {
  return handle ? handle.Share() : core::Handle();
}

}  // namespace

StatusOr<core::Handle> ExperimentAssignment::DecideByHeader(const RequestHeaders& headers) {
  const ExperimentOptions& options = experiment_->options();
  // A sticky input is known only after decoding, and decoding needs a signature. So the request
  // gets the version that it would get without a split, for now.
  is_undecided_ = !options.sticky_input.empty();
  if (options.arms.empty() || is_undecided_) return manager_.GetHandle(experiment_->model());
  const std::string_view key =
      options.sticky_header.empty() ? std::string_view() : headers.Header(options.sticky_header);
  return Choose(key.empty() ? RandomPosition() : PositionOf(experiment_->model(), key));
}

StatusOr<core::Handle> ExperimentAssignment::Choose(uint64_t position) {
  const std::vector<ArmOptions>& arms = experiment_->options().arms;
  const ArmOrder order = OrderArms(arms, position);
  for (const uint32_t arm : order) {
    StatusOr<core::Handle> handle = FindTarget(manager_, arms[arm].target, clock_);
    if (!handle.ok()) continue;
    arm_ = arm;
    // The arm that lost the request counts it. Its owner wants to see that it was not ready.
    if (arm != order[0]) experiment_->arm(order[0]).fallbacks.Add();
    return handle;
  }
  if (!order.empty()) experiment_->arm(order[0]).fallbacks.Add();
  return manager_.GetHandle(experiment_->model());
}

void ExperimentAssignment::DecideByInput(const InferRequest& request, core::Handle& handle) {
  if (!std::exchange(is_undecided_, false)) return;
  uint64_t position = RandomPosition();
  for (const NamedTensor& input : request.inputs) {
    if (input.name == experiment_->options().sticky_input)
      position = PositionOf(experiment_->model(), input.tensor);
  }
  StatusOr<core::Handle> chosen = Choose(position);
  if (!chosen.ok()) return;  // `handle` keeps the version that it got without a split
  // The names of the inputs point into the signature of the former version, so that one must stay
  // loaded.
  described_by_ = std::exchange(handle, *std::move(chosen));
}

std::string_view ExperimentAssignment::arm() const {
  return arm_ ? std::string_view(experiment_->options().arms[*arm_].name) : std::string_view();
}

ResponseCallback ExperimentAssignment::Measure(const InferRequest& request,
                                               ResponseCallback done) const {
  // Without an arm there is nothing to count, and the wrapper would cost an allocation.
  if (!arm_) return done;
  return [experiment = experiment_, arm = *arm_, start = clock_.Now(), &clock = clock_,
          cancel = request.cancel, done = std::move(done)](InferResponse&& part) mutable {
    if (part.is_last) {
      experiment->arm(arm).outcomes.Record(OutcomeOf(part.status.code(), cancel),
                                           clock.Now() - start);
    }
    done(std::move(part));
  };
}

ResponseCallback ExperimentAssignment::StartShadows(const InferRequest& request,
                                                    const core::Handle& main,
                                                    ResponseCallback done) const {
  const std::vector<ShadowOptions>& all = experiment_->options().shadows;
  PartCountRef parts;
  for (size_t i = 0; i < all.size(); ++i) {
    if (!IsAmong(all[i].fraction, RandomPosition())) continue;
    if (parts == nullptr) parts = std::make_shared<PartCount>();
    StartShadow(i, request, main, parts);
  }
  if (parts == nullptr) return done;
  return [parts, done = std::move(done)](InferResponse&& part) mutable {
    if (part.is_last) {
      parts->has_ended = true;
    } else {
      ++parts->parts;
    }
    done(std::move(part));
  };
}

void ExperimentAssignment::StartShadow(size_t number, const InferRequest& request,
                                       const core::Handle& main,
                                       const PartCountRef& main_parts) const {
  const ShadowOptions& options = experiment_->options().shadows[number];
  Experiment::Shadow& shadow = experiment_->shadow(number);
  StatusOr<core::Handle> target = FindTarget(manager_, options.target, clock_);
  // A shadow never delays or fails the main request. What cannot run now is dropped, and counted.
  if (!target.ok()) return shadow.not_ready.Add();
  if (!BeginCopy(shadow, options.in_flight_max)) return shadow.busy.Add();
  // The copy of the request shares the buffers of its tensors.
  auto run = std::unique_ptr<ShadowRun>(new ShadowRun{experiment_, shadow, main.Share(),
                                                      ShareIfAny(described_by_), *std::move(target),
                                                      request, clock_, shadow_pool_, main_parts});
  // If the client disconnects, only the main request is cancelled.
  run->request.cancel = &run->control->cancel;
  run->request.flow = nullptr;  // nobody receives the parts of a copy
  shadow_pool_.copies().Add(run.get(), {run->control, &run->main.id(), &run->target.id()});
  if (!shadow_pool_.Submit([run = std::move(run)]() mutable { Run(std::move(run)); }))
    shadow.busy.Add();
}

uint64_t PositionOf(std::string_view model, const Tensor& input) {
  if (input.element_count() == 0) return RandomPosition();
  if (input.dtype() == DType::kString) return PositionOf(model, input.strings()[0].view());
  const size_t bytes = input.bytes() / static_cast<size_t>(input.element_count());
  return PositionOf(model, std::string_view(reinterpret_cast<const char*>(input.data()), bytes));
}

}  // namespace penstock
