// SPDX-License-Identifier: Apache-2.0
// The life of the server. Impl owns all parts; its members stand in the order of their
// dependencies.
//
// The start checks first and acts later: a mistake in the configuration, or a port in use, must be
// an error before the first model loads. The stop goes the other way round: no new requests, no new
// loads, wait for the requests in flight, unload. Each step that may hang, because it reads a file
// system that is gone, has a time limit. If it hangs, it is left behind, and the process ends
// without it.
#include "app/model_server.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "app/builtins.h"
#include "app/token_file_watch.h"
#include "app/version.h"
#include "base/executor.h"
#include "base/log.h"
#include "base/metrics/process_metrics.h"
#include "batch/model_batcher.h"
#include "frontends/graphpipe/graphpipe_options.h"
#include "infer/experiments/experiments.h"
#include "infer/refusals.h"
#include "infer/served_model.h"
#include "loading/model_observer.h"
#include "models/initial_load.h"
#include "models/model_reloader.h"
#include "models/model_set.h"
#include "net/loop/server_state.h"
#include "net/socket/server.h"
#include "observe/access_log.h"
#include "observe/call_observers.h"
#include "observe/tracer.h"
#include "options/component_options.h"
#include "request_log/request_logs.h"
#include "schedule/scheduler.h"
#include "schedule/scheduler_metrics.h"

namespace penstock {
namespace {

// The time that a step has to end before it counts as hanging.
constexpr Duration kEndTime = std::chrono::seconds(2);

BackendHostOptions HostOptions(const Settings& settings, Executor& pool, MetricsRegistry& metrics) {
  BackendHostOptions options = MakeBackendOptions(settings);
  options.pool = &pool;
  options.metrics = &metrics;
  options.importers = MakeImporters();
  return options;
}

EngineOptions EngineOptionsWith(const Settings& settings, const Experiments& experiments,
                                const Refusals& refusals, RequestBudget budget) {
  EngineOptions options = MakeEngineOptions(settings);
  options.traffic = &experiments;
  options.refusals = &refusals;
  options.request_budget = std::move(budget);
  return options;
}

// A token that crosses a network in clear text can be read and used by others.
void WarnOfClearText(const net::ServerOptions& options) {
  for (const net::ListenOptions& listen : options.listen) {
    if (listen.tls || !listen.unix_path.empty() || net::IsLoopback(listen.address)) continue;
    PENSTOCK_LOG(kWarning, "{}: this port has no TLS, so tokens reach it in clear text",
                 listen.asked_by);
  }
}

// Everybody who reaches such a port can replace the models.
void WarnOfOpenChanges(const net::ServerOptions& options, std::string_view setting) {
  for (const net::ListenOptions& listen : options.listen) {
    const bool demands_certificate = listen.tls && options.tls.require_client_certificate;
    if (demands_certificate || !listen.unix_path.empty() || net::IsLoopback(listen.address))
      continue;
    PENSTOCK_LOG(kWarning,
                 "{}: with {} everybody who reaches this port may change the models; a "
                 "--token_file, client certificates or a loopback address keep strangers out",
                 listen.asked_by, setting);
  }
}

bool AsksForCertificates(const net::TlsOptions& tls) {
  return !tls.client_ca_file.empty() || !tls.client_ca_pem.empty();
}

// Logs the words of tensorflow_model_server, because scripts wait for this line.
void LogLoadedAsTfs(const core::ManagerEvent& event) {
  if (!event.version || event.version->state != core::VersionState::kAvailable) return;
  PENSTOCK_LOG(kInfo, "Successfully loaded servable version {{name: {} version: {}}}", event.model,
               event.version->id.version.value);
}

}  // namespace

// Owns all parts. Members are in the order of their dependencies, and destroyed in reverse order.
class ModelServer::Impl final {
 public:
  Impl(const OptionValues& from, OpenedCallback opened_callback)
      : values(from),
        settings(values.Get<Settings>()),
        on_opened(std::move(opened_callback)),
        metrics(static_cast<size_t>(settings.metric_series_max)),
        request_budget(net::MakeRequestBudget(InflightBytesMax(settings), metrics)),
        scheduler(MakeSchedulerOptions(settings)),
        backends(HostOptions(settings, scheduler.common(), metrics)),
        experiments(metrics),
        request_logs(settings.request_logs, metrics),
        refusals(metrics),
        manager(MakeManagerOptions(settings)),
        readiness(manager),
        observer(manager, metrics),
        engine(EngineOptionsWith(settings, experiments, refusals, request_budget), manager,
               scheduler),
        models(settings, backends, metrics, {manager, experiments, request_logs, scheduler, engine},
               [this](const SourceDependencies& with) { return MakeSources(values, with); }),
        reloader(settings, models, manager, metrics),
        initial_load(manager, [this](const Status& status) { OpenAfterLoad(status); }) {}
  ~Impl() {
    if (!stopped) Stop();
  }

