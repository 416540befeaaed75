// SPDX-License-Identifier: Apache-2.0
// Decides at the load of a version which of its signatures are batched.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "base/mutex.h"
#include "batch/batch_settings.h"
#include "batch/pad.h"
#include "infer/recent_requests.h"
#include "infer/served_model.h"
#include "loading/loader_step.h"

namespace penstock {

// What a BatchLoader needs besides the loader.
struct BatchLoaderOptions {
  core::ServableId id;
  batch::BatchSettings settings;
  // The folder whose batching_params.pbtxt has the settings instead; without the file, nothing is
  // batched. Empty: `settings` count.
  std::string parameters_folder = {};
  // The runs at the same time of a model that is batched: see ServedModel::SetBatcher.
  uint32_t runs = 0;
  // Requests of former versions, by which the check tries the new one. May be null.
  std::shared_ptr<RecentRequests> recent = nullptr;
};

// Loads through `loader`, and then gives the model a Batcher if at least one signature shall be
// batched. The log has a line for each signature that is not, with the reason. One thread at a
// time but for Cancel. `loader` must make its servables with MakeServedModel.
class BatchLoader final : public LoaderStep {
 public:
  // `metrics` must outlive it and the loaded version.
  BatchLoader(BatchLoaderOptions options, std::unique_ptr<core::Loader> loader,
              MetricsRegistry& metrics)
      : LoaderStep(std::move(loader)), options_(std::move(options)), metrics_(metrics) {}

  // Errors: those of the loader; CANCELLED; INVALID_ARGUMENT if the file of the version has a
  // mistake.
  StatusOr<std::unique_ptr<core::Servable>> Load() override;
  void Cancel() override {
    LoaderStep::Cancel();
    cancel_.Cancel();
  }

 private:
  // Returns the settings of the version. None: it is not batched.
  StatusOr<std::optional<batch::BatchSettings>> ReadSettings() const;
  Status SetUp(ServedModel& model, const batch::BatchSettings& settings);
  // Returns why the signature is not batched.
  Status Decide(ServedModel& model, const Signature& signature, batch::BatchMode mode);

  // What is padded in its batches, if padding does not change answers.
  batch::PadPlan PadPlanOf(ServedModel& model, const Signature& signature,
                           const batch::BatchSettings& settings);
  // Requests that the model has answered before.
  struct Samples {
    std::vector<std::shared_ptr<const RecentRequest>> kept;
    std::vector<const InferRequest*> requests;  // theirs
  };
  Samples KeptSamples() const;

  const BatchLoaderOptions options_;
  MetricsRegistry& metrics_;
  CancelToken cancel_;
};

}  // namespace penstock
