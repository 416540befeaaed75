// SPDX-License-Identifier: Apache-2.0
// Presents a backend's model as a penstock::Model. Tensors pass in both directions without a copy.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "backends/host/abi.h"
#include "backends/host/deadline_watch.h"
#include "backends/host/run_queue.h"
#include "base/mutex.h"
#include "infer/model.h"
#include "penstock/backend.h"

namespace penstock {

// One loaded model of a backend. Thread-safe. Destroy it after its last run has given its last
// part. The backend and `watch` outlive it.
class HostedModel final : public Model {
 public:
  // `model` is the result of the backend's `load`; this object unloads it. The destructor calls
  // `on_unload` first.
  HostedModel(const PenstockBackend& backend, void* model, abi::Description description,
              DeadlineWatch& watch, absl::AnyInvocable<void()> on_unload);
  ~HostedModel() override;

  const ModelInfo& info() const override { return description_.info; }
  // If the backend limits its runs, and RunQueue::kWaitingMax wait already, the run gets
  // UNAVAILABLE.
  void Run(const InferRequest& request, ResponseCallback done) override;

  void SetBrokenCallback(core::BrokenCallback callback) override EXCLUDES(mutex_);

  // Makes every later run answer UNAVAILABLE with `reason`, and notifies the manager. Further calls
  // do nothing.
  void MarkBroken(std::string_view reason) EXCLUDES(mutex_);
  const void* model() const { return model_; }
  // The name of the model, for log lines of its backend. Call it before the first run.
  void set_name(std::string name) { name_ = std::move(name); }

 private:
  // Returns the reason why a run cannot start at all, or OK.
  Status CheckStart(const InferRequest& request) const EXCLUDES(mutex_);
  Status NotBroken() const EXCLUDES(mutex_);
  // Passes the run to the backend, which must then give the last part. Drops one reference of
  // `run`.
  void Start(HostedRun* run) noexcept;

  const PenstockBackend& backend_;
  void* const model_;
  const abi::Description description_;
  std::string name_;
  DeadlineWatch& watch_;
  absl::AnyInvocable<void()> on_unload_;
  RunQueue queue_;
  std::atomic<bool> broken_{false};
  mutable Mutex mutex_;
  Status broken_reason_ GUARDED_BY(mutex_);
  core::BrokenCallback broken_callback_ GUARDED_BY(mutex_);
};

}  // namespace penstock
