// SPDX-License-Identifier: Apache-2.0
// A request of ModelService.HandleReloadConfigRequest.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "base/clock.h"
#include "base/status.h"
#include "config/config_files.h"

namespace penstock::tfs {

// A list of models that replaces the configuration. One thread at a time.
struct ReloadRequest {
  std::string by = "a client";  // who made the request, for the log
  std::vector<ConfiguredModel> models;
  SteadyTime deadline = kNoDeadline;
  std::function<bool()> is_wanted;  // false once the client has left; call it on any thread
  // Gets OK once every model has an available version, or the reason for the failure. Called once,
  // on any thread.
  absl::AnyInvocable<void(Status)> done;
};

// The ports that answer HandleReloadConfigRequest. The request can name any path of the host, and
// its sender can replace every model, so access must be limited.
enum class ReloadAccess {
  kNone,
  kProtected,  // ports that require client certificates, loopback addresses, unix sockets
  kAll,
};

// Accepts a request, and returns at once. Thread-safe.
using ReloadFunction = std::function<void(ReloadRequest)>;

}  // namespace penstock::tfs
