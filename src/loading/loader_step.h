// SPDX-License-Identifier: Apache-2.0
// The base of loaders that add a step to another loader.
#pragma once

#include <memory>
#include <optional>
#include <utility>

#include "core/loader.h"

namespace penstock {

// Leaves everything but Load to another loader, unless a step changes more. One thread at a time
// but for Cancel.
class LoaderStep : public core::Loader {
 public:
  StatusOr<core::ResourceEstimate> EstimateResources() override {
    return loader_->EstimateResources();
  }
  StatusOr<core::ResourceEstimate> ResourcesTaken(
      const std::optional<core::MemoryGrowth>& growth) override {
    return loader_->ResourcesTaken(growth);
  }
  // A step that takes time must end too, and call this one.
  void Cancel() override { loader_->Cancel(); }

 protected:
  explicit LoaderStep(std::unique_ptr<core::Loader> loader) : loader_(std::move(loader)) {}

  core::Loader& loader() { return *loader_; }

 private:
  const std::unique_ptr<core::Loader> loader_;
};

}  // namespace penstock
