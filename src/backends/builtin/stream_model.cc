// SPDX-License-Identifier: Apache-2.0
// A model for trying streams, and an example of back-pressure. A run gives parts in a loop, as long
// as the receiver is not slow. When it is slow, the run leaves itself as the callback of
// FlowControl and returns its thread; the receiver calls it when it can take more. So a slow client
// costs no thread and no more than one part of memory. The run owns itself, because nobody else
// knows when the last part is given.
#include "backends/builtin/stream_model.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "backends/builtin/delay_model.h"
#include "base/clock.h"

namespace penstock {
namespace {

constexpr int64_t kCountMax = 1'000'000'000;
constexpr int64_t kSizeMax = 100'000'000;
constexpr int64_t kDelayMaxUs = 60'000'000;

struct StreamPlan {
  int64_t count = 1;
  int64_t size = -1;  // -1: no "data"
  int64_t fail_at = -1;
  int64_t delay_us = 0;
};

struct PlanField {
  std::string_view name;
  int64_t StreamPlan::*field;
  int64_t min;
  int64_t max;
};
// Sorted by name, as the inputs of a signature are.
constexpr PlanField kFields[] = {
    {"count", &StreamPlan::count, 1, kCountMax},
    {"delay_us", &StreamPlan::delay_us, 0, kDelayMaxUs},
    {"fail_at", &StreamPlan::fail_at, 0, kCountMax},
    {"size", &StreamPlan::size, 0, kSizeMax},
};

StatusOr<StreamPlan> ReadPlan(const InferRequest& request) {
  StreamPlan plan;
  for (const NamedTensor& input : request.inputs) {
    for (const PlanField& field : kFields) {
      if (field.name != input.name) continue;
      int64_t value = 0;
      std::memcpy(&value, input.tensor.data(), sizeof(value));  // it need not be aligned
      if (value < field.min || value > field.max) {
        return InvalidArgument("the input '{}' is {}; it must be {} to {}", field.name, value,
                               field.min, field.max);
      }
      plan.*field.field = value;
    }
  }
  return plan;
}

// One run. Deletes itself with the last part. One thread at a time.
class StreamRun final {
 public:
  StreamRun(const InferRequest& request, const StreamPlan& plan, ResponseCallback done)
      : request_(request), plan_(plan), done_(std::move(done)) {}

  // Gives parts until the last one, or until the receiver is slow. Then the receiver calls this
  // again.
  void GiveParts() {
    for (;;) {
      WaitWhileWanted(request_, std::chrono::microseconds(plan_.delay_us));
      if (Give()) return;
      FlowControl* const flow = request_.flow;
      if (flow != nullptr && flow->IsSlow() && flow->SetCallback([this] { GiveParts(); })) return;
    }
  }

 private:
  // Gives one part. Returns true if it was the last one: this object is gone then.
  bool Give() {
    InferResponse part;
    part.status = Fill(part.outputs);
    part.is_last = !part.status.ok() || ++next_ == plan_.count;
    if (!part.is_last) {
      done_(std::move(part));
      return false;
    }
    if (!part.status.ok()) part.outputs.clear();
    // The call may destroy the request, so nothing is used after it.
    const std::unique_ptr<StreamRun> own(this);
    done_(std::move(part));
    return true;
  }

  Status Fill(NamedTensors& outputs) const {
    const bool is_cancelled = request_.cancel != nullptr && request_.cancel->IsCancelled();
    if (is_cancelled && !request_.cancel->HasExpired())
      return absl::CancelledError("the request was cancelled");
    if (is_cancelled || Clock::Real().Now() >= request_.deadline)
      return absl::DeadlineExceededError("the deadline passed before the answer was complete");
    if (next_ == plan_.fail_at) {
      return Error(StatusCode::kInternal, "the part {} fails, as the input 'fail_at' asks for",
                   next_);
    }
    if (IsWanted("data") && plan_.size >= 0) {
      ASSIGN_OR_RETURN(Tensor data, Tensor::Allocate(DType::kFloat32, {plan_.size}));
      std::ranges::fill(data.mutable_as<float>(), static_cast<float>(next_));
      outputs.push_back({"data", std::move(data)});
    }
    if (IsWanted("index")) {
      ASSIGN_OR_RETURN(Tensor index, Tensor::Allocate(DType::kInt64, {}));
      index.mutable_as<int64_t>()[0] = next_;
      outputs.push_back({"index", std::move(index)});
    }
    return OkStatus();
  }

  bool IsWanted(std::string_view output) const {
    const OutputFilter& filter = request_.output_filter;
    return filter.empty() || std::ranges::find(filter, output) != filter.end();
  }

  const InferRequest& request_;
  const StreamPlan plan_;
  ResponseCallback done_;
  int64_t next_ = 0;
};

TensorSpec Spec(std::string name, DType dtype, std::vector<int64_t> shape, bool optional) {
  return {.name = name,
          .backend_name = name,
          .dtype = dtype,
          .unknown_rank = false,
          .shape = Shape(shape),
          .optional = optional};
}

std::vector<TensorSpec> Inputs() {
  std::vector<TensorSpec> inputs;
  for (const PlanField& field : kFields) {
    inputs.push_back(Spec(std::string(field.name), DType::kInt64, {}, field.name != "count"));
  }
  return inputs;
}

// Gives as many parts as the input "count" says. Thread-safe.
class StreamModel final : public Model {
 public:
  const ModelInfo& info() const override { return info_; }

  void Run(const InferRequest& request, ResponseCallback done) override {
    const StatusOr<StreamPlan> plan = ReadPlan(request);
    if (!plan.ok()) return AnswerError(done, plan.status());
    (new StreamRun(request, *plan, std::move(done)))->GiveParts();
  }

 private:
  const ModelInfo info_ = {.platform = "builtin",
                           .signatures = {{.name = std::string(kDefaultSignatureName),
                                           .method_name = "tensorflow/serving/predict",
                                           .inputs = Inputs(),
                                           .outputs = {Spec("data", DType::kFloat32, {-1}, false),
                                                       Spec("index", DType::kInt64, {}, false)}}},
                           .traits = {.may_block = true}};
};

}  // namespace

std::unique_ptr<Model> MakeStreamModel() { return std::make_unique<StreamModel>(); }

}  // namespace penstock
