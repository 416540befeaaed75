// SPDX-License-Identifier: Apache-2.0
// Check answers once. Watch stays open: it sends the status at once and after each change. Changes
// come on threads of the manager, and messages leave on the event loop of the call, so a Watcher
// must keep the order, and it must not fill the memory for a client that does not read. It does
// both with one rule: only one message of a call is on its way, and when it is out, the watcher
// compares the newest status with the last one sent.
#include "frontends/admin/health.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "access/caller.h"
#include "base/status.h"
#include "grpc/health/v1/health.pb.h"

namespace penstock {
namespace {

using CallerPtr = std::shared_ptr<const access::Caller>;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

ByteChain Answer(HealthCheckResponse::ServingStatus status) {
  HealthCheckResponse response;
  response.set_status(status);
  ByteChain chain;
  chain.AppendCopy(response.SerializeAsString());
  return chain;
}

bool Parse(const Slice& bytes, HealthCheckRequest& request) {
  return request.ParseFromArray(bytes.data, static_cast<int>(bytes.size));
}

// The longest name. A watch keeps its name as long as the client wants, and no model or service has
// a longer one.
constexpr size_t kNameBytesMax = 4096;

Status CheckRequest(const Slice& bytes, HealthCheckRequest& request) {
  if (!Parse(bytes, request))
    return InvalidArgument("the message is no grpc.health.v1.HealthCheckRequest");
  if (request.service().size() <= kNameBytesMax) return OkStatus();
  return InvalidArgument("the name of the service has {} bytes; at most {} are allowed",
                         request.service().size(), kNameBytesMax);
}

}  // namespace

// One Watch call. Sends the status at once and after each change. Thread-safe.
class HealthFrontend::Watcher final : public std::enable_shared_from_this<Watcher> {
 public:
  Watcher(const HealthFrontend& health, net::GrpcCallRef call, CallerPtr caller,
          std::string service)
      : health_(health),
        call_(std::move(call)),
        caller_(std::move(caller)),
        service_(std::move(service)) {}

  net::GrpcCall& call() { return *call_; }

  // Sends the status if it differs from the last one sent.
  void Update() EXCLUDES(mutex_) {
    // Only one thread at a time sends, so that the messages have the order of the changes, and the
    // queue of the call holds at most one. A change that comes meanwhile marks the watcher as
    // stale.
    if (!Claim()) return;
    for (;;) {
      const HealthCheckResponse::ServingStatus status = Current();
      if (IsNews(status)) {
        // The claim is kept until the message is out. Then Update compares again, and sends what
        // has changed since. A slow client gets the newest status, not all of them.
        return call_->Write(Answer(status), [self = shared_from_this()](bool ok) {
          self->Release();
          if (ok) self->Update();
        });
      }
      if (ReleaseUnlessStale()) return;
    }
  }

 private:
  HealthCheckResponse::ServingStatus Current() const {
    const std::optional<bool> serving = health_.IsServing(service_, caller_.get());
    if (!serving) return HealthCheckResponse::SERVICE_UNKNOWN;
    return *serving ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING;
  }
  // Returns true if the caller must send the status. If another thread is at it, that one checks
  // the status again.
  bool Claim() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    is_stale_ = is_busy_;
    return !std::exchange(is_busy_, true);
  }
  bool IsNews(HealthCheckResponse::ServingStatus status) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return std::exchange(last_, status) != status;
  }
  bool ReleaseUnlessStale() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    is_busy_ = std::exchange(is_stale_, false);
    return !is_busy_;
  }
  void Release() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    is_busy_ = is_stale_ = false;
  }

  const HealthFrontend& health_;
  const net::GrpcCallRef call_;
  const CallerPtr caller_;
  const std::string service_;
  Mutex mutex_;
  bool is_busy_ GUARDED_BY(mutex_) = false;
  bool is_stale_ GUARDED_BY(mutex_) = false;
  std::optional<HealthCheckResponse::ServingStatus> last_ GUARDED_BY(mutex_);
};

HealthFrontend::HealthFrontend(Readiness& readiness) : readiness_(readiness) {
  listener_ = readiness_.AddListener([this] { UpdateWatchers(); });
}