  Status Start(const StartStepCallback& on_step);
  // Opens the access log, and starts the traces.
  Status StartObservers(const StartStepCallback& on_step);
  // Adds the metrics that no part has as its own.
  void AddMetrics();
  void WarnOfUnknownDefault() const;
  Status StartHealthServer();
  Status StartAdminServer(const net::TlsOptions& tls);
  const access::AccessControl* access() const {
    return token_file == nullptr ? nullptr : &token_file->control();
  }
  Status StartServer(net::ServerOptions options);
  void OpenAfterLoad(const Status& loaded);
  BoundPorts ports() const;
  bool Stop();
  // Runs a step of Stop that may hang on a thread of its own. If the step does not end in time, it
  // is left running, and `name` is noted.
  void EndOrLeave(std::string name, const std::function<void()>& step);

  const OptionValues values;
  const Settings& settings;  // in `values`
  const OpenedCallback on_opened;
  MetricsRegistry metrics;
  CallObservers observers;  // threads of the pool may end a call
  const RequestBudget request_budget;
  schedule::Scheduler scheduler;
  BackendHost backends;
  Experiments experiments;
  RequestLogs request_logs;
  const Refusals refusals;
  core::Manager manager;
  Readiness readiness;
  ModelObserver observer;
  Engine engine;
  ModelSet models;
  ModelReloader reloader;
  std::vector<std::unique_ptr<net::Frontend>> frontends;
  std::unique_ptr<TokenFileWatch> token_file;  // null: everybody may do everything
  net::Router router, health_router, admin_router;
  std::unique_ptr<net::Server> server, health_server, admin_server;
  InitialLoad initial_load;
  bool stopped = false;
  std::vector<std::string> left_running;
};

Status ModelServer::Impl::Start(const StartStepCallback& on_step) {
  on_step("reading --model_config_file");
  ASSIGN_OR_RETURN(std::vector<ConfiguredModel> list, ReadModelList(settings));
  on_step("reading --ssl_config_file");
  ASSIGN_OR_RETURN(net::ServerOptions net_options, NetOptions(settings));
  if (!settings.token_file.empty()) {
    on_step("reading --token_file");
    using Certificates = TokenFileWatch::Certificates;
    const bool asks = AsksForCertificates(net_options.tls);
    ASSIGN_OR_RETURN(token_file,
                     TokenFileWatch::Open(settings.token_file,
                                          std::chrono::seconds(settings.token_file_poll_seconds),
                                          asks ? Certificates::kAsked : Certificates::kNotAsked));
    net_options.access = access();
    WarnOfClearText(net_options);
  } else if (AsksForCertificates(net_options.tls) && !net_options.tls.require_client_certificate) {
    PENSTOCK_LOG(kWarning,
                 "the CA for client certificates keeps nobody out: clients may come without one; "
                 "--tls_require_client_certificate or a --token_file changes that");
  }
  if (settings.token_file.empty() && settings.admin_api == "full" && !HasAdminPort(settings)) {
    WarnOfOpenChanges(net_options, "--admin_api=full");
  } else if (settings.token_file.empty() && settings.reload_rpc == "on") {
    WarnOfOpenChanges(net_options, "--reload_rpc=on");
  }
  TRY(MakeReadinessRule(settings).status());
  if (settings.admin_api == "full" && settings.net.cors && !HasAdminPort(settings)) {
    return InvalidArgument(
        "--admin_api=full and --rest_api_enable_cors_support exclude each other: any page in an "
        "operator's browser could change the models");
  }
  AddMetrics();
  if (StandsInForTfs(settings)) manager.AddListener(LogLoadedAsTfs);
  // An unload waits for the copies of requests that use the version.
  manager.AddListener([this](const core::ManagerEvent& event) {
    if (event.version && event.version->state == core::VersionState::kUnloading)
      experiments.EndShadowsOf(event.version->id);
  });
  net_options.request_budget = request_budget;
  TRY(StartObservers(on_step));
  net_options.observer = &observers;
  const FrontendDependencies dependencies{values, metrics,   manager,  readiness,
                                          engine, scheduler, reloader, request_logs};
  on_step("reading --monitoring_config_file");
  ASSIGN_OR_RETURN(frontends, MakeFrontends(dependencies));
  for (const auto& frontend : frontends) frontend->Register(router);
  // A front end that has forgotten to say it is safe, but of no use.
  if (const auto routes = router.RoutesForNobody(); token_file != nullptr && !routes.empty())
    PENSTOCK_LOG(kError, "with --token_file nobody may use: {}", fmt::join(routes, ", "));

  // The order matters. The manager must know the models before anyone can ask whether the server is
  // ready. The ports must be bound before anything is loaded.
  on_step("opening --request_log_directory");
  TRY(request_logs.CheckDirectory());
  on_step("checking the models, and reading --state_file");
  TRY(reloader.ApplyFirst(std::move(list), ModelListOrigin(settings)));
  WarnOfUnknownDefault();
  on_step("opening ports, and reading the TLS certificate and key");
  if (settings.health_port != 0) TRY(StartHealthServer());
  if (HasAdminPort(settings)) TRY(StartAdminServer(net_options.tls));
  TRY(StartServer(std::move(net_options)));
  models.UseServerLoops(server->IoLoops());
  models.Start();
  reloader.Start();
  return OkStatus();
}

Status ModelServer::Impl::StartObservers(const StartStepCallback& on_step) {
  on_step("opening --access_log_file");
  ASSIGN_OR_RETURN(std::unique_ptr<AccessLog> access_log,
                   AccessLog::Make(values.Get<AccessLogOptions>(), settings.log_format, metrics));
  ASSIGN_OR_RETURN(std::unique_ptr<Tracer> tracer,
                   Tracer::Make(values.Get<TraceOptions>(), VersionText(), metrics));
  observers.Add(std::move(access_log));
  observers.Add(std::move(tracer));
  return OkStatus();
}

void ModelServer::Impl::AddMetrics() {
  AddProcessMetrics(metrics, VersionText());
  schedule::AddSchedulerMetrics(metrics, scheduler);
  // A run of several requests counts once here.
  metrics.AddTotals(kRunLatencyMetric, batch::kSharedRunsMetric, ":tensorflow:core:graph_runs",
                    "Runs of models, of all backends.", ":tensorflow:core:graph_run_time_usecs",
                    "Time of all runs of models, microseconds.");
}

// No error: the list of models may get it later.
void ModelServer::Impl::WarnOfUnknownDefault() const {
  const std::string& name = values.Get<graphpipe::GraphPipeOptions>().default_model;
  if (name.empty() || settings.graphpipe_port == 0) return;
  const std::vector<std::string> names = manager.ModelNames();
  if (std::ranges::find(names, name) != names.end()) return;
  PENSTOCK_LOG(kWarning,
               "--graphpipe_default_model={}: there is no such model, so '/' of --graphpipe_port "
               "answers 404; the models are: {}",
               name, names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", ")));
}

