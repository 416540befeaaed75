// SPDX-License-Identifier: Apache-2.0
#include "net/client/channel.h"

#include <algorithm>
#include <deque>
#include <random>
#include <utility>

namespace penstock::net {

// The part of a channel that lives on the loop. Its tasks keep it alive. Owned by loop.
class GrpcChannel::Core final : public std::enable_shared_from_this<Core>,
                                public ConnectionOwner,
                                private LoopUser {
 public:
  Core(IoLoop& loop, ChannelOptions options)
      : loop_(loop), options_(std::move(options)), backoff_(options_.backoff_min) {}

  void Start(uint64_t id, UnaryRequest&& request, UnaryDone&& done) {
    if (!is_user_ && !is_closed_) is_user_ = loop_.AddUser(*this);
    if (is_closed_ || !is_user_) return Refuse(done, "the channel is closed");
    if (calls_.size() >= options_.calls_max) return Refuse(done, TooManyCalls());
    auto call = std::make_unique<ClientCall>(
        id, std::move(request), std::move(done), [this](ClientCall& late) {
          GiveUp(late, absl::DeadlineExceededError("the deadline has passed"));
        });
    ClientCall& added = *call;
    calls_.emplace(id, std::move(call));
    if (added.request.deadline != kNoDeadline) {
      if (added.request.deadline <= loop_.clock().Now())
        return GiveUp(added, absl::DeadlineExceededError("the deadline has passed"));
      loop_.timers().Arm(added, added.request.deadline);
    }
    Place(added);
  }

  // True if Start would give the call to a connection, and answer nothing at once.
  bool MayStartNow(const UnaryRequest& request) const {
    return !is_closed_ && calls_.size() < options_.calls_max && current_ != nullptr &&
           current_->is_ready() && current_->session().may_start() &&
           (request.deadline == kNoDeadline || request.deadline > loop_.clock().Now());
  }

  void Cancel(uint64_t id) {
    const auto found = calls_.find(id);
    if (found != calls_.end())
      GiveUp(*found->second, absl::CancelledError("the call was cancelled"));
  }

  void Close() {
    is_closed_ = true;
    loop_.RemoveUser(*this);
    std::vector<uint64_t> open;
    for (const auto& [id, call] : calls_) open.push_back(id);
    for (const uint64_t id : open) Cancel(id);
    if (current_ != nullptr) std::exchange(current_, nullptr)->Close("the channel is closed");
    for (const auto& connection : std::exchange(leaving_, {})) connection->Close("");
  }

 private:
  void OnLoopEnd() override {
    const auto self = shared_from_this();
    Close();
  }

  std::string TooManyCalls() const {
    return fmt::format("{} calls to {} are open, which is the limit", calls_.size(),
                       options_.Address());
  }

  static void Refuse(UnaryDone& done, std::string_view reason) {
    done({.status = Error(StatusCode::kUnavailable, "{}", reason), .is_unprocessed = true});
  }

  // Gives the call to the connection, or lets it wait for one.
  void Place(ClientCall& call) {
    if (current_ != nullptr && !current_->session().is_open()) Retire();
    if (current_ != nullptr && current_->is_ready()) return current_->Start(call);
    if (current_ == nullptr) {
      if (loop_.clock().Now() < next_attempt_) {
        call.answer = {.status = failure_, .is_unprocessed = true};
        return OnCallEnd(call);
      }
      current_ = std::make_shared<ClientConnection>(loop_, options_, *this);
      current_->Connect();
    }
    waiting_.push_back(&call);
  }

  // The server goes away: the connection ends after its open calls.
  void Retire() {
    std::shared_ptr<ClientConnection> old = std::exchange(current_, nullptr);
    leaving_.push_back(old);
    old->CloseIfDone();
  }

  void GiveUp(ClientCall& call, Status status) {
    const bool was_waiting = std::erase(waiting_, &call) > 0;
    call.answer = {.status = std::move(status), .is_unprocessed = was_waiting || call.stream == 0};
    if (!was_waiting) {
      if (current_ != nullptr) current_->session().Cancel(call);
      for (const auto& connection : leaving_) connection->session().Cancel(call);
    }
    OnCallEnd(call);
  }

  void OnReady(ClientConnection&) override {
    backoff_ = options_.backoff_min;
    for (ClientCall* call : std::exchange(waiting_, {})) Place(*call);
  }

  void OnClosed(ClientConnection& connection, const Status& reason) override {
    const bool was_ready = connection.is_ready();
    std::erase_if(leaving_, [&](const auto& each) { return each.get() == &connection; });
    if (current_.get() != &connection) return;
    current_ = nullptr;
    if (was_ready) return;
    failure_ = reason;
    // Some chance in it, so that not all clients of a server come back at the same moment.
    next_attempt_ =
        loop_.clock().Now() + backoff_ * std::uniform_int_distribution<int>(80, 120)(random_) / 100;
    backoff_ = std::min(backoff_ * 2, options_.backoff_max);
    for (ClientCall* call : std::exchange(waiting_, {})) {
      call->answer = {.status = reason, .is_unprocessed = true};
      OnCallEnd(*call);
    }
  }

  void OnCallEnd(ClientCall& call) override {
    const auto found = calls_.find(call.id);
    const std::unique_ptr<ClientCall> ended = std::move(found->second);
    calls_.erase(found);
    ended->Disarm();
    ended->done(std::move(ended->answer));
  }

  IoLoop& loop_;
  const ChannelOptions options_;
  absl::flat_hash_map<uint64_t, std::unique_ptr<ClientCall>> calls_;
  std::vector<ClientCall*> waiting_;  // for the connection
  std::shared_ptr<ClientConnection> current_;
  std::vector<std::shared_ptr<ClientConnection>> leaving_;
  Duration backoff_;
  SteadyTime next_attempt_;
  Status failure_;  // of the last attempt to connect
  bool is_closed_ = false;
  bool is_user_ = false;  // of the loop
  std::minstd_rand random_{std::random_device{}()};
};

// A call on its way to the loop. If the loop has ended, it ends there. One thread at a time.
class GrpcChannel::PostedStart final {
 public:
  PostedStart(std::shared_ptr<Core> core, uint64_t id, UnaryRequest&& request, UnaryDone&& done)
      : core_(std::move(core)), id_(id), request_(std::move(request)), done_(std::move(done)) {}
  ~PostedStart() {
    if (done_) done_({.status = absl::CancelledError("the loop has ended")});
  }
  PostedStart(const PostedStart&) = delete;
  PostedStart& operator=(const PostedStart&) = delete;

  void Run() { core_->Start(id_, std::move(request_), std::exchange(done_, nullptr)); }

 private:
  const std::shared_ptr<Core> core_;
  const uint64_t id_;
  UnaryRequest request_;
  UnaryDone done_;
};

GrpcChannel::GrpcChannel(IoLoop& loop, ChannelOptions options)
    : loop_(loop), core_(std::make_shared<Core>(loop, std::move(options))) {}

GrpcChannel::~GrpcChannel() {
  loop_.Post([core = core_] { core->Close(); });
}

uint64_t GrpcChannel::Start(UnaryRequest request, UnaryDone done) {
  const uint64_t id = next_id_.fetch_add(1, std::memory_order_relaxed);
  // Without a turn of the loop in between. Only if `done` is called later nevertheless.
  if (loop_.IsCurrent() && core_->MayStartNow(request)) {
    core_->Start(id, std::move(request), std::move(done));
    return id;
  }
  auto start = std::make_unique<PostedStart>(core_, id, std::move(request), std::move(done));
  loop_.Post([start = std::move(start)] { start->Run(); });
  return id;
}

void GrpcChannel::Cancel(uint64_t call) {
  loop_.Post([core = core_, call] { core->Cancel(call); });
}

}  // namespace penstock::net
