// SPDX-License-Identifier: Apache-2.0
#include "infer/run_and_wait.h"

#include <optional>
#include <utility>

#include "base/mutex.h"
#include "infer/start_run.h"

namespace penstock {
namespace {

// The status with which a run ends. Thread-safe.
class Outcome final {
 public:
  void Set(Status status) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    status_ = std::move(status);
    // Keep the lock here: the thread that waits may destroy this object as soon as it gets the
    // lock.
    changed_.NotifyAll();
  }
  Status Wait() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    while (!status_) changed_.Wait(mutex_);
    return *std::move(status_);
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::optional<Status> status_ GUARDED_BY(mutex_);
};

}  // namespace

Status RunAndWait(Model& model, const InferRequest& request) {
  TRY(CheckRequest(model.info(), request));
  Outcome outcome;
  StartRun(model, request, [&outcome](InferResponse&& part) {
    if (part.is_last) outcome.Set(std::move(part.status));
  });
  return outcome.Wait();
}

StatusOr<NamedTensors> RunForOutputs(Model& model, const InferRequest& request) {
  TRY(CheckRequest(model.info(), request));
  Outcome outcome;
  NamedTensors outputs;
  bool has_parts = false;
  StartRun(model, request, [&](InferResponse&& part) {
    has_parts |= !part.is_last;
    if (!part.is_last) return;
    outputs = std::move(part.outputs);
    outcome.Set(std::move(part.status));
  });
  TRY(outcome.Wait());
  if (has_parts) return absl::UnimplementedError("the model answers in several parts");
  return outputs;
}

}  // namespace penstock
