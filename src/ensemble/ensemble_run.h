// SPDX-License-Identifier: Apache-2.0
// One request of an ensemble.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "ensemble/plan.h"
#include "infer/engine.h"
#include "infer/request.h"

namespace penstock::ensemble {

// Runs the steps of one request, each as soon as its inputs are there. Holds no thread and no slot
// while steps wait or run. Deletes itself with the answer. Steps may end on any threads at the same
// time; the top of ensemble_run.cc says how they share it.
class EnsembleRun final {
 public:
  // What a run needs of its ensemble, which lives until `done` is called, and until Start has
  // returned.
  struct Ensemble {
    const Plan& plan;
    Engine& engine;
    // Cheap steps run on the thread of Start until they have held it for this time.
    Duration inline_time_max;
    // How long each step has lately held that thread, in ns. Steps that could run beside others do
    // not run there if they take long.
    std::span<std::atomic<uint32_t>> inline_ns;
  };
  using Versions = absl::InlinedVector<ModelHandle, 3>;

  // `versions` are in the order of Plan::models. `request` lives until `done` is called.
  static void Start(const Ensemble& ensemble, Versions versions, const InferRequest& request,
                    ResponseCallback done);

 private:
  class Driver;

  // A step of this run.
  struct StepRun {
    EnsembleRun* run = nullptr;
    const PlanStep* plan = nullptr;
    std::atomic<uint32_t> needs{0};  // the steps that it still waits for
    InferRequest request;
    StageTimes times;
    std::vector<StepTimes> inner;  // of the steps of an ensemble, if the request is traced
    CancelToken cancel;            // of a run with several steps
    bool has_parts = false;        // the model has given a part that is not the last one
    bool is_needed = true;         // for an output that the request wants
  };

  EnsembleRun(const Ensemble& ensemble, Versions versions, const InferRequest& request,
              ResponseCallback&& done)
      : ensemble_(ensemble),
        request_(request),
        done_(std::move(done)),
        versions_(std::move(versions)) {}

  const Plan& plan() const { return ensemble_.plan; }
  bool has_several_steps() const { return plan().steps.size() > 1; }
  // True if the request wants this output of the ensemble.
  bool IsWanted(std::string_view output) const;
  void Prepare();
  // Finds out which steps are needed for the outputs that the request wants.
  void FindNeeded();
  // Starts the steps that wait for nothing.
  void StartFirst();
  void StartStep(StepRun& step, bool may_run_inline);
  void OnPart(StepRun& step, InferResponse&& part);
  Status TakeOutputs(const StepRun& step, NamedTensors& outputs);
  // Starts the steps that have waited only for this one.
  void StartNext(const StepRun& step);
  void Fail(const StepRun& step, Status status);
  void CancelSteps(CancelReason reason);
  // The client wants no answer any more.
  void OnCancel();
  // Something that used this object has ended. The last one answers: then the object is gone.
  void Leave();
  // Counts the runs of the steps for their models, and notes them for the call.
  void Record();
  void Answer();
  Status NameStep(const StepRun& step, const Status& status) const;

  const Ensemble ensemble_;
  const InferRequest& request_;
  ResponseCallback done_;
  Versions versions_;
  std::vector<Tensor> tensors_;
  std::unique_ptr<StepRun[]> steps_;
  // The steps that run, and what else uses this object.
  std::atomic<uint32_t> users_{1};
  std::atomic<bool> has_failed_{false};
  Status failure_;  // written once, by the one that sets has_failed_
};

}  // namespace penstock::ensemble
