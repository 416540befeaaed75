// SPDX-License-Identifier: Apache-2.0
#include "cells/cell_model.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "cells/sequence_request.h"
#include "cells/step_order.h"
#include "schedule/drain_meter.h"

namespace penstock::cells {
namespace {

constexpr double kRowBounds[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024};

MetricLabels Labels(const core::ServableId& id) {
  return {{"model_name", id.name}, {"model_version", std::to_string(id.version.value)}};
}

// The states of several sequences as one tensor: as it is, if they are rows of one answer in their
// order; else copied.
StatusOr<Tensor> JoinStates(std::span<WaitingStep* const> members, size_t state,
                            RequestMemory& memory) {
  const auto of = [state](const WaitingStep* step) -> const StateRow& {
    return static_cast<const Sequence*>(step)->states[state];
  };
  const StateRow& first = of(members.front());
  const auto count = static_cast<int64_t>(members.size());
  bool is_run = first.row + count <= first.tensor.shape().dim(0);
  for (int64_t i = 1; is_run && i < count; ++i) {
    const StateRow& other = of(members[static_cast<size_t>(i)]);
    is_run = other.tensor.data() == first.tensor.data() && other.row == first.row + i;
  }
  if (is_run) return first.tensor.Rows(first.row, count);
  Shape shape = first.tensor.shape();
  shape.SetDim(0, count);
  ASSIGN_OR_RETURN(Tensor joined, Tensor::Allocate(first.tensor.dtype(), std::move(shape), memory));
  const size_t row_bytes = joined.bytes() / members.size();
  std::byte* to = joined.mutable_data();
  for (const WaitingStep* member : members) {
    const StateRow& from = of(member);
    std::memcpy(to, from.tensor.data() + static_cast<size_t>(from.row) * row_bytes, row_bytes);
    to += row_bytes;
  }
  return joined;
}

// The rows of an input that the requests gave: that of the step, or the one of the whole sequence.
StatusOr<Tensor> JoinRows(std::span<WaitingStep* const> members, size_t input, bool is_step,
                          RequestMemory& memory) {
  const auto& first = *static_cast<const Sequence*>(members.front());
  const Tensor& like = *first.request->input(input);
  Shape shape{static_cast<int64_t>(members.size())};
  for (const int64_t dim : like.shape().dims().subspan(is_step ? 2 : 1)) shape.Append(dim);
  ASSIGN_OR_RETURN(Tensor joined, Tensor::Allocate(like.dtype(), std::move(shape), memory));
  const size_t row_bytes = joined.bytes() / members.size();
  std::byte* to = joined.mutable_data();
  for (const WaitingStep* member : members) {
    const auto& sequence = *static_cast<const Sequence*>(member);
    const Tensor& from = *sequence.request->input(input);
    const int64_t steps = is_step ? from.shape().dim(1) : 1;
    const int64_t place = sequence.row * steps + (is_step ? sequence.steps_done : 0);
    if (row_bytes > 0)
      std::memcpy(to, from.data() + static_cast<size_t>(place) * row_bytes, row_bytes);
    to += row_bytes;
  }
  return joined;
}

// Why nobody waits for a request any more. OK: somebody does.
Status WhyNotWanted(const InferRequest& request, SteadyTime now) {
  if (request.cancel != nullptr && request.cancel->IsCancelled())
    return Status(OutcomeOf(StatusCode::kCancelled, request.cancel), "the request was cancelled");
  if (request.deadline <= now)
    return Error(StatusCode::kDeadlineExceeded,
                 "the deadline passed before the last step of the sequences");
  return OkStatus();
}

using Ended = std::vector<std::unique_ptr<SequenceRequest>>;  // all their sequences have ended

void AnswerAll(Ended& ended) {
  for (auto& request : ended) SequenceRequest::Answer(std::move(request));
  ended.clear();
}

}  // namespace

// Some sequences whose steps run together, until the answer has been taken.
struct StepRun {
  std::vector<WaitingStep*> members;
  InferRequest request;
  StageTimes times;  // nobody reads them
  SteadyTime start;
  InferResponse answer;
  bool has_parts = false;

  // Called once by the thread that has started the run and once by the one that has the answer.
  // True for the second call, whose thread goes on. So a cell that answers before it returns does
  // not make the stack grow with each step.
  bool Meet() { return met_.exchange(true, std::memory_order_acq_rel); }

