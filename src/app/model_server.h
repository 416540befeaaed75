// SPDX-License-Identifier: Apache-2.0
// The whole server in one object. `penstock serve` runs it, and tests can run it in their own
// process.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/options/option_row.h"
#include "base/status.h"

namespace penstock {

// The ports of the server; 0: none.
struct BoundPorts {
  int port = 0;
  int rest_api_port = 0;
  int graphpipe_port = 0;
  int health_port = 0;
  int admin_port = 0;
};

// Called with the current step of the start, in static text such as "reading --x".
using StartStepCallback = std::function<void(const char* step)>;

// Called once when the serving ports accept connections, or with the error if they cannot. Called
// within Start, or, with --listen=after_load, on any thread.
using OpenedCallback = std::function<void(const StatusOr<BoundPorts>&)>;

// Owns all parts of a running server, and starts and stops them in the right order.
//
//   OptionValues values;
//   values.Mutable<Settings>().model_base_path = "builtin:half_plus_two";
//   ASSIGN_OR_RETURN(auto server, ModelServer::Start(values, on_opened, on_step));
//   Ask(server->ports().rest_api_port);
//   server->Stop();
//
// It handles no signals and never ends the process: `penstock serve` does both. Thread-safe.
class ModelServer final {
 public:
  // Binds the ports, starts loading the models, and returns without waiting for them. Errors: a
  // configuration file, an address or a certificate is wrong.
  static StatusOr<std::unique_ptr<ModelServer>> Start(const OptionValues& options,
                                                      OpenedCallback on_opened,
                                                      const StartStepCallback& on_step);

  // Does what Stop does, unless that was called.
  ~ModelServer();

  BoundPorts ports() const;

  // Starts reading --model_config_file and --token_file again, and returns at once. Errors are
  // logged.
  void ReloadFiles();

  // Makes probes and health watches see the server as not ready; it still serves.
  void StartDraining();

  // Makes the server not ready, refuses new connections, waits for the requests in flight (at most
  // drain_timeout_ms), and unloads every model. Returns true if all requests were answered. Call it
  // once.
  bool Stop();

  // The steps that Stop has left running because they did not end in some seconds, such as a load
  // that hangs or a file system that does not answer. If there are any, end the process with _exit;
  // the destructor then frees nothing.
  std::vector<std::string> LeftRunning() const;

 private:
  class Impl;
  explicit ModelServer(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock
