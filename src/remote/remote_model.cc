// SPDX-License-Identifier: Apache-2.0
#include "remote/remote_model.h"

#include "infer/infer_call.h"
#include "remote/messages.h"
#include "remote/run.h"

namespace penstock::remote {

// One request. It begins on any thread, and then belongs to a loop.
class RemoteModel::Request final : public std::enable_shared_from_this<Request> {
 public:
  // `request` lives until `done` is called.
  Request(std::shared_ptr<RemoteCore> core, const InferRequest& request, ResponseCallback done)
      : core_(std::move(core)),
        loop_(core_->loops.ForCaller()),
        request_(&request),
        done_(std::move(done)) {}

  void Start() {
    Status status = CheckHops(request_->hops, core_->settings);
    if (!status.ok()) return AnswerError(done_, std::move(status));
    RequestMemory memory = core_->engine.MemoryOfAnswer();
    StatusOr<ByteChain> message = WritePredict(core_->remote, *request_, memory);
    if (!message.ok()) return AnswerError(done_, std::move(message).status());
    if (loop().IsCurrent()) return Begin(*std::move(message));
    loop().Post([self = shared_from_this(), message = *std::move(message)]() mutable {
      self->Begin(std::move(message));
    });
  }

 private:
  net::IoLoop& loop() { return core_->loops.at(loop_); }

  void Begin(ByteChain&& message) {
    std::shared_ptr<RemoteRun> run = RemoteRun::Begin(
        core_, loop_, {std::move(message), request_->deadline, request_->hops},
        [self = shared_from_this()](StatusOr<Slice>&& answer) { self->OnAnswer(answer); });
    if (request_ == nullptr) return;
    run_ = std::move(run);
    if (request_->cancel != nullptr)
      request_->cancel->SetCallback(
          [self = shared_from_this()] { self->loop().Post([self] { self->OnCancel(); }); });
  }

  void OnAnswer(const StatusOr<Slice>& answer) {
    if (!answer.ok()) return Fail(answer.status());
    RequestMemory memory = core_->engine.MemoryOfRequest();
    StatusOr<NamedTensors> outputs = ReadPredict(core_->info, *request_, *answer, memory);
    if (!outputs.ok()) return Fail(std::move(outputs).status());
    InferResponse response;
    response.outputs = *std::move(outputs);
    Answer(std::move(response));
  }

  void OnCancel() {
    if (request_ == nullptr) return;
    const StatusCode code = OutcomeOf(StatusCode::kCancelled, request_->cancel);
    run_->GiveUp(code == StatusCode::kDeadlineExceeded);
    Fail(Error(code, "the request was given up while a target worked on it"));
  }

  void Fail(Status status) {
    InferResponse response;
    response.status = std::move(status);
    Answer(std::move(response));
  }

  void Answer(InferResponse&& response) {
    run_ = nullptr;
    if (CancelToken* const cancel = std::exchange(request_, nullptr)->cancel; cancel != nullptr)
      cancel->ClearCallback();
    // The version may be unloaded then.
    ResponseCallback done = std::move(done_);
    done(std::move(response));
  }

  const std::shared_ptr<RemoteCore> core_;
  const size_t loop_;
  const InferRequest* request_;  // null: it is answered
  ResponseCallback done_;
  // Shared with the calls that are open.
  std::shared_ptr<RemoteRun> run_;
};

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
  std::make_shared<Request>(core_, request, std::move(done))->Start();
}

}  // namespace penstock::remote