HealthFrontend::~HealthFrontend() { readiness_.RemoveListener(listener_); }

void HealthFrontend::Register(net::Router& router) {
  router_ = &router;
  RegisterProbes(router);
}

void HealthFrontend::RegisterProbes(net::Router& router) {
  // Probes are answered also at the limit of requests, and while the server drains.
  router.AddGrpc({.method = "/grpc.health.v1.Health/Check",
                  .handler = [this](net::GrpcCallRef call) { Check(std::move(call)); },
                  .message_bytes_max = net::kControlMessageBytesMax,
                  .counts_as_request = false,
                  .on_every_port = true,
                  .access = net::RouteAccess::kEveryone});
  router.AddGrpc({.method = "/grpc.health.v1.Health/Watch",
                  .is_unary = false,
                  .handler = [this](net::GrpcCallRef call) { Watch(std::move(call)); },
                  .message_bytes_max = net::kControlMessageBytesMax,
                  .counts_as_request = false,
                  .on_every_port = true,
                  .access = net::RouteAccess::kEveryone});
}

std::optional<bool> HealthFrontend::IsServing(std::string_view service,
                                              const access::Caller* caller) const {
  if (service.empty()) return readiness_.IsServerReady();
  // A model comes before a service of the same name: users choose the names of models, and ask for
  // them.
  const std::optional<bool> model = readiness_.IsModelReady(service);
  if (model && access::May(caller, access::Operation::kStatus, service)) return model;
  const std::vector<std::string> services = router_->GrpcServices();
  const bool is_known = std::any_of(services.begin(), services.end(), [&](std::string_view name) {
    return name == service || name.substr(name.rfind('.') + 1) == service;
  });
  if (!is_known) return std::nullopt;
  // A service has no state of its own: it is ready when the server is.
  return readiness_.IsServerReady();
}

void HealthFrontend::Check(net::GrpcCallRef call) const {
  HealthCheckRequest request;
  if (const Status status = CheckRequest(call->message(), request); !status.ok())
    return call->Finish(status);
  const std::optional<bool> serving = IsServing(request.service(), call->head().caller.get());
  // The health protocol wants NOT_FOUND here. A watch stays open and gets SERVICE_UNKNOWN, because
  // the model may be added later.
  if (!serving)
    return call->Finish(Error(StatusCode::kNotFound, "'{}' is neither a model nor a gRPC service",
                              request.service()));
  call->Respond(Answer(*serving ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING));
}

void HealthFrontend::Watch(net::GrpcCallRef call) {
  net::GrpcCall& target = *call;
  // Taken now, because the head of a watch lives only until this function returns.
  CallerPtr caller = call->head().caller;
  target.Read(
      [this, call = std::move(call), caller = std::move(caller)](std::optional<Slice> message) {
        HealthCheckRequest request;
        const Status status = CheckRequest(message.value_or(Slice{}), request);
        // A streaming call may end without a message.
        if (!message || !status.ok()) {
          return call->Finish(message ? status : InvalidArgument("the call has no message"));
        }
        auto watcher = std::make_shared<Watcher>(*this, call, caller, request.service());
        // Add it before the first status is read. Otherwise a change between the two would be lost.
        // The cancel callback comes last, and runs at once if the client has gone: so every watcher
        // that was added is removed.
        Add(watcher);
        watcher->Update();
        call->cancel().SetCallback([this, watcher] { Remove(watcher); });
      });
}

void HealthFrontend::Add(std::shared_ptr<Watcher> watcher) {
  MutexLock lock(mutex_);
  watchers_.insert(std::move(watcher));
}

void HealthFrontend::Remove(const std::shared_ptr<Watcher>& watcher) {
  MutexLock lock(mutex_);
  watchers_.erase(watcher);
}

void HealthFrontend::UpdateWatchers() {
  std::vector<std::shared_ptr<Watcher>> watchers;
  {
    MutexLock lock(mutex_);
    // A copy, because Update writes to a call, and the end of a call takes this lock (Remove).
    watchers.assign(watchers_.begin(), watchers_.end());
  }
  for (const auto& watcher : watchers) watcher->Update();
}

}  // namespace penstock
