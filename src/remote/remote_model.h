// SPDX-License-Identifier: Apache-2.0
// A model that other servers run, as the model that clients see.
#pragma once

#include <memory>
#include <utility>

#include "infer/model.h"
#include "remote/core.h"
#include "remote/health.h"

namespace penstock::remote {

// Passes requests on to its targets. Thread-safe.
class RemoteModel final : public Model {
 public:
  RemoteModel(std::shared_ptr<RemoteLoops> loops, std::shared_ptr<RemoteCore> core);
  ~RemoteModel() override;

  const ModelInfo& info() const override { return core_->info; }
  void Run(const InferRequest& request, ResponseCallback done) override;

 private:
  class Request;

  // Ended last: it runs the callbacks of calls that end with their channels.
  const std::shared_ptr<RemoteLoops> loops_;
  const std::shared_ptr<RemoteCore> core_;
  const std::shared_ptr<HealthChecker> health_;
};

}  // namespace penstock::remote
