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
    : HealthChecker(core, {.path = kStatusMethod,
                           .message = WriteStatusRequest(core->remote),
                           .is_good = [](const Target&, const net::UnaryAnswer& answer) {
                             return answer.status.ok() ? HasAvailableVersion(answer.message)
                                                       : SaysNothing(answer);
                           }}) {}

HealthChecker::HealthChecker(std::shared_ptr<RemoteCore> core, HealthQuestion question)
    : core_(std::move(core)), question_(std::move(question)) {}

void HealthChecker::Start() {
  if (core_->settings.health_interval <= Duration::zero()) return;
  // The watch of the versions asks the same.
  if (core_->remote.is_followed && question_.path == kStatusMethod) return;
  net::IoLoop& loop = core_->loops.at(0);
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
  for (const std::shared_ptr<Target>& target : *core_->parts[0].targets) {
    if (!target->is_asked) Ask(target);
  }
  net::IoLoop& loop = core_->loops.at(0);
  loop.timers().Arm(*this, loop.clock().Now() + core_->settings.health_interval);
}

void HealthChecker::Ask(const std::shared_ptr<Target>& target) {
  target->is_asked = true;
  net::UnaryRequest request{
      .path = question_.path,
      .message = question_.message,
      .metadata = core_->metadata,
      .deadline = core_->loops.at(0).clock().Now() + core_->settings.health_interval,
      .answer_bytes_max = question_.answer_bytes_max};
  target->channels[0]->Start(std::move(request),
                             [self = shared_from_this(), target](net::UnaryAnswer&& answer) {
                               target->is_asked = false;
                               if (self->is_stopped_) return;
                               target->record->OnHealth(self->question_.is_good(*target, answer));
                             });
}

}  // namespace penstock::remote
