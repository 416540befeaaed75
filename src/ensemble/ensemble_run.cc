// SPDX-License-Identifier: Apache-2.0
// Who may touch what. A step writes its outputs to tensors_, and then counts down the steps that
// wait for it. The one that counts a step down to zero starts it. So a step sees the outputs of all
// that it needs, without a lock. users_ counts the steps that run, the thread that starts them, and
// a cancel under way. Whoever counts it down to zero is alone, and answers.
//
// A step may end before Engine::Run returns. Then the steps that it lets start are put into the
// list of the Driver that is below on the stack, and start when Run has returned. So the stack does
// not grow with the number of steps.
//
// Each step has a token of its own, because a token has one callback, and several steps may wait at
// the same time. A run with one step needs none: the step gets the token of the request.
#include "ensemble/ensemble_run.h"

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <utility>

#include "base/calls/thread_time.h"
#include "base/calls/turn_end.h"

namespace penstock::ensemble {

// Starts steps of one run, from a list, on one thread. Lives on its stack. One thread.
class EnsembleRun::Driver final {
 public:
  // `is_start`: it is called by Model::Run, whose caller lets cheap models run on this thread, as
  // event loops do. A step that ends on another thread must not hold it up: the thread belongs to
  // the step's model.
  Driver(EnsembleRun& run, bool is_start)
      : run_(run),
        is_start_(is_start),
        runs_inline_(is_start || TurnEnd::Current() != nullptr),
        below_(std::exchange(top_, this)) {
    if (runs_inline_) begun_ = ThreadTime::Read(run.ensemble_.engine.clock());
  }
  ~Driver() { top_ = below_; }
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;

  // Returns the driver of `run` on this thread. Null: there is none.
  static Driver* Find(const EnsembleRun& run) {
    Driver* driver = top_;
    while (driver != nullptr && &driver->run_ != &run) driver = driver->below_;
    return driver;
  }

  void Add(StepRun& step) { steps_.push_back(&step); }
  // A step has ended within StartStep.
  void NoteEnd() { has_ended_ = true; }
  // Starts all steps of the list, and those that are added meanwhile. Each counts among users_
  // already. The run may be gone when this returns.
  void Go() {
    while (!steps_.empty()) {
      StepRun& step = TakeNext();
      const bool may_run_inline = MayRunInline() && (steps_.empty() || IsShort(step));
      if (!is_start_ || !may_run_inline) {
        run_.StartStep(step, may_run_inline);
        continue;
      }
      const Clock& clock = run_.ensemble_.engine.clock();
      std::atomic<uint32_t>& inline_ns = NsOf(step);
      const SteadyTime start = ThreadTime::LastSince(begun_, clock);
      has_ended_ = false;
      run_.StartStep(step, may_run_inline);
      // The run may be gone, but Model::Run of the ensemble has not returned.
      if (has_ended_) Note(ThreadTime::LastSince(start + Duration(1), clock) - start, inline_ns);
    }
  }

 private:
  // A hand-over to another thread costs about as much.
  static constexpr uint32_t kShortNs = 10'000;

  std::atomic<uint32_t>& NsOf(const StepRun& step) const {
    return run_.ensemble_.inline_ns[static_cast<size_t>(&step - run_.steps_.get())];
  }
  bool IsShort(const StepRun& step) const {
    return NsOf(step).load(std::memory_order_relaxed) < kShortNs;
  }
  // Long steps start first, on other threads, and then those that run on this one.
  StepRun& TakeNext() {
    auto next = steps_.end() - 1;
    if (steps_.size() > 1) {
      const auto is_long = [this](const StepRun* step) { return !IsShort(*step); };
      const auto found = std::ranges::find_if(steps_, is_long);
      if (found != steps_.end()) next = found;
    }
    StepRun& step = **next;
    steps_.erase(next);
    return step;
  }
  bool MayRunInline() const {
    if (!runs_inline_) return false;
    // The step before has read the clock at its end.
    const SteadyTime now = ThreadTime::LastSince(begun_, run_.ensemble_.engine.clock());
    return now - begun_ < run_.ensemble_.inline_time_max;
  }
  // A moving average. All threads share it, so it is written only when it changes.
  static void Note(Duration time, std::atomic<uint32_t>& average) {
    const int64_t before = average.load(std::memory_order_relaxed);
    const int64_t ns = std::clamp<int64_t>(time.count(), 0, UINT32_MAX);
    const int64_t change = (ns - before) / 8;
    if (std::abs(change) * 32 > before)
      average.store(static_cast<uint32_t>(before + change), std::memory_order_relaxed);
  }

  static inline thread_local constinit Driver* top_ = nullptr;

  EnsembleRun& run_;
  const bool is_start_;
  const bool runs_inline_;
  Driver* const below_;
  SteadyTime begun_;
  bool has_ended_ = false;
  absl::InlinedVector<StepRun*, 4> steps_;
};

void EnsembleRun::Start(const Ensemble& ensemble, Versions versions, const InferRequest& request,
                        ResponseCallback done) {
  auto* const run = new EnsembleRun(ensemble, std::move(versions), request, std::move(done));
  run->Prepare();
  run->StartFirst();  // it owns itself
}

void EnsembleRun::Prepare() {
  tensors_.resize(plan().tensors);
  for (const NamedTensor& input : request_.inputs) {
    const auto found = std::ranges::find(plan().inputs, input.name, &PlanTensor::name);
    if (found != plan().inputs.end()) tensors_[found->tensor] = input.tensor;
  }
  steps_ = std::make_unique<StepRun[]>(plan().steps.size());
  for (size_t i = 0; i < plan().steps.size(); ++i) {
    StepRun& step = steps_[i];
    step.run = this;
    step.plan = &plan().steps[i];
    step.needs.store(step.plan->needs, std::memory_order_relaxed);
  }
  if (!request_.output_filter.empty()) FindNeeded();
}

void EnsembleRun::FindNeeded() {
  std::vector<bool> is_wanted(plan().tensors, false);
  for (const PlanTensor& output : plan().outputs) {
    if (IsWanted(output.name)) is_wanted[output.tensor] = true;
  }
  // Each step comes after those that it needs. So all that need it are known.
  for (size_t i = plan().steps.size(); i-- > 0;) {
    StepRun& step = steps_[i];
    step.is_needed = step.plan->is_always_run ||
                     std::ranges::any_of(step.plan->outputs, [&](const PlanTensor& output) {
                       return is_wanted[output.tensor];
                     });
    if (!step.is_needed) continue;
    for (const PlanTensor& input : step.plan->inputs) is_wanted[input.tensor] = true;
  }
}

void EnsembleRun::StartFirst() {
  if (has_several_steps() && request_.cancel != nullptr)
    request_.cancel->SetCallback([this] { OnCancel(); });
  {
    Driver driver(*this, /*is_start=*/true);
    const size_t count = plan().steps.size();
    for (size_t i = count; i-- > 0;) {  // the first one starts first
      if (steps_[i].plan->needs > 0 || !steps_[i].is_needed) continue;
      users_.fetch_add(1, std::memory_order_relaxed);
      driver.Add(steps_[i]);
    }
    driver.Go();
  }
  Leave();
}

void EnsembleRun::StartStep(StepRun& step, bool may_run_inline) {
  if (has_failed_.load(std::memory_order_acquire)) return Leave();
  const PlanStep& what = *step.plan;
  InferRequest& request = step.request;
  request.signature_name = what.signature;
  for (const PlanTensor& input : what.inputs) {
    const Tensor& tensor = tensors_[input.tensor];
    // An optional input that the request has left out.
    if (tensor.dtype() == DType::kInvalid) continue;
    request.inputs.push_back({input.name, tensor});
  }
  if (what.filters) {
    for (const PlanTensor& output : what.outputs) request.output_filter.push_back(output.name);
  }
  request.deadline = request_.deadline;
  request.cancel = has_several_steps() ? &step.cancel : request_.cancel;
  request.request_id = request_.request_id;
  request.message_bytes = request_.message_bytes;
  request.options = request_.options;
  request.cache_use = request_.cache_use;
  request.hops = request_.hops;
  request.times = &step.times;
  if (request_.steps != nullptr) request.steps = &step.inner;
  ensemble_.engine.Run(versions_[what.model], request, may_run_inline,
                       [&step](InferResponse&& part) { step.run->OnPart(step, std::move(part)); });
}

void EnsembleRun::OnPart(StepRun& step, InferResponse&& part) {
  if (!part.is_last) {
    step.has_parts = true;
    return;
  }
  if (step.times.run_start != SteadyTime{})
    step.times.run_end = ThreadTime::Read(ensemble_.engine.clock());
  Status status = std::move(part.status);
  if (status.ok() && step.has_parts)
    status = absl::UnimplementedError("the model answers in several parts, which no step can take");
  if (status.ok()) status = TakeOutputs(step, part.outputs);
  part.outputs.clear();
  step.request.inputs.clear();
  if (status.ok()) {
    StartNext(step);
  } else {
    Fail(step, std::move(status));
  }
  Leave();
}

Status EnsembleRun::TakeOutputs(const StepRun& step, NamedTensors& outputs) {
  const std::vector<PlanTensor>& wanted = step.plan->outputs;
  for (size_t i = 0; i < wanted.size(); ++i) {
    // Usually the model gives the outputs in the order in which they are wanted.
    auto output = i < outputs.size() && outputs[i].name == wanted[i].name
                      ? outputs.begin() + static_cast<ptrdiff_t>(i)
                      : std::ranges::find(outputs, wanted[i].name, &NamedTensor::name);
    if (output == outputs.end())
      return Error(StatusCode::kInternal, "the model gave no output '{}'", wanted[i].name);
    tensors_[wanted[i].tensor] = output->tensor;
  }
  return OkStatus();
}

void EnsembleRun::StartNext(const StepRun& step) {
  Driver* const below = Driver::Find(*this);
  if (below != nullptr) below->NoteEnd();
  if (step.plan->next.empty()) return;
  std::optional<Driver> own;
  Driver& driver = below != nullptr ? *below : own.emplace(*this, /*is_start=*/false);
  for (const uint32_t next : step.plan->next) {
    if (!steps_[next].is_needed) continue;
    if (steps_[next].needs.fetch_sub(1, std::memory_order_acq_rel) != 1) continue;
    users_.fetch_add(1, std::memory_order_relaxed);
    driver.Add(steps_[next]);
  }
  if (own) own->Go();
}

void EnsembleRun::Fail(const StepRun& step, Status status) {
  // The first error is the cause; the others may be its effect.
  bool has_failed = false;
  Status named = NameStep(step, status);
  if (!has_failed_.compare_exchange_strong(has_failed, true, std::memory_order_acq_rel)) return;
  failure_ = std::move(named);
  CancelSteps(CancelReason::kClientLeft);
}

void EnsembleRun::CancelSteps(CancelReason reason) {
  if (!has_several_steps()) return;
  for (size_t i = 0; i < plan().steps.size(); ++i) steps_[i].cancel.Cancel(reason);
}

void EnsembleRun::OnCancel() {
  // Joins the users, so that no step which ends in a callback is the last one.
  uint32_t users = users_.load(std::memory_order_relaxed);
  do {
    if (users == 0) return;  // it is being answered
  } while (!users_.compare_exchange_weak(users, users + 1, std::memory_order_acq_rel));
  const CancelToken& cancel = *request_.cancel;
  CancelSteps(cancel.HasExpired()   ? CancelReason::kDeadline
              : cancel.HasStopped() ? CancelReason::kServerStops
                                    : CancelReason::kClientLeft);
  Leave();
}

void EnsembleRun::Leave() {
  if (users_.fetch_sub(1, std::memory_order_acq_rel) == 1) Answer();
}

bool EnsembleRun::IsWanted(std::string_view output) const {
  const OutputFilter& filter = request_.output_filter;
  return filter.empty() || std::ranges::find(filter, output) != filter.end();
}

void EnsembleRun::Record() {
  for (size_t i = 0; i < plan().steps.size(); ++i) {
    StepRun& step = steps_[i];
    const ModelHandle& version = versions_[step.plan->model];
    version.RecordStep(step.times);
    if (request_.times != nullptr)
      request_.times->steps_queued += step.times.queued + step.times.steps_queued;
    if (request_.steps == nullptr || step.times.run_end == SteadyTime{}) continue;
    std::vector<StepTimes>& to = *request_.steps;
    if (to.size() + step.inner.size() >= kStepTimesMax) continue;
    to.push_back({.name = step.plan->name,
                  .model = version.id().name,
                  .version = version.id().version.value,
                  .times = step.times});
    for (StepTimes& inner : step.inner) {
      ++inner.depth;
      to.push_back(std::move(inner));
    }
  }
}

void EnsembleRun::Answer() {
  const std::unique_ptr<EnsembleRun> own(this);
  Record();
  // From here on the token calls nobody.
  if (has_several_steps() && request_.cancel != nullptr) request_.cancel->ClearCallback();
  InferResponse response;
  if (has_failed_.load(std::memory_order_acquire)) {
    response.status = std::move(failure_);
  } else {
    for (const PlanTensor& output : plan().outputs) {
      if (IsWanted(output.name))
        response.outputs.push_back({output.name, std::move(tensors_[output.tensor])});
    }
  }
  // The call may destroy the request and the model.
  ResponseCallback done = std::move(done_);
  steps_.reset();
  tensors_.clear();
  done(std::move(response));
}

Status EnsembleRun::NameStep(const StepRun& step, const Status& status) const {
  Status named = Error(status.code(), "step '{}' ({}): {}", step.plan->name,
                       versions_[step.plan->model].id().ToString(), MessageOf(status));
  // Such as when to try again.
  status.ForEachPayload([&](auto url, const auto& payload) { named.SetPayload(url, payload); });
  return named;
}

}  // namespace penstock::ensemble
