// SPDX-License-Identifier: Apache-2.0
#include "cache/slot_step.h"

#include <memory>
#include <tuple>
#include <utility>

#include "infer/batcher.h"

namespace penstock::cache {

using schedule::Admission;

void SlotStep::Enter(Engine& engine, const ModelHandle& handle, const InferRequest& request,
                     Next next) {
  schedule::ModelQueue& queue = engine.QueueOf(handle);
  std::unique_ptr<SlotStep> step(new SlotStep(engine, queue, request, std::move(next)));
  step->queued_ = engine.clock().Now();
  step->deadline = request.deadline.time_since_epoch().count();
  step->bytes = request.message_bytes;
  step->group = &kUndecoded;
  step->entered = step->queued_.time_since_epoch().count();
  step->rows = 1;  // at least
  const Admission admission = queue.Enter(*step, request.cancel);
  if (admission == Admission::kAccepted) {
    std::ignore = step.release();  // it owns itself, and may be gone already
    return;
  }
  step->next_(engine.ErrorOf(queue, admission, request.cancel, request.deadline));
}

void SlotStep::NoteWait(SteadyTime now) const {
  if (request_.times != nullptr) request_.times->queued += now - queued_;
}

void SlotStep::Start(schedule::Lease& lease) {
  const std::unique_ptr<SlotStep> own(this);
  NoteWait(lease.start());
  if (is_late) [[unlikely]]
    return next_(
        engine_.ErrorOf(queue_, Admission::kWaitedTooLong, request_.cancel, request_.deadline));
  const Status wanted = engine_.CheckStillWanted(request_.cancel, request_.deadline, lease.start());
  if (!wanted.ok()) return next_(wanted);
  next_(&lease);
}

void SlotStep::Drop() {
  const std::unique_ptr<SlotStep> own(this);
  const SteadyTime now = engine_.clock().Now();
  NoteWait(now);
  next_(engine_.CheckStillWanted(request_.cancel, request_.deadline, now));
}

}  // namespace penstock::cache
