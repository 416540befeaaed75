// SPDX-License-Identifier: Apache-2.0
// Most flags go straight into the options of a component (see Settings). This file has the rest:
// values that follow from several flags, from a file, or from the machine. A default that depends
// on the machine is stored as 0 or -1 and computed here, so that --help shows the same on every
// machine.
#include "options/component_options.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string_view>
#include <tuple>

#include "base/log.h"
#include "base/os/machine.h"
#include "config/config_files.h"
#include "options/config_file.h"

namespace penstock {
namespace {

using std::chrono::seconds;

net::ListenOptions Listen(const Settings& settings, std::string_view flag, int64_t port, bool tls) {
  net::ListenOptions listen;
  listen.asked_by = fmt::format("--address={} --{}={}", settings.address, flag, port);
  listen.address = settings.address;
  listen.port = port < 0 ? 0 : static_cast<int>(port);  // -1: any free port, which net calls 0
  listen.tls = tls;
  return listen;
}

// True if the server listens on a second port. If both numbers are equal, the first port serves
// everything.
bool HasRestPort(const Settings& settings) {
  return settings.rest_api_port != 0 &&
         (settings.rest_api_port != settings.port || settings.port < 0);
}

// The reason why --rest_api_port refuses gRPC calls. Empty: it accepts them.
std::string GrpcRefusal(const Settings& settings, bool is_less_safe) {
  if (settings.grpc_on_rest_port == "off")
    return "--grpc_on_rest_port=off: ask the gRPC port of this server";
  if (settings.grpc_on_rest_port == "on" || !is_less_safe) return {};
  return "this port has no TLS, and the gRPC port has: ask that one, or start the server with "
         "--grpc_on_rest_port=on";
}

StatusOr<net::TlsOptions> MakeTlsOptions(const Settings& settings) {
  net::TlsOptions tls = settings.net.tls;
  if (settings.ssl_config_file.empty()) return tls;
  ASSIGN_OR_RETURN(const std::string text,
                   ReadConfigFile("ssl_config_file", settings.ssl_config_file));
  ASSIGN_OR_RETURN(SslSettings ssl, ParseSslConfig(text, settings.ssl_config_file));
  tls.pem_source = fmt::format("--ssl_config_file {}", settings.ssl_config_file);
  tls.certificate_pem = std::move(ssl.server_cert);
  tls.key_pem = std::move(ssl.server_key);
  tls.client_ca_pem = std::move(ssl.custom_ca);
  tls.require_client_certificate = ssl.client_verify;
  return tls;
}

}  // namespace

void ConfigureLog(const Settings& settings) {
  // The order is that of LogLevel.
  constexpr std::array<std::string_view, 5> kNames = {"debug", "info", "warning", "error", "off"};
  const auto found = std::find(kNames.begin(), kNames.end(), settings.log_level);
  const LogLevel level =
      found == kNames.end() ? LogLevel::kInfo : static_cast<LogLevel>(found - kNames.begin());
  ConfigureLog(level, settings.log_format == "json" ? LogFormat::kJson : LogFormat::kText);
}

StatusOr<net::ServerOptions> NetOptions(const Settings& settings) {
  net::ServerOptions options = settings.net;
  ASSIGN_OR_RETURN(options.tls, MakeTlsOptions(settings));
  options.listens_at_start = settings.listen == "at_start";
  // --ssl_config_file comes from TensorFlow Serving, where it protects only the gRPC port.
  // --tls_certificate_file is our own and protects all.
  const bool tls_everywhere = !options.tls.certificate_file.empty();
  if (settings.port != 0)
    options.listen.push_back(Listen(settings, "port", settings.port, options.tls.enabled()));
  if (HasRestPort(settings)) {
    options.listen.push_back(
        Listen(settings, "rest_api_port", settings.rest_api_port, tls_everywhere));
    const bool is_less_safe = options.tls.enabled() && !tls_everywhere;
    options.listen.back().grpc_refusal = GrpcRefusal(settings, is_less_safe);
  }
  if (settings.graphpipe_port != 0) {
    net::ListenOptions listen =
        Listen(settings, "graphpipe_port", settings.graphpipe_port, tls_everywhere);
    listen.grpc_refusal = GrpcRefusal(settings, options.tls.enabled() && !tls_everywhere);
    listen.own_paths = kGraphPipePaths;
    options.listen.push_back(std::move(listen));
  }
  if (!settings.grpc_socket_path.empty()) {
    net::ListenOptions listen;
    listen.asked_by = "--grpc_socket_path";
    listen.unix_path = settings.grpc_socket_path;
    listen.tls = options.tls.enabled();
    options.listen.push_back(std::move(listen));
  }
  options.inflight_bytes_max = InflightBytesMax(settings);
  return options;
}

namespace {

// The options of a server for a few clients, without addresses.
net::ServerOptions SmallNetOptions(const Settings& settings) {
  net::ServerOptions options;
  options.loops = 1;
  // These limits are more than all probes and scrapers of a cluster need.
  options.connections_max = 100;
  options.streams_per_connection_max = 100;
  options.idle_timeout = settings.net.idle_timeout;
  options.header_timeout = settings.net.header_timeout;
  options.body_timeout = settings.net.body_timeout;
  options.write_timeout = settings.net.write_timeout;
  options.keepalive_interval = settings.net.keepalive_interval;
  options.drain_timeout = seconds(1);
  return options;
}

}  // namespace

net::ServerOptions HealthNetOptions(const Settings& settings) {
  net::ServerOptions options = SmallNetOptions(settings);
  options.listen.push_back(Listen(settings, "health_port", settings.health_port, /*tls=*/false));
  options.body_bytes_max = 64 * 1024;
  options.inflight_bytes_max = 16 << 20;
  return options;
}

net::ServerOptions AdminNetOptions(const Settings& settings, const net::TlsOptions& tls) {
  net::ServerOptions options = SmallNetOptions(settings);
  options.tls = tls;
  // A list of ten thousand models.
  options.body_bytes_max = 16 << 20;
  options.inflight_bytes_max = 64 << 20;
  options.http_request_timeout = settings.net.http_request_timeout;
  if (settings.admin_port != 0) {
    net::ListenOptions listen = Listen(settings, "admin_port", settings.admin_port, tls.enabled());
    if (!settings.admin_address.empty()) {
      listen.address = settings.admin_address;
      listen.asked_by = fmt::format("--admin_address={} --admin_port={}", settings.admin_address,
                                    settings.admin_port);
    }
    listen.is_admin = true;
    options.listen.push_back(std::move(listen));
  }
  if (!settings.admin_socket.empty()) {
    net::ListenOptions listen;
    listen.asked_by = "--admin_socket";
    listen.unix_path = settings.admin_socket;
    listen.is_admin = true;
    options.listen.push_back(std::move(listen));
  }
  return options;
}

PortPositions FindPorts(const Settings& settings) {
  PortPositions positions;
  if (settings.port != 0) positions.port = 0;
  if (HasRestPort(settings)) {
    positions.rest_api_port = positions.port + 1;
  } else if (settings.rest_api_port != 0) {
    positions.rest_api_port = positions.port;
  }
  if (settings.graphpipe_port != 0)
    positions.graphpipe_port = std::max(positions.port, positions.rest_api_port) + 1;
  return positions;
}

uint64_t InflightBytesMax(const Settings& settings) {
  const auto wanted = static_cast<uint64_t>(settings.inflight_bytes_max);
  // The other three quarters are for the models and for what a run itself needs.
  return wanted > 0 ? wanted : UsableMemoryBytes() / 4;
}

uint64_t DecodedTensorBytesMax(const Settings& settings) {
  const auto wanted = static_cast<uint64_t>(settings.decoded_tensor_bytes_max);
  // At most half, so that one request with a large JSON body cannot use up the memory of all
  // others.
  return wanted > 0 ? wanted : std::min(kDecodedTensorBytesMax, InflightBytesMax(settings) / 2);
}

EngineOptions MakeEngineOptions(const Settings& settings) {
  EngineOptions options = settings.engine;
  options.decoded_tensor_bytes_max = DecodedTensorBytesMax(settings);
  return options;
}

StatusOr<core::ReadinessRule> MakeReadinessRule(const Settings& settings) {
  using Kind = core::ReadinessRule::Kind;
  const std::string_view text = settings.ready_when;
  if (text == "all") return core::ReadinessRule{.kind = Kind::kAllModels};
  if (text == "strict") return core::ReadinessRule{.kind = Kind::kEveryModel};
  if (text == "any") return core::ReadinessRule{.kind = Kind::kAnyModel};
  constexpr std::string_view kModels = "models:";
  if (!text.starts_with(kModels) || text.size() == kModels.size()) {
    return InvalidArgument(
        "--ready_when={}: it must be 'all', 'strict', 'any', or 'models:' and names separated by "
        "commas",
        text);
  }
  core::ReadinessRule rule{.kind = Kind::kNamedModels};
  std::stringstream names{std::string(text.substr(kModels.size()))};
  for (std::string name; std::getline(names, name, ',');) {
    if (!name.empty()) rule.models.insert(name);
  }
  return rule;
}

core::ManagerOptions MakeManagerOptions(const Settings& settings) {
  const auto threads = [](int64_t wanted, int otherwise) {
    return wanted > 0 ? static_cast<int>(wanted) : otherwise;
  };
  core::ManagerOptions options = settings.manager;
  options.load_threads = threads(settings.num_load_threads, options.load_threads);
  options.initial_load_threads =
      threads(settings.num_initial_load_threads, std::max(UsableCpus(), options.load_threads));
  options.unload_threads = threads(settings.num_unload_threads, options.unload_threads);
  options.load_retry_interval = std::max(options.load_retry_interval, Duration::zero());
  options.load_retry_interval_max =
      std::max(options.load_retry_interval, options.load_retry_interval_max);
  const int64_t memory = settings.model_memory_bytes_max;
  // A tenth is left for requests and for the server itself.
  options.ram_bytes_max = memory < 0 ? UsableMemoryBytes() / 10 * 9 : static_cast<uint64_t>(memory);
  options.read_memory = [] { return ReadProcessMemory(""); };
  // A mistake in --ready_when has stopped the start before.
  options.readiness = MakeReadinessRule(settings).value_or(core::ReadinessRule());
  return options;
}

schedule::SchedulerOptions MakeSchedulerOptions(const Settings& settings) {
  schedule::SchedulerOptions options = settings.scheduler;
  uint64_t& model_requests_max = options.model.flow.items_max;
  // One model alone must not fill the queue: the others would be refused.
  if (model_requests_max == 0) model_requests_max = (options.queue_requests_max + 1) / 2;
  options.model.queues_always = options.model.flow.runs_max != 0;
  if (settings.compute_threads > 0) {
    options.compute_slots = static_cast<uint32_t>(settings.compute_threads);
    return options;
  }
  // A run may use so many threads of its runtime. Without a limit for them it may use all CPUs, but
  // that depends on the model: the scheduler finds out how many runs fill the CPUs.
  const int threads = MakeBackendOptions(settings).intra_op_threads;
  options.compute_slots = static_cast<uint32_t>(std::max(UsableCpus() / std::max(threads, 1), 1));
  if (threads == 0) options.cpus = UsableCpus();
  return options;
}

BatchDefaults MakeBatchDefaults(const Settings& settings) {
  BatchDefaults defaults{.settings = settings.batching,
                         .per_version = settings.enable_per_model_batching_parameters};
  defaults.settings.mode =
      settings.enable_batching ? batch::BatchMode::kChecked : batch::BatchMode::kOff;
  // Answers count in it until they are sent, so several batches need room.
  if (settings.batching.bytes_max == 0)
    defaults.settings.bytes_max = InflightBytesMax(settings) / 4;
  // Each run may use so many threads, so more runs would only compete for the CPUs.
  const int threads = std::max(MakeBackendOptions(settings).intra_op_threads, 1);
  const uint32_t slots = MakeSchedulerOptions(settings).compute_slots;
  const auto divisor = static_cast<uint32_t>(settings.compute_threads > 0 ? threads : 1);
  defaults.runs = std::max<uint32_t>(slots / divisor, 1);
  if (settings.batching.runs != 0) defaults.runs = std::min(settings.batching.runs, slots);
  return defaults;
}

Status ReadBatchingFile(Settings& settings) {
  const std::string& file = settings.batching_parameters_file;
  if (file.empty()) return OkStatus();
  ASSIGN_OR_RETURN(const std::string text, ReadConfigFile("batching_parameters_file", file));
  ASSIGN_OR_RETURN(const BatchingConfig config, ParseBatchingParameters(text, file));
  settings.batching = SettingsOf(config, settings.batching);
  uint64_t& requests_max = settings.scheduler.model.flow.items_max;
  if (config.max_enqueued_batches && requests_max == 0) {
    // A request has at least one row.
    requests_max = static_cast<uint64_t>(*config.max_enqueued_batches * settings.batching.rows_max);
  }
  for (const std::string& name : config.unused)
    PENSTOCK_LOG(kWarning, "{}: {} has no effect", file, name);
  return OkStatus();
}

namespace {

// The reason why `path` is neither a shared library nor a folder. Empty: it is one of them.
std::string WhyNoLibrary(const std::string& path) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) return error.message();
  if (std::filesystem::is_directory(status)) return "";
  if (!std::filesystem::is_regular_file(status)) return "it is no file";
  constexpr std::string_view kMagic =
      "\x7f"
      "ELF";
  std::array<char, kMagic.size()> start{};
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::generic_category().message(errno);
  file.read(start.data(), start.size());
  const bool is_library = std::string_view(start.data(), start.size()) == kMagic;
  return is_library ? "" : "it is no shared library (ELF file)";
}