 private:
  std::atomic<bool> met_{false};
};

// The sequences under way. Uses the cell and the metrics only while it has some: each keeps its
// version loaded. Thread-safe.
class CellModel::Steps final : public std::enable_shared_from_this<Steps> {
 public:
  Steps(Model& cell, CellPlan plan, CellModelOptions options, MetricSeries& series)
      : plan_(std::move(plan)),
        cell_(cell),
        options_(std::move(options)),
        rows_(series.AddHistogram("penstock_cell_step_rows", "Sequences whose steps ran together.",
                                  kRowBounds, Labels(options_.id))),
        in_flight_(series.AddGauge("penstock_cell_sequences",
                                   "Sequences that have begun and not ended.",
                                   Labels(options_.id))),
        retries_(series.AddCounter("penstock_cell_retried_steps_total",
                                   "Steps that ran again, alone, because a run with others failed.",
                                   Labels(options_.id))) {}

  const CellPlan& plan() const { return plan_; }

  void Begin(const InferRequest& request, ResponseCallback done) EXCLUDES(mutex_);

 private:
  // Counts the sequences of a request, and lets them wait for their first steps.
  Status Enter(std::span<Sequence> sequences) EXCLUDES(mutex_);
  // Begins one more run if there may be one. If the server has no room for it, and there is no
  // other run, all who wait fail.
  void Wake() EXCLUDES(mutex_);
  // Runs steps until a task, or the answer of the cell, goes on with it, or nobody waits.
  void RunSteps() EXCLUDES(mutex_);
  // Null: nobody waits, and the run has ended.
  std::shared_ptr<StepRun> PickRun() EXCLUDES(mutex_);
  void Start(const std::shared_ptr<StepRun>& run);
  Status Prepare(StepRun& run);
  // Takes the answer of the cell. Returns true if this thread need not go on.
  bool Finish(StepRun& run) EXCLUDES(mutex_);
  const Tensor& InputOf(const StepRun& run, uint32_t input) const;
  Status SortOutputs(const StepRun& run, std::vector<Tensor>& sorted) const;
  // These leave in `run` the sequences that go on.
  void EndUnwanted(StepRun& run, Ended& ended);
  void TakeOutputs(StepRun& run, const std::vector<Tensor>& outputs, Ended& ended);
  void TakeError(StepRun& run, const Status& status, Ended& ended);
  // The sequence makes no further step.
  void End(const WaitingStep* step, Ended& ended);
  // How long a sequence takes for a step now.
  Duration PaceNow() const REQUIRES(mutex_);

  const CellPlan plan_;
  Model& cell_;
  const CellModelOptions options_;
  Histogram& rows_;
  Gauge& in_flight_;
  Counter& retries_;
  std::atomic<int64_t> sequences_{0};  // under way

