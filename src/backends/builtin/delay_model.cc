// SPDX-License-Identifier: Apache-2.0
#include "backends/builtin/delay_model.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/mutex.h"

namespace penstock {
namespace {

constexpr int64_t kTotalMaxUs = 60'000'000;
constexpr std::string_view kName = "delay_us";

TensorSpec AnyInt64() {
  return {.name = std::string(kName),
          .backend_name = std::string(kName),
          .dtype = DType::kInt64,
          .unknown_rank = true,
          .shape = {},
          .optional = false};
}

// See MakeDelayModel. Thread-safe.
class DelayModel final : public Model {
 public:
  const ModelInfo& info() const override { return info_; }

  void Run(const InferRequest& request, ResponseCallback done) override {
    const Tensor& input = request.inputs[0].tensor;
    int64_t total = 0;
    for (int64_t i = 0; i < input.element_count(); ++i) {
      int64_t value = 0;
      std::memcpy(&value, input.data() + static_cast<size_t>(i) * sizeof(value), sizeof(value));
      if (value < 0 || value > kTotalMaxUs - total) {
        return AnswerError(done, InvalidArgument("the input 'delay_us' has {}; its values must be "
                                                 "0 or more, and their sum at most {}",
                                                 value, kTotalMaxUs));
      }
      total += value;
    }
    WaitWhileWanted(request, std::chrono::microseconds(total));
    if (request.cancel != nullptr && request.cancel->IsCancelled() && !request.cancel->HasExpired())
      return AnswerError(done, absl::CancelledError("the request was cancelled"));
    if (Clock::Real().Now() >= request.deadline)
      return AnswerError(done, absl::DeadlineExceededError("the deadline passed during the run"));
    InferResponse response;
    response.outputs = request.inputs;
    done(std::move(response));
  }

 private:
  const ModelInfo info_ = {.platform = "builtin",
                           .signatures = {{.name = std::string(kDefaultSignatureName),
                                           .method_name = "tensorflow/serving/predict",
                                           .inputs = {AnyInt64()},
                                           .outputs = {AnyInt64()}}},
                           .traits = {.answers_in_run = true}};
};

}  // namespace

void WaitWhileWanted(const InferRequest& request, std::chrono::microseconds time) {
  if (time.count() == 0) return;
  const SteadyTime until = std::min(Clock::Real().Now() + time, request.deadline);
  Mutex mutex;
  CondVar cancelled;
  bool is_over = false;
  if (request.cancel != nullptr) {
    request.cancel->SetCallback([&] {
      MutexLock lock(mutex);
      is_over = true;
      cancelled.NotifyAll();
    });
  }
  {
    MutexLock lock(mutex);
    while (!is_over && Clock::Real().Now() < until) cancelled.WaitUntil(mutex, until);
  }
  if (request.cancel != nullptr) request.cancel->ClearCallback();
}

std::unique_ptr<Model> MakeDelayModel() { return std::make_unique<DelayModel>(); }

}  // namespace penstock
