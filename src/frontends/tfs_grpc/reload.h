// SPDX-License-Identifier: Apache-2.0
// What a client wants with ModelService.HandleReloadConfigRequest.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "base/clock.h"
#include "base/status.h"
#include "protocols/tfs/config_files.h"

namespace penstock::tfs {

// A list of models that replaces the one that is served. One thread at a time.
struct ReloadRequest {
  std::string by = "a client";  // who asks for it, for the log
  std::vector<ConfiguredModel> models;
  SteadyTime deadline = kNoDeadline;
  std::function<bool()> is_wanted;  // false once the client has gone; any thread
  // Gets OK once every model has a version available, or why not. Called once, on any thread.
  absl::AnyInvocable<void(Status)> done;
};

// On which ports HandleReloadConfigRequest is answered. It names any path of the host, so whoever
// may call it may replace every model.
enum class ReloadAccess {
  kNone,
  kProtected,  // those that demand client certificates, loopback addresses, unix sockets
  kAll,
};

// Takes a request and returns at once. Thread-safe.
using ReloadFunction = std::function<void(ReloadRequest)>;

}  // namespace penstock::tfs
