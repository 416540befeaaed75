// SPDX-License-Identifier: Apache-2.0
#include "remote/health.h"

#include <future>
#include <utility>

#include "remote/messages.h"

namespace penstock::remote {
namespace {

// A target without this service may still serve, and so may one that refuses the question.
bool SaysNothing(const net::UnaryAnswer& answer) {
  if (!answer.is_from_server) return answer.status.code() == StatusCode::kUnimplemented;
  const StatusCode code = answer.status.code();
  return code == StatusCode::kUnimplemented || code == StatusCode::kPermissionDenied ||
         code == StatusCode::kUnauthenticated;
}

}  // namespace

HealthChecker::HealthChecker(std::shared_ptr<RemoteCore> core)
    : core_(std::move(core)), is_asked_(core_->targets.size()) {}

void HealthChecker::Start() {
  if (core_->settings.health_interval <= Duration::zero()) return;
  net::ClientLoop& loop = core_->loops.at(0);
  loop.Post([self = shared_from_this(), &loop] {
    loop.timers().Arm(*self, loop.clock().Now() + self->core_->settings.health_interval);
  });
}

void HealthChecker::Stop() {
  std::promise<void> stopped;
  core_->loops.at(0).Post([this, &stopped] {
    is_stopped_ = true;
    Disarm();
    stopped.set_value();
  });
  stopped.get_future().wait();
}

void HealthChecker::OnTimer() {
  for (size_t i = 0; i < is_asked_.size(); ++i) {
    if (!is_asked_[i]) Ask(i);
  }
  net::ClientLoop& loop = core_->loops.at(0);
  loop.timers().Arm(*this, loop.clock().Now() + core_->settings.health_interval);
}

void HealthChecker::Ask(size_t target) {
  is_asked_[target] = true;
  net::UnaryRequest request{
      .path = kStatusMethod,
      .message = WriteStatusRequest(core_->remote),
      .metadata = core_->metadata,
      .deadline = core_->loops.at(0).clock().Now() + core_->settings.health_interval,
      .answer_bytes_max = 1 << 20};
  core_->targets[target].channels[0]->Start(
      std::move(request), [self = shared_from_this(), target](net::UnaryAnswer&& answer) {
        self->is_asked_[target] = false;
        if (self->is_stopped_) return;
        const bool is_healthy =
            answer.status.ok() ? HasAvailableVersion(answer.message) : SaysNothing(answer);
        self->core_->targets[target].record->OnHealth(is_healthy);
      });
}

}  // namespace penstock::remote
