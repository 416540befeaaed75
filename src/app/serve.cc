// SPDX-License-Identifier: Apache-2.0
// `penstock serve`: options, log, server, signals.
#include <fmt/ranges.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <memory>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "app/builtins.h"
#include "app/commands.h"
#include "app/library_logs.h"
#include "app/model_server.h"
#include "app/process_files.h"
#include "app/start_watch.h"
#include "app/version.h"
#include "base/executor.h"
#include "base/log.h"
#include "base/log_queue.h"
#include "options/compat.h"
#include "options/component_options.h"
#include "options/options.h"

namespace penstock {
namespace {

// Time for the steps after drain_timeout_ms: unloading, and runs of models that cannot be stopped.
constexpr int64_t kUnloadSeconds = 10;

// How long the start may continue after a signal to stop.
constexpr Duration kStartEndTime = std::chrono::seconds(1);

// The time slice of every thread, also of the runtimes. It is short so that a request does not wait
// long for a CPU where a model is being loaded or computed.
constexpr Duration kThreadSlice = std::chrono::microseconds(100);

// Waits for SIGTERM, SIGINT and perhaps SIGHUP. All threads block these signals, so create it
// before any other thread. One thread at a time.
class Signals final {
 public:
  explicit Signals(bool takes_hangup) {
    sigemptyset(&set_);
    sigaddset(&set_, SIGTERM);
    sigaddset(&set_, SIGINT);
    if (takes_hangup) sigaddset(&set_, SIGHUP);
    // Blocked signals stay pending until Wait takes them. So no handler interrupts code that holds
    // a lock.
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);
    signal(SIGPIPE, SIG_IGN);  // write errors report closed connections
    signal(SIGXFSZ, SIG_IGN);  // a limit for the sizes of files is an error of a write, too
  }

  // The signals that stop the server.
  sigset_t stops() const {
    sigset_t set = set_;
    sigdelset(&set, SIGHUP);
    return set;
  }

  // Blocks until a signal arrives, and returns it.
  int Wait() const {
    siginfo_t info{};
    // It fails only when another signal interrupts it.
    while (sigwaitinfo(&set_, &info) < 0) {
    }
    if (info.si_signo == SIGHUP) {
      PENSTOCK_LOG(kInfo,
                   "SIGHUP from process {} of user {}: the configuration files are read again",
                   info.si_pid, info.si_uid);
    }
    return info.si_signo;
  }

  // Ends the process when another signal to stop arrives, or after `seconds`.
  void ExitOnNextOrAfter(int64_t seconds) const {
    try {
      std::thread([set = stops(), seconds] { ExitOnNext(set, seconds); }).detach();
    } catch (const std::system_error& error) {
      PENSTOCK_LOG(kWarning, "cannot wait for a second signal: no thread can be started: {}",
                   error.what());
    }
  }

 private:
  // A second signal within this time is the same request to stop. Programs that start others (a
  // terminal and a script, timeout(1)) often signal both the process and its group.
  static constexpr std::chrono::milliseconds kSameStop{500};

  static void ExitOnNext(const sigset_t& set, int64_t seconds) {
    if (ComesWithin(set, seconds)) {
      PENSTOCK_LOG(kWarning, "second signal: exiting at once");
      FlushLog();
      _exit(1);
    }
    // The drain and unload times are over, so all promises are kept: exit with 0. Only a model that
    // cannot be stopped still runs.
    PENSTOCK_LOG(kError, "a model still runs after {} s: exiting without its answer", seconds);
    FlushLog();
    _exit(0);
  }

  static bool ComesWithin(const sigset_t& set, int64_t seconds) {
    const auto now = [] { return std::chrono::steady_clock::now(); };
    const auto start = now();
    while (true) {
      const auto left = std::chrono::seconds(seconds) - (now() - start);
      if (left <= std::chrono::seconds(0)) return false;
      const auto whole = std::chrono::floor<std::chrono::seconds>(left);
      const timespec limit{whole.count(), (left - whole) / std::chrono::nanoseconds(1)};
      if (sigtimedwait(&set, nullptr, &limit) > 0 && now() - start > kSameStop) return true;
    }
  }

