// SPDX-License-Identifier: Apache-2.0
// One row per option. The sentences appear in --help and in docs/configuration.md.
#include <array>

#include "options/options.h"

namespace penstock {
namespace {

constexpr std::array<std::string_view, 3> kAdminAccess = {"off", "read", "full"};
constexpr std::array<std::string_view, 2> kListenTimes = {"at_start", "after_load"};
constexpr std::array<std::string_view, 2> kCompat = {"none", kTfsProgram};
constexpr std::array<std::string_view, 3> kAutoOnOff = {"auto", "on", "off"};
constexpr std::array<std::string_view, 5> kLogLevels = {"debug", "info", "warning", "error", "off"};
constexpr std::array<std::string_view, 2> kLogFormats = {"text", "json"};

constexpr int64_t kIntMax = std::numeric_limits<int32_t>::max();
constexpr int64_t kNegative = -kIntMax - 1;  // for options whose negative values all mean the same
constexpr int64_t kDayMs = 24 * 3'600'000;

constexpr std::string_view kModels = "Models";
constexpr std::string_view kListening = "Listening";
constexpr std::string_view kTls = "TLS";
constexpr std::string_view kLimits = "Limits";
constexpr std::string_view kTimeouts = "Time-outs";
constexpr std::string_view kHttp2 = "HTTP/2 and gRPC";
constexpr std::string_view kThreads = "Threads";
constexpr std::string_view kBackends = "Backends";
constexpr std::string_view kObservation = "Observation";
constexpr std::string_view kForeign = "Accepted for compatibility";

// A flag of TensorFlow Serving that has no effect. Other values than the natural one get a warning.
constexpr ForeignOption Ignored(OptionType type, std::string_view default_text,
                                std::string_view natural_text) {
  return {type, default_text, natural_text, false};
}
// A flag of TensorFlow Serving that is accepted only with its natural value.
constexpr ForeignOption Refused(OptionType type, std::string_view default_and_natural_text) {
  return {type, default_and_natural_text, default_and_natural_text, true};
}

const OptionRow kRows[] = {
    // --- Models
    {kModels, "model_config_file", &Settings::model_config_file,
     "File with the list of models, in TensorFlow Serving's text format; overrides model_name and "
     "model_base_path. Its model_platform is the name of a backend (tensorflow, onnxruntime or "
     "onnx); left out, the files of a version decide."},
    {kModels, "model_name", &Settings::model_name, "Name of the model at model_base_path."},
    {kModels, "model_base_path", &Settings::model_base_path,
     "Folder whose numbered folders are the versions of the model; s3://bucket/path, or "
     "builtin:identity or builtin:half_plus_two."},
    {kModels, "saved_model_tags", &Settings::saved_model_tags,
     "Tags of the meta graph that is loaded from a SavedModel, separated by commas; empty is the "
     "graph without tags."},
    {kModels, "model_config_file_poll_wait_seconds", &Settings::model_config_file_poll_wait_seconds,
     "Time between two looks whether model_config_file has changed; 0 and less is never. SIGHUP "
     "reads it at once.",
     "s", kNegative, kIntMax},
    {kModels, "reload_timeout_seconds", &Settings::reload_timeout_seconds,
     "How long HandleReloadConfigRequest and the admin API wait for their models at most, whatever "
     "the deadline.",
     "s", 1, kIntMax},
    {kModels, "admin_api", &Settings::admin_api,
     "What /admin/v1/models allows: 'off' nothing, 'read' to look at the models, 'full' to add, "
     "remove, load, unload, label and pin them, but not on a port that has no TLS while another "
     "one has, unless it listens at a loopback address.",
     "", 0, 0, kAdminAccess},
    {kModels, "reload_rpc", &Settings::reload_rpc,
     "Where HandleReloadConfigRequest is answered: 'on' on every port, 'off' nowhere, 'auto' on "
     "ports that demand client certificates, on loopback addresses and on unix sockets, and with "
     "compat on every port. The address that the server listens at counts, not the client's.",
     "", 0, 0, kAutoOnOff},
    {kModels, "state_file", &Settings::state_file,
     "File that keeps what the admin API has changed, for the next start of the server; empty "
     "keeps "
     "nothing."},
    {kModels, "file_system_poll_wait_seconds", &Settings::file_system_poll_wait_seconds,
     "Time between two looks for new versions; 0 looks once, a negative one never. Where the file "
     "system tells of changes they are seen at once, and looks are ten times rarer.",
     "s", kNegative, kIntMax},
    {kModels, "version_settle_ms", &Settings::version_settle_ms,
     "A version whose files are being written is loaded when nothing has changed for this time, or "
     "when its folder is renamed into its place; 0 loads what is there.",
     "ms", 0, kDayMs},
    {kModels, "model_cache_directory", &Settings::model_cache_directory,
     "Folder that models with s3:// base paths are downloaded to; of this server alone."},
    {kModels, "object_store_poll_wait_seconds", &Settings::object_store_poll_wait_seconds,
     "Time between two looks for new versions in object stores; 0 looks once.", "s", 0, kIntMax},
    {kModels, "object_store_list_timeout_seconds", &Settings::object_store_list_timeout_seconds,
     "Time that one look at a model in an object store may take, with all its versions.", "s", 1,
     kIntMax},
    {kModels, "servable_versions_always_present", &Settings::servable_versions_always_present,
     "Keeps the versions that are loaded when the last one is deleted from the base path."},
    {kModels, "allow_version_labels_for_unavailable_models",
     &Settings::allow_version_labels_for_unavailable_models,
     "HandleReloadConfigRequest does not wait for the versions that labels name, and a new label "
     "may "
     "name one that does not exist. A label stays where it is until its version is available, with "
     "it or without."},
    {kModels, "num_load_threads", &Settings::num_load_threads,
     "Versions loaded at the same time, of all models together; 0 is 2.", "", 0, 256},
    {kModels, "num_initial_load_threads", &Settings::num_initial_load_threads,
     "The same until every model has been loaded once or has failed; 0 is one for each CPU.", "", 0,
     256},
    {kModels, "num_unload_threads", &Settings::num_unload_threads,
     "Versions unloaded at the same time, of all models together; 0 is 2.", "", 0, 256},
    {kModels, "load_timeout_ms", &Settings::load_timeout_ms,
     "A load that takes longer has failed: it is asked to end, holds up no other, and is tried "
     "again once it has ended; 0 is no limit.",
     "ms", 0, kIntMax},
    {kModels, "max_num_load_retries", &Settings::max_num_load_retries,
     "Retries of a load that failed; negative retries without end.", "", kNegative, kIntMax},
    {kModels, "load_retry_interval_micros", &Settings::load_retry_interval_micros,
     "Wait before the first retry of a load; each further one waits twice as long, up to a minute.",
     "us", kNegative, kIntMax* int64_t{1000}},
    {kModels, "model_memory_bytes_max", &Settings::model_memory_bytes_max,
     "Limit for the memory of all loaded versions, as measured or estimated. A load over it waits "
     "while something else goes, and else fails until there is room; 0 is no limit, -1 nine tenths "
     "of the memory that the process may use.",
     "bytes", -1},
    {kModels, "initial_load_wait_ms", &Settings::initial_load_wait_ms,
     "How long a request waits at most for the first load of its model; 0 is not at all.", "ms", 0,
     kIntMax},
    {kModels, "demand_timeout_ms", &Settings::demand_timeout_ms,
     "How long a request waits at most for a model that is loaded on demand.", "ms", 0, kIntMax},
    {kModels, "demand_waiters_max", &Settings::demand_waiters_max,
     "Requests that may wait for one model: for its first load, or if it is loaded on demand.", "",
     0, kIntMax},
    {kModels, "ready_when", &Settings::ready_when,
     "When the server is ready: when 'all' models of the start, and those that have served since, "
     "have a version available; 'strict': all models, also new ones; 'any': one; or when those "
     "have "
     "that are named, separated by commas, after 'models:'."},
    {kModels, "load_nice", &Settings::load_nice,
     "Nice value of the threads that load and unload, so that they slow no request.", "", 0, 19},
    {kModels, "enable_model_warmup", &Settings::enable_model_warmup,
     "A version answers the requests that are recorded in its folder before it serves."},
    {kModels, "num_request_iterations_for_warmup", &Settings::num_request_iterations_for_warmup,
     "How often each recorded request is run; 0 is once.", "", 0, kIntMax},

    // --- Listening
    {kListening, "port", &Settings::port,
     "Port for gRPC, REST and everything else; 0 is none, -1 any free one (see port_file).", "", -1,
     65535},
    {kListening, "rest_api_port", &Settings::rest_api_port,
     "A second port that takes the same as the first; 0 is none, -1 any free one.", "", -1, 65535},
    {kListening, "grpc_on_rest_port", &Settings::grpc_on_rest_port,
     "Whether rest_api_port answers gRPC calls, other than health checks and reflection: 'auto' "
     "unless only the other port has TLS.",
     "", 0, 0, kAutoOnOff},
    {kListening, "grpc_socket_path", &Settings::grpc_socket_path,
     "Path of a unix socket that takes the same as the ports; empty is none. The socket of an "
     "earlier server is taken over, also if that one still runs."},
    {kListening, "address", &Settings::address,
     "IP address to listen at; :: takes IPv6 and IPv4 from everywhere."},
    {kListening, "health_port", &Settings::health_port,
     "A port for probes and metrics alone, in clear text: /healthz, /readyz, /metrics and "
     "grpc.health.v1. It opens at once and closes last; 0 is none, -1 any free one.",
     "", -1, 65535},
    {kListening, "listen", &Settings::listen,
     "When port, rest_api_port and grpc_socket_path take connections: 'at_start', or 'after_load', "
     "which is when each model has been loaded or has failed, and one is served.",
     "", 0, 0, kListenTimes},
    {kListening, "port_file", &Settings::port_file,
     "File that gets the bound ports as JSON; with listen=after_load, before they take "
     "connections. Empty is none."},
    {kListening, "rest_api_enable_cors_support", &Settings::rest_api_enable_cors_support,
     "Adds the headers that let browsers call from pages of other origins."},

    // --- TLS
    {kTls,
     "tls_certificate_file",
     &Settings::tls_certificate_file,
     "PEM file with the server's certificate chain; switches TLS on for all ports but "
     "health_port.",
     "",
     0,
     0,
     {},
     OptionChange::kReload},
    {kTls,
     "tls_key_file",
     &Settings::tls_key_file,
     "PEM file with the private key.",
     "",
     0,
     0,
     {},
     OptionChange::kReload},
    {kTls,
     "tls_client_ca_file",
     &Settings::tls_client_ca_file,
     "PEM file with the authorities that clients' certificates are checked against.",
     "",
     0,
     0,
     {},
     OptionChange::kReload},
    {kTls, "tls_require_client_certificate", &Settings::tls_require_client_certificate,
     "Turns away clients without a certificate of such an authority (mutual TLS)."},
    {kTls, "tls_reload_interval_seconds", &Settings::tls_reload_interval_seconds,
     "Time between two looks for changed certificate files, which new connections make; 0 is "
     "never.",
     "s", 0, kIntMax},
    {kTls, "ssl_config_file", &Settings::ssl_config_file,
     "TensorFlow Serving's file with key, certificate and client authority in PEM; TLS then is on "
     "for port and grpc_socket_path, not for rest_api_port."},

    // --- Limits
    {kLimits, "body_bytes_max", &Settings::body_bytes_max,
     "Largest request body or gRPC message, also after decompression; a larger one is refused.",
     "bytes", 1024, (int64_t{1} << 31) - 1},
    {kLimits, "inflight_bytes_max", &Settings::inflight_bytes_max,
     "Memory for all requests together: bodies, heads over 4 KiB, decoded tensors, unsent answers. "
     "A sixteenth is kept for tensors and answers. 0 is a quarter of what the process may use.",
     "bytes"},
    {kLimits, "body_reservation_bytes_max", &Settings::body_reservation_bytes_max,
     "Address space that all bodies reserve for the lengths that clients announce; 0 is 8 times "
     "inflight_bytes_max, at most half of what the process may use (ulimit -v).",
     "bytes"},
    {kLimits, "decoded_tensor_bytes_max", &Settings::decoded_tensor_bytes_max,
     "Memory for the tensors of one request, as far as they do not lie in its body: those of JSON, "
     "and of typed fields; 0 is half of inflight_bytes_max, at most 1 GiB.",
     "bytes"},
    {kLimits, "json_depth_max", &Settings::json_depth_max,
     "Levels of lists and objects in a JSON body.", "", 1, 1000},
    {kLimits, "header_bytes_max", &Settings::header_bytes_max, "Largest head of one request.",
     "bytes", 1024, 16 << 20},
    {kLimits, "connections_max", &Settings::connections_max,
     "Open connections; a further one is closed at once.", "", 1, 10'000'000},
    {kLimits, "requests_max", &Settings::requests_max,
     "Requests being served over all connections; a further one gets UNAVAILABLE or 503.", "", 1,
     10'000'000},
    {kLimits, "streams_per_connection_max", &Settings::streams_per_connection_max,
     "Requests at the same time on one HTTP/2 connection.", "", 1, 1'000'000},
    {kLimits, "incomplete_requests_max", &Settings::incomplete_requests_max,
     "Requests over all connections of which only a part has arrived; at the limit a connection "
     "loses them to those that come after it. 0 is requests_max, at most one for 32 KiB of "
     "inflight_bytes_max.",
     "", 0, 10'000'000},
    {kLimits, "incomplete_requests_per_connection_max",
     &Settings::incomplete_requests_per_connection_max,
     "How many of these one HTTP/2 connection may have while there are incomplete_requests_max, or "
     "while inflight_bytes_max is used up and it has completed no request.",
     "", 1, 1'000'000},
    {kLimits, "watches_per_connection_max", &Settings::watches_per_connection_max,
     "Health watches and reflection calls at the same time on one connection; a further one gets "
     "RESOURCE_EXHAUSTED.",
     "", 1, 1'000'000},
    {kLimits, "write_queue_bytes_max", &Settings::write_queue_bytes_max,
     "Small answers queued for one connection before no more of its requests are read.", "bytes",
     4096, 1 << 30},
    {kLimits, "compute_queue_max", &Settings::compute_queue_max,
     "Requests that wait for a compute thread; a further one gets UNAVAILABLE or 503.", "", 1,
     10'000'000},
    {kLimits, "metric_series_max", &Settings::metric_series_max,
     "Label sets of one metric; further ones are counted together as \"other\".", "", 1, 100'000},

    // --- Time-outs
    {kTimeouts, "rest_api_timeout_in_ms", &Settings::rest_api_timeout_in_ms,
     "Deadline of a REST call; 0 is none.", "ms", 0, kDayMs},
    {kTimeouts, "idle_timeout_ms", &Settings::idle_timeout_ms,
     "After this a connection without a request is closed; 0 is never.", "ms", 0, kDayMs},
    {kTimeouts, "header_timeout_ms", &Settings::header_timeout_ms,
     "Time from the first byte of a request's head to its end, and for the TLS handshake.", "ms", 1,
     kDayMs},
    {kTimeouts, "body_timeout_ms", &Settings::body_timeout_ms,
     "Time without any byte of an unfinished body after which the request ends.", "ms", 1, kDayMs},
    {kTimeouts, "write_timeout_ms", &Settings::write_timeout_ms,
     "Time without the client taking a byte of an answer after which the connection ends.", "ms", 1,
     kDayMs},
    {kTimeouts, "half_close_grace_ms", &Settings::half_close_grace_ms,
     "Time in which a request must be answered after its HTTP/1.1 client has closed its side of "
     "the connection; then its run is cancelled.",
     "ms", 0, kDayMs},
    {kTimeouts, "keepalive_interval_ms", &Settings::keepalive_interval_ms,
     "Time between HTTP/2 pings on an idle connection; 0 is never.", "ms", 0, kDayMs},
    {kTimeouts, "drain_timeout_ms", &Settings::drain_timeout_ms,
     "How long SIGTERM waits for requests in flight.", "ms", 0, kDayMs},
    {kTimeouts, "shutdown_delay_ms", &Settings::shutdown_delay_ms,
     "How long SIGTERM goes on serving before that, with /readyz and grpc.health.v1 saying no, so "
     "that load balancers notice first.",
     "ms", 0, kDayMs},

    // --- HTTP/2 and gRPC
    {kHttp2, "http2_stream_window_bytes", &Settings::http2_stream_window_bytes,
     "Bytes that a client may send ahead on one stream.", "bytes", 65535, kIntMax},
    {kHttp2, "http2_connection_window_bytes", &Settings::http2_connection_window_bytes,
     "Bytes that a client may send ahead on one connection.", "bytes", 65535, kIntMax},
    {kHttp2, "enable_serialization_as_tensor_content",
     &Settings::enable_serialization_as_tensor_content,
     "Puts the tensors of Predict answers into tensor_content rather than the typed fields."},

    // --- Threads
    {kThreads, "event_loops", &Settings::event_loops,
     "Threads that serve connections; 0 is one per usable CPU.", "", 0, 1024},
    {kThreads, "compute_threads", &Settings::compute_threads,
     "Threads that run models; 0 is one per usable CPU.", "", 0, 1024},
    {kThreads, "inline_run_time_max_us", &Settings::inline_run_time_max_us,
     "A model whose 99th percentile stays under this runs on the event loop; 0 is never.", "us", 0,
     1'000'000},
    {kThreads, "inline_run_time_limit_us", &Settings::inline_run_time_limit_us,
     "One run on an event loop that takes longer sends the model back to the compute threads.",
     "us", 1, 10'000'000},
    {kThreads, "inline_after_runs", &Settings::inline_after_runs,
     "Runs on compute threads before a model may run on an event loop.", "", 1, kIntMax},
    {kThreads, "inline_request_bytes_max", &Settings::inline_request_bytes_max,
     "Larger requests always run on compute threads.", "bytes"},

    // --- Backends
    {kBackends, "backend_directory", &Settings::backend_directory,
     "Folder with a folder for each backend; empty is the folder backends beside the program."},
    {kBackends, "tensorflow_library", &Settings::tensorflow_library,
     "Folder with TensorFlow's shared libraries; empty searches the usual places."},
    {kBackends, "tensorflow_op_libraries", &Settings::tensorflow_op_libraries,
     "Shared libraries with operations for TensorFlow, such as TensorFlow Text's, separated by "
     "commas; a folder stands for all *.so in it."},
    {kBackends, "onnxruntime_library", &Settings::onnxruntime_library,
     "Path of libonnxruntime.so; empty searches the usual places."},
    {kBackends, "onnxruntime_custom_ops", &Settings::onnxruntime_custom_ops,
     "Shared libraries with operators for ONNX Runtime, separated by commas."},
    {kBackends, "tensorflow_session_parallelism", &Settings::tensorflow_session_parallelism,
     "Sets the next two at once.", "", 0, 1024},
    {kBackends, "tensorflow_intra_op_parallelism", &Settings::tensorflow_intra_op_parallelism,
     "Threads with which one operation runs, in each runtime; 0 is one per usable CPU.", "", 0,
     1024},
    {kBackends, "tensorflow_inter_op_parallelism", &Settings::tensorflow_inter_op_parallelism,
     "Operations of one run at the same time, in each runtime; 0 leaves it to the backend.", "", 0,
     1024},

    // --- Observation
    {kObservation, "monitoring_config_file", &Settings::monitoring_config_file,
     "TensorFlow Serving's file that says at which path the metrics are."},
    {kObservation, "log_level", &Settings::log_level, "What is logged: this and what is graver.",
     "", 0, 0, kLogLevels},
    {kObservation, "log_format", &Settings::log_format, "How log lines look.", "", 0, 0,
     kLogFormats},
    {kObservation, "version", &Settings::version, "Prints the version and ends."},
    {kObservation, "help", &Settings::help, "Prints this list and ends."},

    // --- Accepted for compatibility
    {kForeign, "compat", &Settings::compat,
     "'tensorflow_model_server' takes that program's place, and is preset where the server is "
     "started under that name: its defaults hold (listen=after_load, no REST port, "
     "load_retry_interval_micros=60000000), flags that it has dropped and stray words are warned "
     "of, and an empty model_config_file waits for a reload.",
     "", 0, 0, kCompat},
    {kForeign, "rest_api_num_threads", Ignored(OptionType::kInt, "", ""),
     "No effect: REST runs on the same event loops as gRPC (event_loops)."},
    {kForeign, "grpc_max_threads", Ignored(OptionType::kInt, "", ""),
     "No effect: no thread is tied to a call (event_loops, requests_max)."},
    {kForeign, "grpc_channel_arguments", Ignored(OptionType::kString, "", ""),
     "No effect: there is no gRPC library in the server (the groups Limits, Time-outs and "
     "HTTP/2)."},
    {kForeign, "enable_grpc_healthcheck_service", Ignored(OptionType::kBool, "false", "true"),
     "No effect: the health service is always on."},
    {kForeign, "flush_filesystem_caches", Ignored(OptionType::kBool, "true", "false"),
     "No effect: the system's file cache is left alone."},
    {kForeign, "remove_unused_fields_from_bundle_metagraph",
     Ignored(OptionType::kBool, "true", "true"), "No effect: only the signatures are kept."},
    {kForeign, "enable_batching", Ignored(OptionType::kBool, "false", "false"),
     "No effect yet: requests are not batched."},
    {kForeign, "batching_parameters_file", Ignored(OptionType::kString, "", ""),
     "No effect yet: requests are not batched."},
    {kForeign, "enable_per_model_batching_parameters", Ignored(OptionType::kBool, "false", "false"),
     "No effect yet: requests are not batched."},
    {kForeign, "enable_profiler", Ignored(OptionType::kBool, "true", "false"),
     "No effect: there is no profiler service."},
    {kForeign, "enable_signature_method_name_check", Ignored(OptionType::kBool, "false", "false"),
     "No effect: the method name of a signature is not looked at."},
    {kForeign, "tensorflow_session_config_file", Ignored(OptionType::kString, "", ""),
     "No effect: set the threads with tensorflow_intra_op_parallelism and "
     "tensorflow_inter_op_parallelism."},
    {kForeign, "thread_pool_factory_config_file", Ignored(OptionType::kString, "", ""),
     "No effect: all models share one pool (compute_threads)."},
    {kForeign, "per_process_gpu_memory_fraction", Ignored(OptionType::kString, "0", "0"),
     "No effect: models run on the CPU."},
    {kForeign, "skip_initialize_tpu", Ignored(OptionType::kBool, "false", "true"),
     "No effect: models run on the CPU."},
    {kForeign, "xla_cpu_compilation_enabled", Ignored(OptionType::kBool, "false", "false"),
     "No effect: graphs run as they are."},
    {kForeign, "xla_gpu_compilation_enabled", Ignored(OptionType::kBool, "false", "false"),
     "No effect: models run on the CPU."},
    {kForeign, "num_tflite_pools", Ignored(OptionType::kInt, "", ""),
     "No effect: there are no TensorFlow Lite models."},
    {kForeign, "num_tflite_interpreters_per_pool", Ignored(OptionType::kInt, "1", ""),
     "No effect: there are no TensorFlow Lite models."},
    {kForeign, "prefer_tflite_model", Refused(OptionType::kBool, "false"),
     "TensorFlow Lite models are not served: remove the flag and keep the SavedModel."},
    {kForeign, "mixed_precision", Refused(OptionType::kString, ""),
     "It would change results and is not there: remove the flag, or convert the model."},
    {kForeign, "platform_config_file", Refused(OptionType::kString, ""),
     "It cannot be read: set what it sets by flags (saved_model_tags, tensorflow_*_parallelism)."},
    {kForeign, "use_alts_credentials", Refused(OptionType::kBool, "false"),
     "ALTS is not there, and without it the port would be open: use tls_certificate_file and "
     "tls_client_ca_file."},
};

}  // namespace

std::span<const OptionRow> OptionTable() { return kRows; }

}  // namespace penstock
