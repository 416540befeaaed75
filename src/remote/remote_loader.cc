// SPDX-License-Identifier: Apache-2.0
#include "remote/remote_loader.h"

#include <optional>
#include <utility>

#include "infer/served_model.h"
#include "remote/configured_targets.h"
#include "remote/messages.h"
#include "remote/remote_model.h"
#include "remote/token_file.h"

namespace penstock::remote {

// Asks all targets at the same time for the description of the model. Thread-safe.
class RemoteLoader::Question final : public std::enable_shared_from_this<Question> {
 public:
  // Begins. `core` must live until Wait has returned and it is closed.
  void Ask(RemoteCore& core) {
    core.Open([self = shared_from_this(), &core](const auto& targets) {
      if (targets.ok()) return self->AskTargets(core, **targets);
      self->OnAnswer("", targets.status());
    });
  }
  StatusOr<ModelInfo> Wait() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    while (!info_ && missing_ > 0 && !is_cancelled_) changed_.Wait(mutex_);
    if (info_) return *std::move(info_);
    if (is_cancelled_) return absl::CancelledError("the load was cancelled");
    return Error(StatusCode::kUnavailable, "no target has described the model: {}",
                 failures_.empty() ? "there are none" : failures_);
  }
  void Cancel() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    is_cancelled_ = true;
    changed_.NotifyAll();
  }

 private:
  void AskTargets(const RemoteCore& core, const Targets& targets) EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      missing_ = targets.size();
      changed_.NotifyAll();
    }
    for (const std::shared_ptr<Target>& target : targets) {
      net::UnaryRequest request{.path = kMetadataMethod,
                                .message = WriteMetadataRequest(core.remote),
                                .metadata = core.metadata,
                                .deadline = std::chrono::steady_clock::now() +
                                            core.settings.connect_timeout + kDescribeTime,
                                .answer_bytes_max = kDescriptionBytesMax};
      target->channels[0]->Start(
          std::move(request),
          [self = shared_from_this(), name = target->name](net::UnaryAnswer&& answer) {
            self->OnAnswer(name + ": ", answer.status.ok() ? ReadMetadataResponse(answer.message)
                                                           : StatusOr<ModelInfo>(answer.status));
          });
    }
  }
  // `target`: how a message about it begins.
  void OnAnswer(const std::string& target, StatusOr<ModelInfo> info) EXCLUDES(mutex_) {
    constexpr size_t kFailureBytesMax = 1000;
    MutexLock lock(mutex_);
    --missing_;
    if (info.ok()) {
      if (!info_) info_ = *std::move(info);
    } else if (failures_.size() < kFailureBytesMax) {
      failures_ +=
          fmt::format("{}{}{}", failures_.empty() ? "" : "; ", target, MessageOf(info.status()));
    }
    changed_.NotifyAll();
  }

  Mutex mutex_;
  CondVar changed_;
  size_t missing_ GUARDED_BY(mutex_) = 1;  // answers; at first, the targets themselves
  bool is_cancelled_ GUARDED_BY(mutex_) = false;
  std::optional<ModelInfo> info_ GUARDED_BY(mutex_);
  std::string failures_ GUARDED_BY(mutex_);
};

StatusOr<std::unique_ptr<core::Servable>> RemoteLoader::Load() {
  ASSIGN_OR_RETURN(std::string token, ReadToken(remote_.token_file));
  std::shared_ptr<RemoteLoops> loops = loops_.Get();
  RemoteVersion remote = remote_;
  std::shared_ptr<TargetSource> source;
  if (watch_ != nullptr) {
    remote.version = id_.version;
    if (!watch_->view().is_unversioned) remote.model_version = id_.version;
    source = watch_->TargetsOf(/*shard=*/0, id_.version);
  } else {
    source = std::make_shared<ConfiguredTargets>(id_.name, remote.targets, settings_.dns_interval,
                                                 *loops);
  }
  auto core = std::make_shared<RemoteCore>(id_, std::move(remote), settings_, std::move(token),
                                           engine_, *loops, metrics_, std::move(source));
  const auto question = std::make_shared<Question>();
  {
    MutexLock lock(mutex_);
    question_ = question;
  }
  question->Ask(*core);
  StatusOr<ModelInfo> info = question->Wait();
  {
    MutexLock lock(mutex_);
    question_ = nullptr;
  }
  if (!info.ok()) {
    core->Close();  // before the loops
    return std::move(info).status();
  }
  core->info = *std::move(info);
  return MakeServedModel(id_, std::make_unique<RemoteModel>(std::move(loops), std::move(core)),
                         metrics_, inline_options_);
}

void RemoteLoader::Cancel() {
  MutexLock lock(mutex_);
  if (question_ != nullptr) question_->Cancel();
}

}  // namespace penstock::remote