Status ModelServer::Impl::StartHealthServer() {
  for (const auto& frontend : frontends) frontend->RegisterProbes(health_router);
  net::ServerOptions options = HealthNetOptions(settings);
  options.access = access();
  options.observer = &observers;
  if (options.access != nullptr) WarnOfClearText(options);
  ASSIGN_OR_RETURN(health_server, net::Server::Start(std::move(options), health_router, metrics));
  return OkStatus();
}

Status ModelServer::Impl::StartAdminServer(const net::TlsOptions& tls) {
  for (const auto& frontend : frontends) frontend->RegisterAdmin(admin_router);
  net::ServerOptions options = AdminNetOptions(settings, tls);
  options.access = access();
  options.observer = &observers;
  if (options.access != nullptr) {
    WarnOfClearText(options);
  } else if (settings.admin_api == "full") {
    WarnOfOpenChanges(options, "--admin_api=full");
  }
  ASSIGN_OR_RETURN(admin_server, net::Server::Start(std::move(options), admin_router, metrics));
  return OkStatus();
}

Status ModelServer::Impl::StartServer(net::ServerOptions options) {
  // With --listen=after_load the sockets are bound now, so that a port in use is an error at the
  // start. They accept connections only after the load.
  const bool is_open = options.listens_at_start;
  ASSIGN_OR_RETURN(server, net::Server::Start(std::move(options), router, metrics));
  metrics.AddCollector("penstock_requests_in_flight",
                       "Requests that have begun and are not answered.", MetricKind::kGauge,
                       [count = server->OpenRequests()]() -> std::vector<MetricSample> {
                         return {{{}, static_cast<double>(count())}};
                       });
  if (is_open) {
    on_opened(ports());
  } else {
    initial_load.Start(manager.ModelNames());
  }
  return OkStatus();
}