  sigset_t set_;
};

// Writes the file atomically, so that readers never see a part of it.
Status WritePortFile(const std::string& path, const BoundPorts& ports) {
  // With the process id, so that two servers that start at once do not write to one file.
  const std::string temporary = fmt::format("{}.{}", path, getpid());
  errno = 0;
  std::ofstream file(temporary);
  file << fmt::format(
      "{{\"port\": {}, \"rest_api_port\": {}, \"graphpipe_port\": {}, \"health_port\": {}, "
      "\"admin_port\": {}}}\n",
      ports.port, ports.rest_api_port, ports.graphpipe_port, ports.health_port, ports.admin_port);
  file.close();
  std::error_code error(errno, std::generic_category());
  if (file) {
    std::filesystem::rename(temporary, path, error);
    if (!error) return OkStatus();
    std::filesystem::remove(temporary, std::error_code() = {});
  }
  return InvalidArgument("--port_file: cannot write {}: {}", path, error.message());
}

// Logs lines of tensorflow_model_server word for word, because scripts and people wait for them.
void LogOpenedAsTfs(const Settings& settings, const BoundPorts& ports) {
  const std::string address = settings.address == "::" ? "0.0.0.0" : settings.address;
  if (ports.port != 0)
    PENSTOCK_LOG(kInfo, "Running gRPC ModelServer at {}:{} ...", address, ports.port);
  if (!settings.grpc_socket_path.empty())
    PENSTOCK_LOG(kInfo, "Running gRPC ModelServer at UNIX socket {} ...",
                 settings.grpc_socket_path);
  if (ports.rest_api_port == 0) return;
  PENSTOCK_LOG(kInfo, "Exporting HTTP/REST API at:localhost:{} ...", ports.rest_api_port);
  PENSTOCK_LOG(kInfo, "Entering the event loop ...");
}

void LogOpened(const Settings& settings, const BoundPorts& ports) {
  std::vector<std::string> places;
  if (ports.port != 0) places.push_back(fmt::format("port {}", ports.port));
  if (ports.rest_api_port != 0 && ports.rest_api_port != ports.port)
    places.push_back(fmt::format("REST port {}", ports.rest_api_port));
  if (ports.graphpipe_port != 0)
    places.push_back(fmt::format("GraphPipe port {}", ports.graphpipe_port));
  if (!settings.grpc_socket_path.empty()) places.push_back(settings.grpc_socket_path);
  PENSTOCK_LOG(kInfo, "listening: {}", fmt::join(places, ", "));
  if (StandsInForTfs(settings)) LogOpenedAsTfs(settings, ports);
}

void LogCompat(const Settings& settings) {
  PENSTOCK_LOG(kInfo, "standing in for {} (--compat): the defaults are {}", kTfsProgram,
               TfsDefaultsText());
  // With an admin port or a token file, not everybody may replace the models.
  if (settings.reload_rpc != "auto" || !settings.token_file.empty() || HasAdminPort(settings))
    return;
  PENSTOCK_LOG(kWarning,
               "HandleReloadConfigRequest is answered on every port, as by {}: whoever reaches one "
               "may replace the models; --reload_rpc=off refuses it",
               kTfsProgram);
}

int FailStart(const Status& status) {
  PENSTOCK_LOG(kError, "cannot start: {}", MessageOf(status));
  return 1;
}

// Starts the server. If the start hangs, a signal to stop still ends the process.
StatusOr<std::unique_ptr<ModelServer>> StartServer(const OptionValues& options,
                                                   const Signals& signals,
                                                   OpenedCallback on_opened) {
  StartWatch watch(signals.stops(), kStartEndTime);
  ASSIGN_OR_RETURN(
      std::unique_ptr<ModelServer> server,
      ModelServer::Start(options, std::move(on_opened), [&](auto step) { watch.Enter(step); }));
  const BoundPorts ports = server->ports();
  const auto& settings = options.Get<Settings>();
  if (ports.health_port != 0)
    PENSTOCK_LOG(kInfo, "listening: port {} for {}", ports.health_port,
                 HasAdminPort(settings) ? "probes" : "probes and metrics");
  if (ports.admin_port != 0)
    PENSTOCK_LOG(kInfo, "listening: port {} for administration", ports.admin_port);
  const std::string& port_file = settings.port_file;
  if (!port_file.empty()) {
    watch.Enter("writing --port_file");
    TRY(WritePortFile(port_file, ports));
  }
  return server;
}

int Serve(const ParsedOptions& options) {
  // First of all: the next file that is opened would get a number of these.
  OpenStandardFiles();
  OptionValues values = options.values;
  auto& settings = values.Mutable<Settings>();
  // Before any thread starts, because threads inherit the slice.
  SetThreadSlice(kThreadSlice);
  ConfigureLog(settings);
  for (const std::string& warning : options.warnings) PENSTOCK_LOG(kWarning, "{}", warning);
  settings.net.connections_max =
      static_cast<int>(CapConnections(settings.net.connections_max, RaiseFileLimit()));
  // With no file to read again, SIGHUP keeps its meaning: the end of the terminal ends the server.
  const Signals signals(
      /*takes_hangup=*/!settings.model_config_file.empty() || !settings.token_file.empty());
  // After Signals, because its thread must block the signals too.
  const LogQueue log_queue;
  TakeLibraryLogs();
  PENSTOCK_LOG(kInfo, "penstock {} starts", VersionText());
  if (StandsInForTfs(settings)) LogCompat(settings);
  std::atomic<bool> cannot_open = false;
  const auto on_opened = [&](const StatusOr<BoundPorts>& ports) {
    if (ports.ok()) return LogOpened(settings, *ports);
    FailStart(ports.status());
    cannot_open = true;
    // This may be any thread. The signal makes the main thread stop the server in the usual way.
    kill(getpid(), SIGTERM);
  };
  StatusOr<std::unique_ptr<ModelServer>> server = StartServer(values, signals, on_opened);
  if (!server.ok()) return FailStart(server.status());

  int number = signals.Wait();
  for (; number == SIGHUP; number = signals.Wait()) (*server)->ReloadFiles();
  // SIGINT is a person at a terminal, who does not want to wait. SIGTERM comes from an orchestrator
  // that needs time to take the server out of its load balancer.
  const bool delays = number == SIGTERM && !cannot_open && settings.shutdown_delay_ms > 0;
  const int64_t delay_ms = delays ? settings.shutdown_delay_ms : 0;
  // Started before the delay, so that a second signal also ends that.
  const int64_t drain_ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(settings.net.drain_timeout).count();
  signals.ExitOnNextOrAfter((delay_ms + drain_ms) / 1000 + 1 + kUnloadSeconds);
  if (delays) {
    PENSTOCK_LOG(kInfo, "SIGTERM: not ready any more, and serving for {} ms", delay_ms);
    (*server)->StartDraining();
    std::this_thread::sleep_for(std::chrono::milliseconds(delay_ms));
  }
  PENSTOCK_LOG(kInfo, "{}: draining", number == SIGTERM ? "SIGTERM" : "SIGINT");
  if (!(*server)->Stop())
    PENSTOCK_LOG(kWarning, "some requests were not answered within {} ms", drain_ms);
  if (const std::vector<std::string> left = (*server)->LeftRunning(); !left.empty()) {
    PENSTOCK_LOG(kWarning, "stopped; did not end, and is given up: {}", fmt::join(left, "; "));
    FlushLog();
    _exit(cannot_open ? 1 : 0);  // a hanging step cannot be interrupted, and all else is done
  }
  server->reset();
  PENSTOCK_LOG(kInfo, "stopped");
  return cannot_open ? 1 : 0;
}

}  // namespace

int ServeCommand(std::span<const std::string> arguments) {
  return ServeWithWarnings(arguments, {});
}

int ServeWithWarnings(std::span<const std::string> arguments, std::vector<std::string> warnings) {
  StatusOr<ParsedOptions> options = ParseOptions(AllOptions(), arguments);
  if (!options.ok()) {
    fmt::print(stderr, "penstock serve: {}\n", MessageOf(options.status()));
    return 1;
  }
  if (options->settings().help) {
    fmt::print("{}", OptionsHelp(AllOptions()));
    return 0;
  }
  if (options->settings().version) {
    if (!StandsInForTfs(options->settings())) return VersionCommand({});
    fmt::print("{}", TfsVersionText());
    return 0;
  }
  options->warnings.insert(options->warnings.begin(), warnings.begin(), warnings.end());
  return Serve(*options);
}

}  // namespace penstock
