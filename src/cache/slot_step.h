// SPDX-License-Identifier: Apache-2.0
// A request that must go on in a slot of its model, to hash or to read from disk.
#pragma once

#include "absl/functional/any_invocable.h"
#include "base/status.h"
#include "infer/engine.h"
#include "schedule/job.h"

namespace penstock::cache {

// Waits in the queue of the model, as a request that is not decoded yet does: a batch may take it
// along, and it then joins what runs if it fits. Deletes itself. One thread at a time.
class SlotStep final : public schedule::Job {
 public:
  // Gets the lease, which is valid until it returns, or the reason why there is none.
  using Next = absl::AnyInvocable<void(StatusOr<schedule::Lease*>)>;

  // May call `next` before it returns. `next` keeps the version loaded; `request` lives until
  // `next` answers it.
  static void Enter(Engine& engine, const ModelHandle& handle, const InferRequest& request,
                    Next next);

  void Start(schedule::Lease& lease) override;
  void Drop() override;

 private:
  SlotStep(Engine& engine, schedule::ModelQueue& queue, const InferRequest& request, Next&& next)
      : engine_(engine), queue_(queue), request_(request), next_(std::move(next)) {}
  void NoteWait(SteadyTime now) const;

  Engine& engine_;
  schedule::ModelQueue& queue_;
  const InferRequest& request_;
  Next next_;
  SteadyTime queued_;
};

}  // namespace penstock::cache