// As WhyNoLibrary, for a path in a list of libraries. A folder is accepted only if `takes_folders`,
// and only if it has a shared library.
std::string WhyNotInList(const std::string& path, bool takes_folders) {
  std::string why = WhyNoLibrary(path);
  std::error_code error;
  if (!why.empty() || !std::filesystem::is_directory(path, error)) return why;
  if (!takes_folders) return "it is a folder; give the libraries in it";
  for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
    if (entry.path().extension() == ".so") return "";
  }
  return error ? error.message() : "the folder has no shared library (*.so)";
}

}  // namespace

// A backend is opened when the first model needs it, which may be hours after the start. A wrong
// path should stop the start instead.
Status CheckPaths(const Settings& settings) {
  const auto fail = [](std::string_view flag, const std::string& path, std::string_view why) {
    return InvalidArgument("--{}={}: {}", flag, path, why);
  };
  const std::string& folder = settings.backend_directory;
  std::error_code error;
  if (!folder.empty()) {
    const bool is_folder = std::filesystem::is_directory(folder, error);
    if (error) return fail("backend_directory", folder, error.message());
    if (!is_folder) return fail("backend_directory", folder, "it is no folder");
  }
  const std::pair<std::string_view, const std::string&> libraries[] = {
      {"tensorflow_library", settings.tensorflow_library},
      {"onnxruntime_library", settings.onnxruntime_library}};
  for (const auto& [flag, path] : libraries) {
    if (path.empty()) continue;
    if (const std::string why = WhyNoLibrary(path); !why.empty()) return fail(flag, path, why);
  }
  const std::tuple<std::string_view, const std::string&, bool> lists[] = {
      {"tensorflow_op_libraries", settings.tensorflow_op_libraries, /*takes_folders=*/true},
      {"onnxruntime_custom_ops", settings.onnxruntime_custom_ops, /*takes_folders=*/false}};
  for (const auto& [flag, paths, takes_folders] : lists) {
    std::istringstream parts(paths);
    for (std::string path; std::getline(parts, path, ',');) {
      if (path.empty()) continue;
      const std::string why = WhyNotInList(path, takes_folders);
      if (!why.empty()) return fail(flag, path, why);
    }
  }
  return OkStatus();
}

