// SPDX-License-Identifier: Apache-2.0
// Decides at the load of a version which of its signatures are batched.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/cancel.h"
#include "base/mutex.h"
#include "batch/batch_settings.h"
#include "core/loader.h"
#include "infer/recent_requests.h"
#include "infer/served_model.h"

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
class BatchLoader final : public core::Loader {
 public:
  // `metrics` must outlive it and the loaded version.
  BatchLoader(BatchLoaderOptions options, std::unique_ptr<core::Loader> loader,
              MetricsRegistry& metrics)
      : options_(std::move(options)), loader_(std::move(loader)), metrics_(metrics) {}

  StatusOr<core::ResourceEstimate> EstimateResources() override {
    return loader_->EstimateResources();
  }
  StatusOr<core::ResourceEstimate> ResourcesTaken(
      const std::optional<core::MemoryGrowth>& growth) override {
    return loader_->ResourcesTaken(growth);
  }
  // Errors: those of the loader; CANCELLED; INVALID_ARGUMENT if the file of the version has a
  // mistake.
  StatusOr<std::unique_ptr<core::Servable>> Load() override;
  void Cancel() override {
    loader_->Cancel();
    cancel_.Cancel();
  }

 private:
  // Returns the settings of the version. None: it is not batched.
  StatusOr<std::optional<batch::BatchSettings>> ReadSettings() const;
  Status SetUp(ServedModel& model, const batch::BatchSettings& settings);
  // Returns why the signature is not batched.
  Status Decide(ServedModel& model, const Signature& signature, batch::BatchMode mode);

  const BatchLoaderOptions options_;
  const std::unique_ptr<core::Loader> loader_;
  MetricsRegistry& metrics_;
  CancelToken cancel_;
};

}  // namespace penstock
