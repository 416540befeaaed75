// SPDX-License-Identifier: Apache-2.0
// Batches the requests of one version of a model.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/metrics/metrics.h"
#include "batch/batch_limit.h"
#include "batch/batch_settings.h"
#include "batch/pad.h"
#include "batch/row_memory.h"
#include "infer/batcher.h"

namespace penstock::batch {

// The times of runs that requests shared, in microseconds: one value for each request of a run but
// the first.
inline constexpr std::string_view kSharedRunsMetric = "penstock_batch_shared_run_us";

// How a version is batched.
struct BatcherOptions {
  core::ServableId id;
  BatchSettings settings;  // without the mode and the runs
};

// The Batcher of one version. No signature is batched before TurnOn. Thread-safe.
class ModelBatcher final : public Batcher {
 public:
  // `info` and `metrics` must outlive it.
  ModelBatcher(const ModelInfo& info, BatcherOptions options, MetricsRegistry& metrics);

  // Starts to join requests of this signature. Call it before the model serves.
  void TurnOn(uint32_t signature, PadPlan pad = {});
  bool IsOn(uint32_t signature) const override {
    return states_[signature]->is_on.load(std::memory_order_relaxed);
  }
  const BatchLimit& limit(uint32_t signature) const { return states_[signature]->limit; }

  BatchForm FormOf(const InferRequest& request) const override;
  bool MayJoin(const InferRequest& first, const BatchForm& batch, const InferRequest& other,
               const BatchForm& other_form) const override;
  // An operator who lets requests wait wants full batches.
  int64_t RowsMax(uint32_t signature) const override {
    // Rows that are added to reach an allowed size cost the same as rows of requests.
    const int64_t rows =
        settings_.delay_us_max > 0 ? settings_.rows_max : RowsToRun(limit(signature).rows());
    const int64_t room = states_[signature]->memory.rows();
    return rows <= room ? rows : RowsBelow(room);
  }
  int64_t RowsToTake(uint32_t signature, int64_t rows) const override;
  bool PrefersSizes() const override { return !settings_.preferred_rows.empty(); }
  int64_t RowsToRun(int64_t rows) const override;
  StatusOr<std::unique_ptr<JoinedRequest>> Join(std::span<const InferRequest* const> members,
                                                CancelToken& cancel,
                                                RequestMemory& memory) const override;
  StatusOr<int64_t> PartRows(const BatchForm& form) const override;
  std::unique_ptr<PartedAnswer> BeginAnswer(const BatchForm& form) const override;
  std::vector<BatchTime> Curve(uint32_t signature) const override {
    return limit(signature).Curve();
  }
  void Record(const BatchForm& form, const EndedRun& run) override;
  void RecordRetries(size_t requests) override;
  void TurnOff(uint32_t signature, const Status& why) override;

 private:
  struct SignatureState {
    SignatureState(const Signature& signature, const BatchSettings& settings, Gauge& gauge)
        : limit(settings.rows_max), memory(signature, settings.bytes_max), limit_gauge(gauge) {}
    std::atomic<bool> is_on{false};
    PadPlan pad;
    BatchLimit limit;
    RowMemory memory;
    Gauge& limit_gauge;
    std::atomic<int64_t> run_ns{0};  // the mean time of a run, of any number of rows
  };

  // The most rows of a run that are at most so many, or else the fewest that a run may have.
  int64_t RowsBelow(int64_t rows) const;
  void NoteRunTime(SignatureState& state, Duration time);

  const ModelInfo& info_;
  const core::ServableId id_;
  const BatchSettings settings_;
  MetricSeries series_;
  Histogram& rows_;
  Histogram& requests_;
  Histogram& shared_runs_;
  Counter& padding_;
  Counter& retries_;
  Counter& split_;
  Counter& elements_;
  Counter& padding_elements_;
  std::vector<std::unique_ptr<SignatureState>> states_;  // one for each signature; fixed
};

}  // namespace penstock::batch
