// SPDX-License-Identifier: Apache-2.0
// A protocol: turns calls of the network layer into requests of the engine, and answers back into
// bytes.
#pragma once

#include <string_view>

#include "net/router.h"

namespace penstock {

// One protocol. Thread-safe once registered: its handlers run on every event loop. Outlives the
// server.
class Frontend {
 public:
  virtual ~Frontend() = default;
  // As "tfs_grpc": for logs and metric labels.
  virtual std::string_view name() const = 0;
  // Adds its paths and methods. Called once, before the server starts.
  virtual void Register(net::Router& router) = 0;
  // Adds what --health_port serves: probes and metrics, nothing that changes or runs a model.
  // Called at most once, after Register.
  virtual void RegisterProbes(net::Router& router) { static_cast<void>(router); }
};

}  // namespace penstock
