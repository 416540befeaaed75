// SPDX-License-Identifier: Apache-2.0
#include "infer/served_model.h"

#include <string>
#include <string_view>
#include <utility>

namespace penstock {
namespace {

MetricLabels Labels(const core::ServableId& id,
                    std::initializer_list<MetricLabels::value_type> more) {
  MetricLabels labels = {{"model_name", id.name},
                         {"model_version", std::to_string(id.version.value)}};
  labels.insert(labels.end(), more);
  return labels;
}

constexpr std::string_view kRunHelp = "Time from the start of a run to its answer, microseconds.";
constexpr std::string_view kStageName = "penstock_stage_latency_us";
constexpr std::string_view kStageHelp = "Time that requests spend in a stage, microseconds.";

Histogram& Stage(MetricSeries& series, const core::ServableId& id, std::string stage) {
  return series.AddHistogram(kStageName, kStageHelp, LatencyBucketsUs(),
                             Labels(id, {{"stage", std::move(stage)}}));
}

}  // namespace

ServedModel::ServedModel(const core::ServableId& id, std::unique_ptr<Model> model,
                         MetricsRegistry& metrics, const InlineOptions& inline_options)
    : name_(id.name),
      model_(std::move(model)),
      info_(&model_->info()),
      series_(metrics),
      decode_(Stage(series_, id, "decode")),
      queue_(Stage(series_, id, "queue")),
      // The runs of a model that only runs others are counted with those.
      run_(info_->traits.runs_others
               ? Stage(series_, id, "run")
               : series_.AddHistogram(
                     kRunLatencyMetric, kRunHelp, LatencyBucketsUs(),
                     Labels(id, {{"API", "Predict"}, {"runtime", info_->platform}}))),
      encode_(Stage(series_, id, "encode")),
      write_(Stage(series_, id, "write")),
      run_times_{RunTimes(inline_options), RunTimes(inline_options)},
      runs_inline_(inline_options.run_time_max > Duration::zero()) {
  // The same numbers, so that counting them once is enough.
  if (!info_->traits.runs_others)
    series_.AddAlias(kStageName, kStageHelp, Labels(id, {{"stage", "run"}}), run_);
}

void ServedModel::RecordStages(const StageTimes& times) {
  if (times.queued != Duration::zero()) queue_.Record(ToMicroseconds(times.queued));
  if (times.run_start == SteadyTime{}) return;
  decode_.Record(ToMicroseconds(times.run_start - times.begun - times.queued));
  if (times.run_end == SteadyTime{}) return;
  RecordRun(times.run_end - times.run_start);
  encode_.Record(ToMicroseconds(times.answered - times.run_end));
}

void ServedModel::RecordStep(const StageTimes& times) {
  if (times.queued != Duration::zero()) queue_.Record(ToMicroseconds(times.queued));
  if (times.run_start != SteadyTime{} && times.run_end != SteadyTime{})
    RecordRun(times.run_end - times.run_start);
}

void ServedModel::SetBrokenCallback(core::BrokenCallback callback) {
  if (recent_ == nullptr) return model_->SetBrokenCallback(std::move(callback));
  model_->SetBrokenCallback([recent = recent_, callback = std::move(callback)](Status reason) {
    recent->Clear();
    callback(std::move(reason));
  });
}

schedule::ModelQueue& ServedModel::FindQueue(schedule::Scheduler& scheduler) const {
  std::call_once(model_queue_once_, [&] {
    model_queue_ = scheduler.QueueOf(name_, info_->traits.may_block);
    model_queue_->SetDeclaredRuns(info_->traits.runs_max, batch_runs_);
    model_queue_->SetGathering(batcher_ == nullptr ? schedule::Gathering() : batcher_->gathering());
    found_queue_.store(model_queue_.get(), std::memory_order_release);
  });
  return *model_queue_;
}

const ExamplePlans& ServedModel::examples() const {
  std::call_once(examples_once_, [this] {
    // Only settings can be wrong, and there are none.
    if (!examples_) examples_ = *ExamplePlans::Make(*info_);
  });
  return *examples_;
}

std::unique_ptr<core::Servable> MakeServedModel(const core::ServableId& id,
                                                std::unique_ptr<Model> model,
                                                MetricsRegistry& metrics,
                                                const InlineOptions& inline_options) {
  return std::make_unique<ServedModel>(id, std::move(model), metrics, inline_options);
}

}  // namespace penstock
