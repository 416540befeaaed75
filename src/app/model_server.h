// SPDX-License-Identifier: Apache-2.0
// The whole server in one object: what `penstock serve` runs, and what a test can run in itself.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "options/settings.h"

namespace penstock {

// The ports of the server; 0: none.
struct BoundPorts {
  int port = 0;
  int rest_api_port = 0;
  int health_port = 0;
};

// Hears what the start does now, as "reading --x" in static text.
using StartStepCallback = std::function<void(const char* step)>;

// Hears once that the serving ports take connections, or why they cannot: within Start, or, with
// --listen=after_load, on any thread.
using OpenedCallback = std::function<void(const StatusOr<BoundPorts>&)>;

// Thread-safe.
class ModelServer final {
 public:
  // Binds the ports, begins to load the models, and returns without waiting for them. Errors:
  // configuration files, addresses, certificates.
  static StatusOr<std::unique_ptr<ModelServer>> Start(const Settings& settings,
                                                      OpenedCallback on_opened,
                                                      const StartStepCallback& on_step);

  // As by Stop, if that was not called.
  ~ModelServer();

  BoundPorts ports() const;

  // Reads --model_config_file again, and returns at once; what is wrong with it is logged.
  void ReloadConfigFile();

  // Not ready from now on, as probes and health watches see it; all else goes on.
  void StartDraining();

  // Not ready from now on; no new connections; waits for the requests in flight (bounded by
  // drain_timeout_ms), then unloads every model. True if all requests were answered. Call it once.
  bool Stop();

  // What Stop has left running, since it did not end though it was asked to and given some seconds:
  // a load that hangs, or a file system that does not answer. Empty, unless the process must now
  // end by _exit; the destructor then frees nothing.
  std::vector<std::string> LeftRunning() const;

 private:
  class Impl;
  explicit ModelServer(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock
