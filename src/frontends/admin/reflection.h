// SPDX-License-Identifier: Apache-2.0
// gRPC server reflection, v1 and v1alpha. Clients such as grpcurl use it to learn the services and
// messages. The answers come from the descriptors that are linked into the program.
#pragma once

#include <string_view>

#include "net/frontend.h"

namespace penstock {

// Serves both versions of reflection. Thread-safe.
class ReflectionFrontend final : public net::Frontend {
 public:
  std::string_view name() const override { return "reflection"; }
  void Register(net::Router& router) override;
  void RegisterProbes(net::Router& router) override { Register(router); }
  void RegisterAdmin(net::Router& router) override { Register(router); }
};

}  // namespace penstock
