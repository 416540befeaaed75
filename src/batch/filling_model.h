// SPDX-License-Identifier: Apache-2.0
// A model whose masks and lengths clients may leave out.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "batch/batch_settings.h"
#include "batch/pad.h"
#include "infer/model.h"

namespace penstock::batch {

// True if the settings name inputs that the server fills in.
bool FillsInputs(const PadSettings& settings);

// Wraps a model, and fills in the masks and lengths that a request leaves out. In a batch the
// requests have them already (PadPlan::FillBatch); this is for requests that run alone.
// Thread-safe.
class FillingModel final : public Model {
 public:
  // Errors: those of PadPlan::Make, with the name of the signature.
  static Status Check(const ModelInfo& info, const PadSettings& settings);

  // REQUIRES: Check accepts the settings.
  FillingModel(std::unique_ptr<Model> model, const PadSettings& settings);

  const ModelInfo& info() const override { return info_; }
  void Run(const InferRequest& request, ResponseCallback done) override;
  void SetBrokenCallback(core::BrokenCallback callback) override {
    model_->SetBrokenCallback(std::move(callback));
  }

 private:
  const std::unique_ptr<Model> model_;
  ModelInfo info_;              // fixed after construction
  std::vector<PadPlan> plans_;  // one for each signature
};

}  // namespace penstock::batch
