// SPDX-License-Identifier: Apache-2.0
// One request for whole sequences while its steps run.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "base/mutex.h"
#include "base/request_memory.h"
#include "base/status.h"
#include "cells/cell_plan.h"
#include "cells/step_order.h"
#include "infer/request.h"
#include "tensor/tensor.h"

namespace penstock::cells {

class SequenceRequest;

// Where the state of a sequence is: a row of the answer to its last step.
struct StateRow {
  Tensor tensor;
  int64_t row = 0;
};

// One sequence: a row of a request. One thread at a time.
struct Sequence final : WaitingStep {
  SequenceRequest* request = nullptr;
  int64_t row = 0;
  int64_t steps_done = 0;
  absl::InlinedVector<StateRow, 2> states;  // in the order of CellPlan::states
};

// Has the inputs of a request, and the answer as it grows. Its sequences may be in several runs at
// a time; each writes to its own rows. Thread-safe, but only one thread at a time may use one
// sequence.
class SequenceRequest final {
 public:
  // `plan` and `request` must outlive it.
  SequenceRequest(const CellPlan& plan, const InferRequest& request, RequestMemory memory,
                  ResponseCallback done)
      : plan_(plan), request_(request), memory_(std::move(memory)), done_(std::move(done)) {}

  // Reads the inputs, which have been checked against the signature, and makes the sequences.
  // Errors: INVALID_ARGUMENT, RESOURCE_EXHAUSTED.
  Status Begin(int64_t steps_max);
  // Those that have at least one step. Fixed after Begin.
  std::span<Sequence> sequences() { return sequences_; }

  const InferRequest& request() const { return request_; }
  // The tensor of an input of the cell. Null: the request has none.
  const Tensor* input(size_t place) const { return inputs_[place]; }

  // Writes row `from` of the outputs of a step, in the order of the plan, to the places of the
  // sequence. Returns true if the sequence has ended. Errors: INTERNAL, if the outputs have another
  // shape than those of former steps; RESOURCE_EXHAUSTED.
  StatusOr<bool> TakeStep(Sequence& sequence, std::span<const Tensor> outputs, int64_t from)
      EXCLUDES(mutex_);
  // Marks the request as failed; the first reason counts.
  void Fail(Status why) EXCLUDES(mutex_);
  bool has_failed() const { return has_failed_.load(std::memory_order_acquire); }
  // A sequence makes no further step. Returns true for the last one: then call Answer.
  [[nodiscard]] bool EndSequence() { return open_.fetch_sub(1, std::memory_order_acq_rel) == 1; }
  // Gives the answer, or the error, and destroys the request before. That call may destroy the
  // model.
  static void Answer(std::unique_ptr<SequenceRequest> request);

 private:
  Status FindInputs(int64_t steps_max);
  Status ReadLengths(int64_t steps_max);
  // The state with which a row starts.
  StateRow StartOf(size_t state, int64_t row) const;
  // Makes room for the outputs of all rows and steps. `row_shapes` are those of one row in one
  // step.
  Status Allocate(std::span<const Shape> row_shapes) REQUIRES(mutex_);
  Status HaveRoomFor(std::span<const Tensor> outputs) EXCLUDES(mutex_);
  // Fills the places of the steps that a row does not make, and those of its last states.
  void EndRow(int64_t row, int64_t steps_done, std::span<const StateRow> states);
  std::byte* PlaceOf(size_t output, int64_t row, int64_t step);
  NamedTensors TakeOutputs();

  const CellPlan& plan_;
  const InferRequest& request_;
  RequestMemory memory_ GUARDED_BY(mutex_);
  ResponseCallback done_;

  std::vector<const Tensor*> inputs_;  // in the order of CellPlan::inputs
  int64_t rows_ = 0;
  int64_t steps_ = 0;             // the size of the dimension of steps
  std::vector<int64_t> lengths_;  // one for each row
  RowShapes shapes_;              // only if CellPlan::rows_differ
  std::vector<Sequence> sequences_;
  std::atomic<int64_t> open_{0};

  Mutex mutex_;
  std::atomic<bool> has_failed_{false};
  Status failure_ GUARDED_BY(mutex_);
  std::atomic<bool> has_outputs_{false};
  // Set once, before has_outputs_; then each sequence writes to its own rows.
  std::vector<Tensor> outputs_;    // in the order of CellPlan::outputs; none for the stop
  std::vector<Shape> row_shapes_;  // of one row in one step
  std::vector<size_t> row_bytes_;  // the same
  Tensor counts_;                  // the steps that each row made; only with a stop
};

}  // namespace penstock::cells
