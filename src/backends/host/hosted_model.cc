// SPDX-License-Identifier: Apache-2.0
#include "backends/host/hosted_model.h"

#include <exception>
#include <new>
#include <utility>

#include "backends/host/backend_log.h"
#include "backends/host/hosted_run.h"
#include "base/request_memory.h"

namespace penstock {

HostedModel::HostedModel(const PenstockBackend& backend, void* model, abi::Description description,
                         DeadlineWatch& watch, absl::AnyInvocable<void()> on_unload)
    : backend_(backend),
      model_(model),
      description_(std::move(description)),
      watch_(watch),
      on_unload_(std::move(on_unload)),
      queue_(description_.runs_max, [this](HostedRun* run) { Start(run); }) {}

HostedModel::~HostedModel() {
  // First, so that a report of the backend that the model is broken does not reach an object that
  // is half destroyed.
  on_unload_();
  const ModelOnThread model_on_thread(name_);
  backend_.unload(model_);
}

void HostedModel::SetBrokenCallback(core::BrokenCallback callback) {
  MutexLock lock(mutex_);
  broken_callback_ = std::move(callback);
  if (!broken_reason_.ok()) broken_callback_(broken_reason_);
}

void HostedModel::MarkBroken(std::string_view reason) {
  MutexLock lock(mutex_);
  if (!broken_reason_.ok()) return;
  broken_reason_ = Error(StatusCode::kUnavailable, "the backend '{}' reported it as broken: {}",
                         description_.info.platform, reason);
  broken_.store(true, std::memory_order_release);
  if (broken_callback_) broken_callback_(broken_reason_);
}

Status HostedModel::CheckStart(const InferRequest& request) const {
  if (request.cancel != nullptr && request.cancel->IsCancelled()) {
    return request.cancel->HasExpired()
               ? absl::DeadlineExceededError("the deadline passed before the model ran")
               : absl::CancelledError("the request was cancelled");
  }
  return NotBroken();
}

Status HostedModel::NotBroken() const {
  if (!broken_.load(std::memory_order_acquire)) return OkStatus();
  MutexLock lock(mutex_);
  return broken_reason_;
}

void HostedModel::Run(const InferRequest& request, ResponseCallback done) {
  Status status = CheckStart(request);
  if (!status.ok()) return AnswerError(done, std::move(status));
  // The run owns itself, and ends with the backend's last part, which may come long after this
  // function returns.
  auto* run = new HostedRun(description_, queue_, request, std::move(done), watch_);
  switch (queue_.Enter(run)) {
    case RunQueue::Entry::kStart:
      Start(run);
      break;
    case RunQueue::Entry::kWaits:
      break;
    case RunQueue::Entry::kRefused:
      run->Fail(Error(StatusCode::kUnavailable,
                      "the backend '{}' takes {} runs at once, and {} more wait already",
                      description_.info.platform, description_.runs_max, RunQueue::kWaitingMax));
      run->Unref();
      break;
  }
}

void HostedModel::Start(HostedRun* run) noexcept {
  Status status = run->StillWanted();
  if (status.ok()) status = NotBroken();  // the run may have waited in the queue
  if (status.ok()) status = run->Prepare();
  if (!status.ok()) {
    run->Fail(std::move(status));
  } else {
    // A backend without the C++ wrapper may throw through its C function.
    try {
      const ModelOnThread model_on_thread(name_);
      backend_.run(model_, run);
    } catch (const std::bad_alloc&) {
      run->Fail(OutOfMemory("the model's run"));
    } catch (const std::exception& error) {
      run->Fail(Error(StatusCode::kInternal, "the backend threw: {}", error.what()));
    } catch (...) {
      run->Fail(absl::InternalError("the backend threw"));
    }
  }
  run->Unref();
}

}  // namespace penstock
