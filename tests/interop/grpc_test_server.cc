// SPDX-License-Identifier: Apache-2.0
// A server for tests of the network layer alone: gRPC's interoperability service, health,
// reflection, and two plain pages. Prints its ports, then "ready", and drains at SIGTERM.
//   grpc_test_server [--tls CERTIFICATE KEY] [--streams N] [--body-bytes-max N] [--loops N]
#include <fmt/format.h>
#include <signal.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include "base/metrics/metrics.h"
#include "core/manager.h"
#include "frontends/admin/health.h"
#include "frontends/admin/reflection.h"
#include "infer/readiness.h"
#include "net/router.h"
#include "net/socket/server.h"
#include "test_service.h"

namespace penstock {
namespace {

// How long /later takes: so long that a client can open many streams meanwhile.
constexpr auto kLater = std::chrono::milliseconds(300);

net::HttpResponse Page() {
  net::HttpResponse response;
  response.content_type = "text/plain";
  response.body.AppendCopy("this page is here for tests\n");
  return response;
}

void AddPages(net::Router& router) {
  router.AddHttp({.path = "/", .methods = {}, .handler = [](net::HttpCallRef call) {
                    call->Respond(Page());
                  }});
  router.AddHttp({.path = "/echo", .methods = {}, .handler = [](net::HttpCallRef call) {
                    net::HttpResponse response;
                    response.content_type = "application/octet-stream";
                    response.body = ByteChain(call->body());
                    call->Respond(std::move(response));
                  }});
  router.AddHttp({.path = "/later", .methods = {}, .handler = [](net::HttpCallRef call) {
                    std::thread([call = std::move(call)] {
                      std::this_thread::sleep_for(kLater);
                      call->Respond(Page());
                    }).detach();
                  }});
}

net::ListenOptions Loopback(bool tls) {
  net::ListenOptions listen;
  listen.address = "127.0.0.1";
  listen.port = 0;
  listen.tls = tls;
  return listen;
}

net::ServerOptions ParseArguments(int argc, char** argv) {
  net::ServerOptions options;
  options.loops = 1;
  options.listen = {Loopback(false)};
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    const auto next = [&] {
      if (i + 1 >= argc) {
        fmt::print(stderr, "{} needs a value\n", name);
        std::exit(2);
      }
      return std::string(argv[++i]);
    };
    if (name == "--tls") {
      options.tls.certificate_file = next();
      options.tls.key_file = next();
      options.listen.push_back(Loopback(true));
    } else if (name == "--streams") {
      options.streams_per_connection_max = std::stoi(next());
    } else if (name == "--body-bytes-max") {
      options.body_bytes_max = std::stoull(next());
    } else if (name == "--loops") {
      options.loops = std::stoi(next());
    } else {
      fmt::print(stderr, "unknown argument {}\n", name);
      std::exit(2);
    }
  }
  return options;
}

int Main(int argc, char** argv) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  MetricsRegistry metrics;
  core::Manager manager;
  Readiness readiness(manager);
  HealthFrontend health(readiness);
  ReflectionFrontend reflection;
  net::Router router;
  AddTestService(router);
  AddPages(router);
  health.Register(router);
  reflection.Register(router);

  auto server = net::Server::Start(ParseArguments(argc, argv), router, metrics);
  if (!server.ok()) {
    fmt::print(stderr, "{}\n", MessageOf(server.status()));
    return 1;
  }
  for (const int port : (*server)->ports()) fmt::print("port {}\n", port);
  fmt::print("ready\n");
  std::fflush(stdout);

  int signal = 0;
  sigwait(&signals, &signal);
  readiness.StartDraining();
  return (*server)->Drain() ? 0 : 1;
}

}  // namespace
}  // namespace penstock

int main(int argc, char** argv) { return penstock::Main(argc, argv); }
