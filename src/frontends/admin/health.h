// SPDX-License-Identifier: Apache-2.0
// grpc.health.v1.Health. Kubernetes and gRPC clients call it before they send requests.
// The name in the request means:
//   ""                the server
//   a gRPC service    the server; also without the package, as "PredictionService",
//                     because tensorflow_model_server answers for such names
//   a model           that model
//   anything else     Check: NOT_FOUND; Watch: SERVICE_UNKNOWN, until it becomes known
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string_view>

#include "base/mutex.h"
#include "infer/readiness.h"
#include "net/frontend.h"

namespace penstock::access {
class Caller;
}

namespace penstock {

// Serves Check and Watch, of the gRPC health checking protocol. A watch gets a message at once, and
// another one after each change; it ends when the server drains. Thread-safe. `readiness` outlives
// it.
class HealthFrontend final : public net::Frontend {
 public:
  explicit HealthFrontend(Readiness& readiness);
  ~HealthFrontend() override;
  HealthFrontend(const HealthFrontend&) = delete;
  HealthFrontend& operator=(const HealthFrontend&) = delete;

  std::string_view name() const override { return "health"; }
  void Register(net::Router& router) override;
  void RegisterProbes(net::Router& router) override;
  void RegisterAdmin(net::Router& router) override { RegisterProbes(router); }

 private:
  class Watcher;

  // Returns none if `service` is unknown, or a model that the caller must not see.
  std::optional<bool> IsServing(std::string_view service, const access::Caller* caller) const;
  // Check answers once. Watch keeps the call until the client leaves.
  void Check(net::GrpcCallRef call) const;
  void Watch(net::GrpcCallRef call);
  void Add(std::shared_ptr<Watcher> watcher) EXCLUDES(mutex_);
  void Remove(const std::shared_ptr<Watcher>& watcher) EXCLUDES(mutex_);
  // Sends their new state to the watchers whose state has changed.
  void UpdateWatchers() EXCLUDES(mutex_);

  Readiness& readiness_;
  const net::Router* router_ = nullptr;  // set at the registration, then constant
  Mutex mutex_;
  std::set<std::shared_ptr<Watcher>> watchers_ GUARDED_BY(mutex_);
  int listener_ = 0;  // constant after the construction
};

}  // namespace penstock
