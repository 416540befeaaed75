// SPDX-License-Identifier: Apache-2.0
// Gives a model the configured settings for Examples.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "infer/example_plan.h"
#include "loading/loader_step.h"

namespace penstock {

// Loads a version with another loader, then checks the settings against the model and sets its
// plans. So a mistake in the settings is an error of the load, which the status of the version
// shows, and not one of each request. One thread at a time but for Cancel. `loader` must make its
// servables with MakeServedModel.
class ExampleLoader final : public LoaderStep {
 public:
  ExampleLoader(std::string version_path, std::vector<ExampleOptions> options,
                std::unique_ptr<core::Loader> loader)
      : LoaderStep(std::move(loader)),
        version_path_(std::move(version_path)),
        options_(std::move(options)) {}

  // Errors: those of the loader; INVALID_ARGUMENT if the settings do not fit the model, or if a
  // file of labels cannot be read.
  StatusOr<std::unique_ptr<core::Servable>> Load() override;

 private:
  const std::string version_path_;
  const std::vector<ExampleOptions> options_;
};

}  // namespace penstock
