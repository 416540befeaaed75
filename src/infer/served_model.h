// SPDX-License-Identifier: Apache-2.0
// A loaded model as the manager keeps it: with its run-time statistics and its metrics.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "base/calls/call_record.h"
#include "base/metrics/metrics.h"
#include "core/manager.h"
#include "core/servable.h"
#include "infer/answer_cache.h"
#include "infer/batcher.h"
#include "infer/example_plans.h"
#include "infer/model.h"
#include "infer/recent_requests.h"
#include "infer/run_times.h"
#include "schedule/scheduler.h"

namespace penstock {

// TensorFlow Serving's name for the time of runs.
inline constexpr std::string_view kRunLatencyMetric = ":tensorflow:serving:runtime_latency";

// The servable that every loader of a model returns. Thread-safe.
class ServedModel final : public core::Servable {
 public:
  // `metrics` must outlive it.
  ServedModel(const core::ServableId& id, std::unique_ptr<Model> model, MetricsRegistry& metrics,
              const InlineOptions& inline_options);

  // If the model breaks, its recent requests are dropped: one of them may be the cause.
  void SetBrokenCallback(core::BrokenCallback callback) override;

  Model& model() const { return *model_; }
  // The model's info, without a virtual call.
  const ModelInfo& info() const { return *info_; }
  // Puts a wrapper around the model: calls `wrap` with it, and has the result instead. Call it
  // before the model serves.
  void WrapModel(absl::AnyInvocable<std::unique_ptr<Model>(std::unique_ptr<Model>)> wrap) {
    model_ = wrap(std::move(model_));
    info_ = &model_->info();
  }
  // How the model classifies and regresses Examples. Without SetExamples, the plans are made by the
  // first call: most models get no Examples.
  const ExamplePlans& examples() const;
  // Call it before the model serves.
  void SetExamples(ExamplePlans plans) { examples_ = std::move(plans); }
  // Keeps some of the requests that the model answers in `recent`, unless they must not run again.
  // Call it before the model serves.
  void KeepRecent(std::shared_ptr<RecentRequests> recent) {
    if (RecentRequests::MayRepeat(info_->traits)) recent_ = std::move(recent);
  }
  // Null: none are kept.
  RecentRequests* recent() const { return recent_.get(); }
  // Lets requests that wait run together. `runs` is how many runs the model should have at the same
  // time if its configuration does not say, so that requests gather while they are under way; 0:
  // any number. Call it before the model serves.
  void SetBatcher(std::unique_ptr<Batcher> batcher, uint32_t runs) {
    batcher_ = std::move(batcher);
    batch_runs_ = runs;
    // On an event loop nothing could wait for more.
    gathers_ = batcher_->gathering().delay_max != 0;
  }
  // Null: its requests run alone.
  Batcher* batcher() const { return batcher_.get(); }
  // Answers requests from earlier answers. Call it before the model serves.
  void SetCache(std::unique_ptr<AnswerCache> cache) { cache_ = std::move(cache); }
  // Null: every request runs.
  AnswerCache* cache() const { return cache_.get(); }
  // Large requests have to prove on their own that they are fast: a model that is fast for small
  // ones need not be.
  bool MayRunInline(RequestSize size) const { return TimesOf(size).MayRunInline() && !gathers_; }
  // See ModelTraits. Null: the times of its runs decide.
  const std::atomic<int64_t>* inline_elements_max() const {
    return runs_inline_ && !gathers_ ? info_->traits.inline_elements_max : nullptr;
  }
  // The queue of the model in the server's scheduler, which must always be the same one.
  schedule::ModelQueue& QueueIn(schedule::Scheduler& scheduler) const {
    // Each request asks, so the usual answer is one load; std::call_once reads thread-local memory.
    schedule::ModelQueue* const queue = found_queue_.load(std::memory_order_acquire);
    return queue != nullptr ? *queue : FindQueue(scheduler);
  }

  // `time`: how long a run occupied its thread.
  void RecordOccupied(Duration time, bool was_inline, RequestSize size) {
    TimesOf(size).Record(time, was_inline);
  }
  // `time`: from the start of a run to its last part.
  void RecordRun(Duration time) { run_.Record(ToMicroseconds(time)); }
  // The stages of one request, which has ended.
  void RecordStages(const StageTimes& times);
  // The wait and the run of a request that another model has made.
  void RecordStep(const StageTimes& times);
  // The time that answers waited until the client had room for them, in microseconds. It lives as
  // long as the registry: an answer may still be sent when the version is unloaded.
  Histogram& write_times() { return write_; }

 private:
  static double ToMicroseconds(Duration time) {
    return std::chrono::duration<double, std::micro>(time).count();
  }
  RunTimes& TimesOf(RequestSize size) { return run_times_[static_cast<size_t>(size)]; }
  const RunTimes& TimesOf(RequestSize size) const { return run_times_[static_cast<size_t>(size)]; }
  schedule::ModelQueue& FindQueue(schedule::Scheduler& scheduler) const;

  const std::string name_;
  std::unique_ptr<Model> model_;  // changes only before the model serves, as info_
  const ModelInfo* info_;
  MetricSeries series_;
  Histogram& decode_;
  Histogram& queue_;
  Histogram& run_;
  Histogram& encode_;
  Histogram& write_;
  std::array<RunTimes, 2> run_times_;  // by RequestSize
  const bool runs_inline_;             // false: no model may run on an event loop

  std::shared_ptr<RecentRequests> recent_;
  std::unique_ptr<Batcher> batcher_;
  uint32_t batch_runs_ = 0;  // see SetBatcher
  bool gathers_ = false;     // its requests wait for others
  std::unique_ptr<AnswerCache> cache_;

  mutable std::once_flag model_queue_once_;
  mutable std::atomic<schedule::ModelQueue*> found_queue_{nullptr};  // model_queue_, once it is set
  mutable std::shared_ptr<schedule::ModelQueue> model_queue_;        // shared with the scheduler
  mutable std::once_flag examples_once_;
  mutable std::optional<ExamplePlans> examples_;
};

// Wraps a model with its run-time statistics and metrics. Every loader of a model must return such
// a servable, because the engine runs no others. `metrics` must outlive the servable.
std::unique_ptr<core::Servable> MakeServedModel(const core::ServableId& id,
                                                std::unique_ptr<Model> model,
                                                MetricsRegistry& metrics,
                                                const InlineOptions& inline_options = {});

// Returns the servable of the handle. Every servable that the engine gets is a ServedModel.
inline ServedModel& Served(const core::Handle& handle) {
  return static_cast<ServedModel&>(handle.servable());
}

}  // namespace penstock
