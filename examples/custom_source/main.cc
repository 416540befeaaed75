// SPDX-License-Identifier: Apache-2.0
// A server around the source: custom_source FOLDER serves the versions that FOLDER/current lists,
// as the model "m", over TensorFlow Serving's REST API, until standard input ends. See README.md.
#include <cstdio>
#include <iostream>

#include "backends/builtin/builtin_folder.h"
#include "base/metrics/metrics.h"
#include "core/manager.h"
#include "current_file_source.h"
#include "frontends/tfs_rest/rest_frontend.h"
#include "infer/engine.h"
#include "net/socket/server.h"
#include "schedule/scheduler.h"

namespace {

using namespace penstock;

int Serve(const char* folder) {
  // In the order in which they need each other.
  MetricsRegistry metrics;
  schedule::Scheduler scheduler({.compute_slots = 2});
  core::Manager manager;
  Engine engine({}, manager, scheduler);
  tfs_rest::RestFrontend rest({}, engine, metrics);
  net::Router router;
  rest.Register(router);

  net::ServerOptions options;
  options.listen.resize(1);
  options.listen[0].address = "127.0.0.1";
  options.listen[0].port = 0;  // any free one
  auto server = net::Server::Start(std::move(options), router, metrics);
  Status status = server.status();
  // The manager knows the model before the source tells it of versions.
  if (status.ok()) status = manager.SetModel({.name = "m"});
  if (!status.ok()) {
    std::fprintf(stderr, "custom_source: %s\n", status.ToString().c_str());
    return 1;
  }
  examples::CurrentFileSource source("m", folder, std::chrono::milliseconds(100),
                                     [&](const core::ServableId& id, const std::string& path) {
                                       return MakeBuiltinFolderLoader(id, path, metrics);
                                     });
  source.Start(manager);
  std::printf("http://127.0.0.1:%d/v1/models/m\n", (*server)->ports()[0]);
  std::fflush(stdout);

  while (std::cin.get() != std::char_traits<char>::eof()) continue;  // until standard input ends
  // The source first, because it calls the manager. The server next, because its requests use the
  // models. The manager unloads them last.
  source.Stop();
  (*server)->Drain();
  server->reset();
  manager.Stop();
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  if (count == 2) return Serve(arguments[1]);
  std::fprintf(stderr, "usage: custom_source FOLDER\n");
  return 1;
}
