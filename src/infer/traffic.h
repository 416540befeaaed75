// SPDX-License-Identifier: Apache-2.0
// How the traffic of a model is split and copied. The engine asks these interfaces at fixed points
// of a request; infer/experiments implements them.
#pragma once

#include <atomic>
#include <memory>
#include <string_view>

#include "base/clock.h"
#include "base/status.h"
#include "core/handle.h"
#include "core/manager.h"
#include "infer/request.h"

namespace penstock {

// The assignment of one request to an arm of its model's experiment. One thread at a time.
class Assignment {
 public:
  virtual ~Assignment() = default;

  // Chooses the arm by an input, if the experiment has a sticky input. Call it once, after the
  // request has been decoded. If the version changes, the assignment keeps the former `handle`, so
  // that names from the signature by which the request was decoded stay valid.
  virtual void DecideByInput(const InferRequest& request, core::Handle& handle) = 0;
  // The name of the arm. Empty if there is no split, or no arm is ready.
  virtual std::string_view arm() const = 0;
  // Wraps `done` so that the outcome of `request` is recorded for the arm before the last part.
  virtual ResponseCallback Measure(const InferRequest& request, ResponseCallback done) const = 0;
  // Gives copies of the request to the shadows that select it, and returns at once. The copies
  // share the tensors, and keep `main` loaded. Returns `done`, wrapped so that copies that answer
  // in parts end with the request.
  virtual ResponseCallback StartShadows(const InferRequest& request, const core::Handle& main,
                                        ResponseCallback done) const = 0;
};

// Assigns the requests of all models. Thread-safe.
class Traffic {
 public:
  virtual ~Traffic() = default;

  // True if any model has an experiment. If none has, this load is the only cost for a request.
  bool any() const { return any_.load(std::memory_order_relaxed); }

  // Assigns a request that selects neither a version nor a label, and sets `handle` to the version
  // that gets it, or to the reason why none can. Returns null, and leaves `handle` alone, if the
  // model has no experiment. `manager` and `clock` must outlive the assignment.
  virtual std::unique_ptr<Assignment> Assign(std::string_view model, const RequestHeaders& headers,
                                             core::Manager& manager, const Clock& clock,
                                             StatusOr<core::Handle>& handle) const = 0;

 protected:
  void set_any(bool any) { any_.store(any, std::memory_order_relaxed); }

 private:
  std::atomic<bool> any_{false};
};

}  // namespace penstock
