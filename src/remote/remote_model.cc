// SPDX-License-Identifier: Apache-2.0
#include "remote/remote_model.h"

#include "remote/run.h"

namespace penstock::remote {

RemoteModel::RemoteModel(std::shared_ptr<RemoteLoops> loops, std::shared_ptr<RemoteCore> core)
    : loops_(std::move(loops)),
      core_(std::move(core)),
      health_(std::make_shared<HealthChecker>(core_)) {
  health_->Start();
}

RemoteModel::~RemoteModel() {
  health_->Stop();
  // All requests have been answered. What is left are calls that have lost a race.
  core_->Close();
}

void RemoteModel::Run(const InferRequest& request, ResponseCallback done) {
  // The answer may come before Start has returned, and then the version may be unloaded.
  const std::shared_ptr<RemoteLoops> loops = loops_;
  RemoteRun::Start(core_, request, std::move(done));
}

}  // namespace penstock::remote
