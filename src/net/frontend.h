// SPDX-License-Identifier: Apache-2.0
// A front end speaks one protocol. It registers the paths and methods that it answers.
#pragma once

#include <string_view>

#include "net/router.h"

namespace penstock::net {

// One protocol. A new one is a folder in src/frontends with a class like this, and one line in
// app/builtins.cc:
//
//   class EchoFrontend final : public net::Frontend {
//    public:
//     std::string_view name() const override { return "echo"; }
//     void Register(net::Router& router) override {
//       router.AddHttp({.path = "/echo", .methods = {"POST"}, .handler = Echo,
//                       .access = net::RouteAccess::kCallers});
//     }
//   };
//
// Calls that run a model derive from NetCall (calls/net_call.h). docs/add-a-frontend.md has the
// steps. Thread-safe once registered: its handlers run on every event loop. Must outlive the
// server.
class Frontend {
 public:
  virtual ~Frontend() = default;
  // The name in logs and metric labels, such as "tfs_grpc".
  virtual std::string_view name() const = 0;
  // Adds the paths and methods of the protocol. Called once, before the server starts.
  virtual void Register(Router& router) = 0;
  // Adds the paths that --health_port serves: probes and metrics, but nothing that changes or runs
  // a model. Called at most once, after Register.
  virtual void RegisterProbes(Router& router) { static_cast<void>(router); }
  // Adds the paths that --admin_port serves, if there is such a port: probes, metrics, and what
  // shows and changes models. Register then leaves out the paths that only that port serves. Called
  // at most once, after Register.
  virtual void RegisterAdmin(Router& router) { static_cast<void>(router); }
};

}  // namespace penstock::net
