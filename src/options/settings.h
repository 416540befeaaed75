// SPDX-License-Identifier: Apache-2.0
// The values of all options of `penstock serve`, with their defaults. Their meanings are in
// options_table.cc.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace penstock {

// Plain values, with the units in the names. One thread at a time while parsed, then immutable.
struct Settings {
  // Models
  std::string model_config_file;
  std::string model_name = "default";
  std::string model_base_path;
  std::string saved_model_tags = "serve";
  int64_t model_config_file_poll_wait_seconds = 0;
  int64_t reload_timeout_seconds = 120;
  std::string admin_api = "read";
  std::string reload_rpc = "auto";
  std::string state_file;
  int64_t file_system_poll_wait_seconds = 1;
  int64_t version_settle_ms = 1000;
  std::string model_cache_directory;
  int64_t object_store_poll_wait_seconds = 30;
  int64_t object_store_list_timeout_seconds = 120;
  bool servable_versions_always_present = false;
  bool allow_version_labels_for_unavailable_models = false;
  int64_t num_load_threads = 0;
  int64_t num_initial_load_threads = 0;
  int64_t num_unload_threads = 0;
  int64_t load_timeout_ms = 0;
  int64_t max_num_load_retries = 5;
  int64_t load_retry_interval_micros = 1'000'000;
  int64_t model_memory_bytes_max = -1;
  int64_t initial_load_wait_ms = 10'000;
  int64_t demand_timeout_ms = 30'000;
  int64_t demand_waiters_max = 1000;
  std::string ready_when = "all";
  int64_t load_nice = 10;
  bool enable_model_warmup = true;
  int64_t num_request_iterations_for_warmup = 0;

  // Listening
  int64_t port = 8500;
  int64_t rest_api_port = 8501;
  std::string grpc_on_rest_port = "auto";
  std::string grpc_socket_path;
  std::string address = "::";
  int64_t health_port = 0;
  std::string listen = "at_start";
  std::string port_file;
  bool rest_api_enable_cors_support = false;

  // TLS
  std::string tls_certificate_file;
  std::string tls_key_file;
  std::string tls_client_ca_file;
  bool tls_require_client_certificate = false;
  int64_t tls_reload_interval_seconds = 10;
  std::string ssl_config_file;

  // Limits
  int64_t body_bytes_max = (int64_t{1} << 31) - 1;
  int64_t inflight_bytes_max = 0;
  int64_t body_reservation_bytes_max = 0;
  int64_t decoded_tensor_bytes_max = 0;
  int64_t json_depth_max = 100;
  int64_t header_bytes_max = 64 * 1024;
  int64_t connections_max = 100'000;
  int64_t requests_max = 100'000;
  int64_t streams_per_connection_max = 1000;
  int64_t incomplete_requests_max = 0;
  int64_t incomplete_requests_per_connection_max = 8;
  int64_t watches_per_connection_max = 16;
  int64_t write_queue_bytes_max = 64 * 1024;
  int64_t compute_queue_max = 10'000;
  int64_t metric_series_max = 1000;

  // Timeouts
  int64_t rest_api_timeout_in_ms = 30'000;
  int64_t idle_timeout_ms = 900'000;
  int64_t header_timeout_ms = 30'000;
  int64_t body_timeout_ms = 60'000;
  int64_t write_timeout_ms = 60'000;
  int64_t half_close_grace_ms = 1000;
  int64_t keepalive_interval_ms = 7'200'000;
  int64_t drain_timeout_ms = 30'000;
  int64_t shutdown_delay_ms = 0;

  // HTTP/2
  int64_t http2_stream_window_bytes = 32 << 20;
  int64_t http2_connection_window_bytes = 64 << 20;
  bool enable_serialization_as_tensor_content = false;

  // Threads
  int64_t event_loops = 0;
  int64_t compute_threads = 0;
  int64_t inline_run_time_max_us = 50;
  int64_t inline_run_time_limit_us = 1000;
  int64_t inline_after_runs = 100;
  int64_t inline_request_bytes_max = 64 * 1024;

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

}  // namespace penstock