BackendHostOptions MakeBackendOptions(const Settings& settings) {
  const int64_t both = settings.tensorflow_session_parallelism;
  BackendHostOptions options;
  options.folder = settings.backend_directory;
  options.intra_op_threads =
      static_cast<int>(both != 0 ? both : settings.tensorflow_intra_op_parallelism);
  options.inter_op_threads =
      static_cast<int>(both != 0 ? both : settings.tensorflow_inter_op_parallelism);
  const auto set = [&](const std::string& backend, const std::string& key,
                       const std::string& value) {
    if (value.empty()) return;
    options.options[backend].emplace_back(key, value);
    // Kept for the message if the backend cannot be opened: the flags are the likely reason.
    std::string& set_by = options.set_by[backend];
    set_by += fmt::format("{}--{}_{}={}", set_by.empty() ? "" : " ", backend, key, value);
  };
  set("tensorflow", "library", settings.tensorflow_library);
  set("tensorflow", "op_libraries", settings.tensorflow_op_libraries);
  set("onnxruntime", "library", settings.onnxruntime_library);
  set("onnxruntime", "custom_ops", settings.onnxruntime_custom_ops);
  return options;
}

LoadOptions MakeLoadOptions(const Settings& settings) {
  LoadOptions options;
  options.options.emplace_back("saved_model_tags", settings.saved_model_tags);
  return options;
}

WarmUpOptions MakeWarmUpOptions(const Settings& settings) {
  WarmUpOptions options = settings.warm_up;
  if (settings.num_request_iterations_for_warmup > 0)
    options.iterations = static_cast<int>(settings.num_request_iterations_for_warmup);
  options.predict.decoded_tensor_bytes_max = DecodedTensorBytesMax(settings);
  options.json = settings.json;
  options.json.tensor_bytes_max = DecodedTensorBytesMax(settings);
  return options;
}

StatusOr<std::vector<std::string>> MetricsPaths(const Settings& settings) {
  std::vector<std::string> paths = {"/metrics"};
  if (settings.monitoring_config_file.empty()) {
    paths.push_back("/monitoring/prometheus/metrics");
    return paths;
  }
  ASSIGN_OR_RETURN(const std::string text,
                   ReadConfigFile("monitoring_config_file", settings.monitoring_config_file));
  ASSIGN_OR_RETURN(const MonitoringSettings monitoring,
                   ParseMonitoringConfig(text, settings.monitoring_config_file));
  if (!monitoring.enable) return std::vector<std::string>();
  if (monitoring.path != paths[0]) paths.push_back(monitoring.path);
  return paths;
}

}  // namespace penstock