  Mutex mutex_;
  StepOrder order_ GUARDED_BY(mutex_);
  uint32_t runs_ GUARDED_BY(mutex_) = 0;   // under way, or about to begin
  double step_ns_ GUARDED_BY(mutex_) = 0;  // the mean time of a run
};

void CellModel::Steps::Begin(const InferRequest& request, ResponseCallback done) {
  auto owner = std::make_unique<SequenceRequest>(
      plan_, request, RequestMemory(options_.answer_bytes_max, &options_.request_budget),
      std::move(done));
  Status status = owner->Begin(options_.settings.steps_max);
  if (status.ok() && !owner->sequences().empty()) {
    status = Enter(owner->sequences());
    if (status.ok()) {
      owner.release();  // the last sequence that ends takes it back
      return Wake();
    }
  }
  if (!status.ok()) owner->Fail(std::move(status));
  SequenceRequest::Answer(std::move(owner));
}

Status CellModel::Steps::Enter(std::span<Sequence> sequences) {
  const auto count = static_cast<int64_t>(sequences.size());
  MutexLock lock(mutex_);
  const int64_t others = sequences_.load(std::memory_order_relaxed);
  if (count > options_.settings.sequences_max)
    return InvalidArgument("the request has {} sequences; at most {} are allowed (sequences_max)",
                           count, options_.settings.sequences_max);
  if (others + count > options_.settings.sequences_max)
    return Error(StatusCode::kUnavailable,
                 "{}: {} sequences are under way, and the request has {}; at most {} may be "
                 "(sequences_max). Try again later",
                 options_.id.ToString(), others, count, options_.settings.sequences_max);
  sequences_.fetch_add(count, std::memory_order_relaxed);
  in_flight_.Add(count);
  for (Sequence& sequence : sequences) order_.Add(sequence);
  return OkStatus();
}

void CellModel::Steps::Wake() {
  {
    MutexLock lock(mutex_);
    if (runs_ >= options_.settings.runs || order_.empty()) return;
    ++runs_;
  }
  if (options_.executor->Submit([self = shared_from_this()] { self->RunSteps(); })) return;
  std::vector<WaitingStep*> left;
  {
    MutexLock lock(mutex_);
    if (--runs_ == 0) left = order_.TakeAll();
  }
  Ended ended;
  for (const WaitingStep* step : left) {
    static_cast<const Sequence*>(step)->request->Fail(
        Error(StatusCode::kUnavailable, "the queue of the server is full; try again later"));
    End(step, ended);
  }
  AnswerAll(ended);
}

Duration CellModel::Steps::PaceNow() const {
  const int64_t rows = std::max<int64_t>(options_.settings.rows_max * options_.settings.runs, 1);
  const int64_t sequences = sequences_.load(std::memory_order_relaxed);
  const int64_t runs = std::max<int64_t>((sequences + rows - 1) / rows, 1);
  return std::chrono::nanoseconds(static_cast<int64_t>(step_ns_)) * runs;
}

void CellModel::Steps::RunSteps() {
  while (const std::shared_ptr<StepRun> run = PickRun()) {
    Start(run);
    if (!run->Meet() || Finish(*run)) return;
  }
}

std::shared_ptr<StepRun> CellModel::Steps::PickRun() {
  auto run = std::make_shared<StepRun>();
  Ended ended;
  do {
    AnswerAll(ended);
    {
      MutexLock lock(mutex_);
      run->start = options_.clock.Now();
      order_.Pick(static_cast<size_t>(options_.settings.rows_max), run->start, PaceNow(),
                  run->members);
      if (run->members.empty()) {
        --runs_;
        return nullptr;
      }
    }
    EndUnwanted(*run, ended);
  } while (run->members.empty());
  AnswerAll(ended);
  // Those who are left need not wait for this step, if there may be another run.
  Wake();
  return run;
}

void CellModel::Steps::EndUnwanted(StepRun& run, Ended& ended) {
  std::erase_if(run.members, [&](WaitingStep* step) {
    SequenceRequest& request = *static_cast<Sequence*>(step)->request;
    if (!request.has_failed()) {
      Status why = WhyNotWanted(request.request(), run.start);
      if (why.ok()) return false;
      request.Fail(std::move(why));
    }
    End(step, ended);
    return true;
  });
}

void CellModel::Steps::Start(const std::shared_ptr<StepRun>& run) {
  if (Status status = Prepare(*run); !status.ok()) {
    run->answer.status = std::move(status);
    run->Meet();
    return;
  }
  cell_.Run(run->request, [self = shared_from_this(), run](InferResponse&& part) {
    if (!part.is_last) {
      run->has_parts = true;
      return;
    }
    run->answer = std::move(part);
    if (run->Meet() && !self->Finish(*run)) self->RunSteps();
  });
}

Status CellModel::Steps::Prepare(StepRun& run) {
  RequestMemory memory(UINT64_MAX, &options_.request_budget);
  const auto& first = *static_cast<const Sequence*>(run.members.front());
  InferRequest& request = run.request;
  request.signature_name = plan_.signature->name;
  request.request_id = first.request->request().request_id;
  request.times = &run.times;
  for (size_t i = 0; i < plan_.inputs.size(); ++i) {
    const CellInput& input = plan_.inputs[i];
    if (input.role != InputRole::kState && first.request->input(i) == nullptr) continue;
    StatusOr<Tensor> tensor =
        input.role == InputRole::kState
            ? JoinStates(run.members, input.state, memory)
            : JoinRows(run.members, i, input.role == InputRole::kStep, memory);
    if (!tensor.ok()) return tensor.status();
    request.inputs.push_back({input.spec->name, *std::move(tensor)});
  }
  return OkStatus();
}

const Tensor& CellModel::Steps::InputOf(const StepRun& run, uint32_t input) const {
  const std::string& name = plan_.inputs[input].spec->name;
  return std::ranges::find(run.request.inputs, name, &NamedTensor::name)->tensor;
}

Status CellModel::Steps::SortOutputs(const StepRun& run, std::vector<Tensor>& sorted) const {
  if (!run.answer.status.ok()) return run.answer.status;
  if (run.has_parts)
    return Error(StatusCode::kInternal, "the cell has answered a step in several parts");
  const auto rows = static_cast<int64_t>(run.members.size());
  for (const CellOutput& output : plan_.outputs) {
    const auto found = std::ranges::find(run.answer.outputs, output.spec->name, &NamedTensor::name);
    if (found == run.answer.outputs.end())
      return Error(StatusCode::kInternal, "the cell has not answered with the output '{}'",
                   output.spec->name);
    const Tensor& tensor = found->tensor;
    const TensorSpec& spec = *output.spec;
    // A state must have the shape of the one before.
    const bool is_state = output.state >= 0;
    const uint32_t input = is_state ? plan_.states[static_cast<size_t>(output.state)].input : 0;
    Shape expected = is_state ? InputOf(run, input).shape() : spec.shape;
    bool fits =
        tensor.dtype() == spec.dtype && tensor.shape().rank() > 0 && tensor.shape().dim(0) == rows;
    if (is_state || !spec.unknown_rank) {
      expected.SetDim(0, rows);
      fits = fits && std::ranges::equal(
                         tensor.shape().dims(), expected.dims(),
                         [](int64_t is, int64_t wanted) { return wanted < 0 || is == wanted; });
    }
    if (!fits)
      return Error(
          StatusCode::kInternal,
          "the cell has answered {} rows with the output '{}' of the shape {}; expected {}", rows,
          spec.name, tensor.shape().ToString(), expected.ToString());
    sorted.push_back(tensor);
  }
  return OkStatus();
}

bool CellModel::Steps::Finish(StepRun& run) {
  std::vector<Tensor> outputs;
  Ended ended;
  if (const Status status = SortOutputs(run, outputs); status.ok()) {
    rows_.Record(static_cast<double>(run.members.size()));
    TakeOutputs(run, outputs, ended);
  } else {
    TakeError(run, status, ended);
  }
  bool goes_on = false;
  {
    MutexLock lock(mutex_);
    const std::chrono::duration<double, std::nano> time = options_.clock.Now() - run.start;
    schedule::UpdateAverage(step_ns_, time.count());
    for (WaitingStep* step : run.members) order_.Add(*step);
    goes_on = !order_.empty();
    if (!goes_on) --runs_;
  }
  // A task for each step, so that other models have their turns.
  const bool is_over =
      !goes_on || options_.executor->Submit([self = shared_from_this()] { self->RunSteps(); });
  AnswerAll(ended);
  return is_over;
}

void CellModel::Steps::TakeOutputs(StepRun& run, const std::vector<Tensor>& outputs, Ended& ended) {
  int64_t row = 0;
  std::erase_if(run.members, [&](WaitingStep* step) {
    auto& sequence = *static_cast<Sequence*>(step);
    sequence.alone = false;
    StatusOr<bool> has_ended = sequence.request->TakeStep(sequence, outputs, row++);
    if (!has_ended.ok()) sequence.request->Fail(has_ended.status());
    if (has_ended.ok() && !*has_ended) return false;
    End(step, ended);
    return true;
  });
}

void CellModel::Steps::TakeError(StepRun& run, const Status& status, Ended& ended) {
  if (run.members.size() > 1 && !plan_.info.traits.has_side_effects) {
    // One of them may be at fault, and the others must not fail with it.
    retries_.Add(run.members.size());
    for (WaitingStep* step : run.members) step->alone = true;
    return;
  }
  for (const WaitingStep* step : run.members) {
    static_cast<const Sequence*>(step)->request->Fail(status);
    End(step, ended);
  }
  run.members.clear();
}

void CellModel::Steps::End(const WaitingStep* step, Ended& ended) {
  sequences_.fetch_sub(1, std::memory_order_relaxed);
  in_flight_.Add(-1);
  SequenceRequest* const request = static_cast<const Sequence*>(step)->request;
  if (request->EndSequence()) ended.emplace_back(request);
}

Status CellModel::Check(const ModelInfo& cell, const CellSettings& settings) {
  return CellPlan::Make(cell, settings).status();
}

CellModel::CellModel(std::unique_ptr<Model> cell, CellModelOptions options,
                     MetricsRegistry& metrics)
    : cell_(std::move(cell)), series_(metrics) {
  const uint32_t runs_max = cell_->info().traits.runs_max;
  if (runs_max > 0) options.settings.runs = std::min(options.settings.runs, runs_max);
  CellPlan plan = *CellPlan::Make(cell_->info(), options.settings);
  steps_ = std::make_shared<Steps>(*cell_, std::move(plan), std::move(options), series_);
}

CellModel::~CellModel() = default;

const ModelInfo& CellModel::info() const { return steps_->plan().info; }

void CellModel::Run(const InferRequest& request, ResponseCallback done) {
  // Another thread may give the answer, and so destroy this model, before Begin returns.
  const std::shared_ptr<Steps> steps = steps_;
  steps->Begin(request, std::move(done));
}

void CellModel::SetBrokenCallback(core::BrokenCallback callback) {
  cell_->SetBrokenCallback(std::move(callback));
}

}  // namespace penstock::cells
