// SPDX-License-Identifier: Apache-2.0
// Gives a model the configured settings for Examples.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/loader.h"
#include "infer/example_plan.h"

namespace penstock {

// Loads a version with another loader, then checks the settings against the model and sets its
// plans. So a mistake in the settings is an error of the load, which the status of the version
// shows, and not one of each request. One thread at a time but for Cancel. `loader` must make its
// servables with MakeServedModel.
class ExampleLoader final : public core::Loader {
 public:
  ExampleLoader(std::string version_path, std::vector<ExampleOptions> options,
                std::unique_ptr<core::Loader> loader)
      : version_path_(std::move(version_path)),
        options_(std::move(options)),
        loader_(std::move(loader)) {}

  StatusOr<core::ResourceEstimate> EstimateResources() override {
    return loader_->EstimateResources();
  }
  StatusOr<core::ResourceEstimate> ResourcesTaken(
      const std::optional<core::MemoryGrowth>& growth) override {
    return loader_->ResourcesTaken(growth);
  }
  // Errors: those of the loader; INVALID_ARGUMENT if the settings do not fit the model, or if a
  // file of labels cannot be read.
  StatusOr<std::unique_ptr<core::Servable>> Load() override;
  void Cancel() override { loader_->Cancel(); }

 private:
  const std::string version_path_;
  const std::vector<ExampleOptions> options_;
  const std::unique_ptr<core::Loader> loader_;
};

}  // namespace penstock
