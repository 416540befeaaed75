// SPDX-License-Identifier: Apache-2.0
// How it works. All of it happens on one loop: there are no locks, since the answers, the timer and
// the cancel all come there.
//
// A target is blamed for failures of its connection, for UNAVAILABLE, for a deadline that passes,
// and if a later try was faster than an earlier one. It is not blamed for other errors: these are
// the model's answers. Three in a row take it out for a while (TargetRecord).
#include "remote/run.h"

#include <algorithm>
#include <utility>

#include "infer/infer_call.h"
#include "protocols/tfs/predict_reader.h"
#include "remote/messages.h"

namespace penstock::remote {
namespace {

// A try is stuck after so many times the time in which 95 of 100 answers come, and after kStuckMin.
constexpr int kStuckShare = 4;
constexpr Duration kStuckMin = std::chrono::milliseconds(20);

// True if the target itself, and not the model, has not found something: by TensorFlow Serving's
// text, which Penstock's begins with, too.
bool LacksVersion(const net::UnaryAnswer& answer) {
  return answer.is_from_server && answer.status.code() == StatusCode::kNotFound &&
         MessageOf(answer.status).starts_with("Servable not found for request");
}

}  // namespace

Status CheckHops(uint32_t hops, const RemoteSettings& settings) {
  if (hops < settings.hops_max) return OkStatus();
  return Error(StatusCode::kFailedPrecondition,
               "{} servers have passed this request on, and --remote_hops_max is {}: do remote "
               "models lead back to themselves?",
               hops, settings.hops_max);
}

std::shared_ptr<RemoteRun> RemoteRun::Begin(std::shared_ptr<RemoteCore> core, size_t loop,
                                            RemoteQuestion question, Done done) {
  const std::shared_ptr<RemoteRun> run(
      new RemoteRun(std::move(core), loop, std::move(question), std::move(done)));
  run->part().retries.OnRequest();
  run->part().hedges.OnRequest();
  run->core_->metrics.requests.Add();
  if (run->part().targets->empty()) {
    run->Answer(Error(StatusCode::kUnavailable, "no target has this version of the model"));
  } else {
    run->StartTry();
  }
  return run;
}

RemoteRun::RemoteRun(std::shared_ptr<RemoteCore> core, size_t loop, RemoteQuestion question,
                     Done done)
    : core_(std::move(core)),
      loop_(loop),
      question_(std::move(question)),
      done_(std::move(done)),
      hops_(std::to_string(question_.hops + 1)) {}

void RemoteRun::StartTry() {
  const SteadyTime now = loop().clock().Now();
  const Targets& targets = *part().targets;
  // With one target, a second call would only be slow, too.
  const bool may_hedge = core_->remote.is_idempotent && targets.size() > 1;
  absl::InlinedVector<const Target*, kTriesMax> tried;
  for (const Try& each : tries_) tried.push_back(each.target.get());
  const size_t index = tries_.size();
  Try& added = tries_.emplace_back();
  added.target = targets[PickTarget(targets, tried, now, part().random)];
  added.begun = now;
  const Target& target = *added.target;
  target.record->OnStart();
  net::UnaryRequest request{.path = kPredictMethod,
                            .message = question_.message,
                            .metadata = core_->metadata,
                            .deadline = question_.deadline,
                            .answer_bytes_max = core_->settings.answer_bytes_max,
                            .budget = core_->engine.request_budget(),
                            .landing = tfs::PredictResponseLanding};
  request.metadata.emplace_back(std::string(kHopsField), hops_);
  added.call = target.channels[loop_]->Start(
      std::move(request), [self = shared_from_this(), index](net::UnaryAnswer&& answer) {
        self->OnAnswer(index, std::move(answer));
      });
  if (may_hedge && tries_.size() < kTriesMax)
    loop().timers().Arm(*this, now + part().latencies.SlowAfter());
}

size_t RemoteRun::OpenTries() const {
  return static_cast<size_t>(std::ranges::count(tries_, true, &Try::is_open));
}

void RemoteRun::OnAnswer(size_t index, net::UnaryAnswer&& answer) {
  Try& each = tries_[index];
  each.is_open = false;
  const Target& target = *each.target;
  target.record->OnEnd();
  if (is_over_) return;  // it has lost the race, or was given up
  const SteadyTime now = loop().clock().Now();
  if ((core_->remote.is_followed || core_->is_shard) && LacksVersion(answer)) {
    // It has lost the version since it was asked. Another one may have it.
    answer.status = Error(StatusCode::kUnavailable, "{}", MessageOf(answer.status));
    answer.is_unprocessed = true;
    core_->NoteBrokenConnection(now);
  }
  if (answer.status.ok()) return OnGoodAnswer(each, std::move(answer.message));
  const StatusCode code = answer.status.code();
  if (!answer.is_from_server || code == StatusCode::kUnavailable) {
    core_->metrics.failures.Add();
    Blame(each, now);
    if (!answer.is_from_server) core_->NoteBrokenConnection(now);
  } else {
    target.record->OnGood(now - each.begun, now);
  }
  if (TryAgain(answer) || OpenTries() > 0) return;
  Answer(ErrorOf(target, answer));
}

void RemoteRun::OnGoodAnswer(Try& winner, Slice&& message) {
  const SteadyTime now = loop().clock().Now();
  const Duration latency = now - winner.begun;
  winner.target->record->OnGood(latency, now);
  part().latencies.Add(latency);
  for (Try& each : tries_) {
    if (each.is_open && each.begun < winner.begun) Blame(each, now);
  }
  Answer(std::move(message));
}

bool RemoteRun::TryAgain(const net::UnaryAnswer& answer) {
  if (answer.status.code() != StatusCode::kUnavailable || tries_.size() == kTriesMax) return false;
  if (part().targets->empty()) return false;
  if (!answer.is_unprocessed && !core_->remote.is_idempotent) return false;
  if (!part().retries.Take()) return false;
  core_->metrics.retries.Add();
  StartTry();
  return true;
}

bool RemoteRun::IsStuck(Try& each, SteadyTime now) {
  TargetRecord& record = *each.target->record;
  const Duration limit = std::max(kStuckShare * part().latencies.SlowAfter(), kStuckMin);
  if (now - each.begun < limit) return record.IsEjected(now);
  Blame(each, now);
  return true;
}

void RemoteRun::Blame(Try& each, SteadyTime now) {
  if (std::exchange(each.is_blamed, true)) return;
  each.target->record->OnBad(now - each.begun, now);
}

void RemoteRun::OnTimer() {
  if (is_over_ || tries_.size() == kTriesMax || part().targets->empty()) return;
  const SteadyTime now = loop().clock().Now();
  bool is_stuck = false;
  for (Try& each : tries_) is_stuck |= each.is_open && IsStuck(each, now);
  if (part().hedges.Take() || (is_stuck && part().retries.Take())) {
    core_->metrics.hedges.Add();
    return StartTry();
  }
  loop().timers().Arm(*this, now + part().latencies.SlowAfter());
}

void RemoteRun::GiveUp(bool has_expired) {
  if (is_over_) return;
  const SteadyTime now = loop().clock().Now();
  if (has_expired) {
    for (Try& each : tries_) {
      if (each.is_open) Blame(each, now);
    }
  }
  End();
  done_ = nullptr;
}

Status RemoteRun::ErrorOf(const Target& target, const net::UnaryAnswer& answer) const {
  const StatusCode code = answer.status.code();
  if (code == StatusCode::kDeadlineExceeded) return answer.status;
  // The client's own credentials have nothing to do with it.
  if (answer.is_from_server &&
      (code == StatusCode::kUnauthenticated || code == StatusCode::kPermissionDenied))
    return Error(StatusCode::kUnavailable, "target {} refuses this server: {}", target.name,
                 MessageOf(answer.status));
  return Error(code, "target {}: {}", target.name, MessageOf(answer.status));
}

void RemoteRun::End() {
  is_over_ = true;
  Disarm();
  for (const Try& each : tries_) {
    if (each.is_open) each.target->channels[loop_]->Cancel(each.call);
  }
}

void RemoteRun::Answer(StatusOr<Slice>&& answer) {
  // Before `done`, after which the version may be unloaded.
  End();
  Done done = std::move(done_);
  done(std::move(answer));
}

}  // namespace penstock::remote