void ModelServer::Impl::OpenAfterLoad(const Status& loaded) {
  if (!loaded.ok()) PENSTOCK_LOG(kError, "the initial load is over: {}", MessageOf(loaded));
  if (const Status status = server->Listen(); !status.ok()) return on_opened(status);
  on_opened(ports());
}

BoundPorts ModelServer::Impl::ports() const {
  const std::vector<int> bound = server->ports();
  const PortPositions positions = FindPorts(settings);
  const auto at = [&](int position) {
    return position < 0 ? 0 : bound[static_cast<size_t>(position)];
  };
  return {.port = at(positions.port),
          .rest_api_port = at(positions.rest_api_port),
          .graphpipe_port = at(positions.graphpipe_port),
          .health_port = health_server == nullptr ? 0 : health_server->ports()[0],
          // The socket has the port 0.
          .admin_port = admin_server == nullptr ? 0 : admin_server->ports()[0]};
}

bool ModelServer::Impl::Stop() {
  stopped = true;
  // Otherwise it could open the ports of a server that stops.
  initial_load.Stop();
  observer.EndLoadProgress();
  // Before anything is refused, so that load balancers send no further requests.
  readiness.StartDraining();
  // Stop the reload before loads end early. A client that waits for it would take that for errors.
  EndOrLeave("the reading of the configuration files", [this] { reloader.Stop(); });
  if (token_file != nullptr)
    EndOrLeave("the reading of --token_file", [this] { token_file->Stop(); });
  manager.StartDrain();
  scheduler.StopGathering();
  EndOrLeave("the scan of the models' base paths", [this] { models.Stop(); });
  // Models stay loaded until the requests in flight are answered.
  const bool all_answered = server == nullptr || server->Drain();
  server.reset();
  EndOrLeave("the request log", [this] { request_logs.Stop(); });
  experiments.EndShadows();
  const bool is_unloaded = manager.Stop(Clock::Real().Now() + kEndTime);
  // Last, so that probes and metrics are answered until the end.
  if (health_server != nullptr) health_server->Drain();
  health_server.reset();
  if (admin_server != nullptr) admin_server->Drain();
  admin_server.reset();
  if (is_unloaded) return all_answered;
  // Loads that hang cannot be waited for. Versions that are being unloaded can, and must: their
  // runtimes use objects that end with the process.
  manager.WaitUntilUnloaded();
  for (const core::RunningLoad& load : manager.RunningLoads()) {
    left_running.push_back(
        fmt::format("the load of model {}, which has run for {} s", load.id.ToString(),
                    std::chrono::duration_cast<std::chrono::seconds>(load.time).count()));
  }
  return all_answered;
}

void ModelServer::Impl::EndOrLeave(std::string name, const std::function<void()>& step) {
  // Shared, because the thread may outlive this call. The Impl that the step uses is never freed
  // then.
  const auto promise = std::make_shared<std::promise<void>>();
  const std::future<void> ended = promise->get_future();
  std::thread thread;
  try {
    thread = std::thread([step, promise] {
      step();
      promise->set_value();
    });
  } catch (const std::system_error&) {  // no memory for a thread: run the step without a time limit
    return step();
  }
  if (ended.wait_for(kEndTime) == std::future_status::ready) return thread.join();
  thread.detach();
  left_running.push_back(std::move(name));
}

ModelServer::ModelServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ModelServer::~ModelServer() {
  if (!impl_->stopped) impl_->Stop();
  if (!impl_->left_running.empty()) std::ignore = impl_.release();  // running steps use it
}

StatusOr<std::unique_ptr<ModelServer>> ModelServer::Start(const OptionValues& options,
                                                          OpenedCallback on_opened,
                                                          const StartStepCallback& on_step) {
  on_step("checking the paths that flags name");
  OptionValues values = options;
  TRY(CheckPaths(values.Get<Settings>()));
  TRY(ReadBatchingFile(values.Mutable<Settings>()));
  auto impl = std::make_unique<Impl>(values, std::move(on_opened));
  TRY(impl->Start(on_step));
  return std::unique_ptr<ModelServer>(new ModelServer(std::move(impl)));
}

BoundPorts ModelServer::ports() const { return impl_->ports(); }

void ModelServer::ReloadFiles() {
  if (!impl_->settings.model_config_file.empty()) impl_->reloader.ReloadFile();
  if (impl_->token_file != nullptr) impl_->token_file->CheckSoon();
}

void ModelServer::StartDraining() { impl_->readiness.StartDraining(); }

bool ModelServer::Stop() { return impl_->Stop(); }

std::vector<std::string> ModelServer::LeftRunning() const { return impl_->left_running; }

}  // namespace penstock
