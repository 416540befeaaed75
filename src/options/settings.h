// SPDX-License-Identifier: Apache-2.0
// The values of the options of `penstock serve`, with their defaults, but for those of the leaves.
// Their meanings are in server_options.cc.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "batch/batch_settings.h"
#include "cache/cache_settings.h"
#include "core/manager_options.h"
#include "infer/engine.h"
#include "infer/recent_requests.h"
#include "infer/run_times.h"
#include "loading/warm_up.h"
#include "net/options.h"
#include "protocols/tfs_json/predict_decoder.h"
#include "remote/settings.h"
#include "request_log/request_log_options.h"
#include "schedule/scheduler.h"

namespace penstock {

// An option that a component takes as it is lies in the component's own options, which also have
// its default. The other values are plain, with the units in the names: component_options.h
// computes from them what the components take. One thread at a time while parsed, then immutable.
struct Settings {
  // Options of components. What no flag sets in them is computed in component_options.h. A row of
  // server_options.cc names such a member by its path: Field<&Settings::net,
  // &net::ServerOptions::requests_max>().
  net::ServerOptions net;
  core::ManagerOptions manager;
  EngineOptions engine;
  InlineOptions inline_runs;
  WarmUpOptions warm_up;
  RecentRequestsOptions recent_requests;
  RequestLogsOptions request_logs;
  tfs_json::DecoderOptions json;
  schedule::SchedulerOptions scheduler;
  bool enable_batching = true;
  batch::BatchSettings batching;  // without the mode
  std::string batching_parameters_file;
  remote::RemoteSettings remote;
  cache::CacheSettings row_cache;  // the defaults of models that have a cache
  bool enable_per_model_batching_parameters = false;

  // Models
  std::string model_config_file;
  std::string shard_filter;
  int64_t shard_ordinal = -1;
  std::string model_name = "default";
  std::string model_base_path;
  std::string saved_model_tags = "serve";
  int64_t model_config_file_poll_wait_seconds = 0;
  int64_t reload_timeout_seconds = 120;
  std::string admin_api = "read";
  std::string reload_rpc = "auto";
  std::string state_file;
  std::string table_secrets_path;
  int64_t version_settle_ms = 1000;
  int64_t version_lease_ms = 10'000;
  bool servable_versions_always_present = false;
  bool allow_version_labels_for_unavailable_models = false;
  int64_t num_load_threads = 0;
  int64_t num_initial_load_threads = 0;
  int64_t num_unload_threads = 0;
  int64_t model_memory_bytes_max = -1;
  std::string ready_when = "all";
  int64_t num_request_iterations_for_warmup = 0;

  // Listening
  int64_t port = 8500;
  int64_t rest_api_port = 8501;
  int64_t graphpipe_port = 0;
  std::string grpc_on_rest_port = "auto";
  std::string grpc_socket_path;
  std::string address = "::";
  int64_t health_port = 0;
  int64_t admin_port = 0;
  std::string admin_socket;
  std::string admin_address;
  std::string listen = "at_start";
  std::string port_file;

  // TLS
  std::string ssl_config_file;

  // Access
  std::string token_file;
  int64_t token_file_poll_seconds = 10;
  std::string model_roots;

  // Limits
  int64_t inflight_bytes_max = 0;
  int64_t decoded_tensor_bytes_max = 0;
  int64_t metric_series_max = 1000;

  // Timeouts
  int64_t shutdown_delay_ms = 0;

  // Threads
  int64_t compute_threads = 0;

  // Backends
  std::string backend_directory;
  std::string tensorflow_library;
  std::string tensorflow_op_libraries;
  std::string onnxruntime_library;
  std::string onnxruntime_custom_ops;
  int64_t tensorflow_session_parallelism = 0;
  int64_t tensorflow_intra_op_parallelism = 0;
  int64_t tensorflow_inter_op_parallelism = 0;

  // Observation
  std::string monitoring_config_file;
  std::string log_level = "info";
  std::string log_format = "text";

  bool help = false;
  bool version = false;

  std::string compat = "none";
};

// The program that the server replaces with --compat, and the value of that flag.
inline constexpr std::string_view kTfsProgram = "tensorflow_model_server";

// True if the server replaces TensorFlow Serving, and so uses its defaults and behaviour.
inline bool StandsInForTfs(const Settings& settings) { return settings.compat == kTfsProgram; }

// True if the admin API and the metrics have an address of their own.
inline bool HasAdminPort(const Settings& settings) {
  return settings.admin_port != 0 || !settings.admin_socket.empty();
}

}  // namespace penstock
