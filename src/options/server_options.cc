// SPDX-License-Identifier: Apache-2.0
// One row per option. The leaves declare theirs in their own folders; the options of TensorFlow
// Serving that have no effect are in foreign_options.cc. It is long, because a row has one line for
// each of its facts. The sentences appear in --help and in docs/configuration.md.
#include <array>

#include "options/options.h"

namespace penstock {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::array<std::string_view, 3> kAdminAccess = {"off", "read", "full"};
constexpr std::array<std::string_view, 2> kListenTimes = {"at_start", "after_load"};
constexpr std::array<std::string_view, 2> kCompat = {"none", kTfsProgram};
constexpr std::array<std::string_view, 3> kAutoOnOff = {"auto", "on", "off"};
constexpr std::array<std::string_view, 5> kLogLevels = {"debug", "info", "warning", "error", "off"};
constexpr std::array<std::string_view, 2> kLogFormats = {"text", "json"};

constexpr int64_t kIntMax = std::numeric_limits<int32_t>::max();
constexpr int64_t kNegative = -kIntMax - 1;  // for options whose negative values all mean the same
constexpr int64_t kDayMs = 24 * 3'600'000;

const OptionRow kRows[] = {

    // --- Models
    {.group = option_group::kModels,
     .name = "model_config_file",
     .target = Field<&Settings::model_config_file>(),
     .sentence =
         "File with the list of models, in TensorFlow Serving's text format; overrides model_name "
         "and "
         "model_base_path. Its model_platform is the name of a backend (tensorflow, caffe2, "
         "onnxruntime or onnx); left out, the files of a version decide."},
    {.group = option_group::kModels,
     .name = "shard_filter",
     .target = Field<&Settings::shard_filter>(),
     .sentence =
         "Which models of model_config_file this server loads, if several servers share the "
         "file: rules such as 'emb-{i}: i % 3 == k', separated by ';'. A model whose name "
         "fits, with a number for {i}, is loaded if the expression is true; k is "
         "shard_ordinal. All others are loaded.",
     .needs = OptionNeed{"model_config_file"}},
    {.group = option_group::kModels,
     .name = "shard_ordinal",
     .target = Field<&Settings::shard_ordinal>(),
     .sentence = "The number of this server, for shard_filter; -1: the one at the end of the host "
                 "name, as a StatefulSet gives it (emb-2).",
     .min = -1},
    {.group = option_group::kModels,
     .name = "model_name",
     .target = Field<&Settings::model_name>(),
     .sentence = "Name of the model at model_base_path."},
    {.group = option_group::kModels,
     .name = "model_base_path",
     .target = Field<&Settings::model_base_path>(),
     .sentence =
         "Folder whose numbered folders are the versions of the model; s3://bucket/path, or "
         "builtin:identity or builtin:half_plus_two."},
    {.group = option_group::kModels,
     .name = "saved_model_tags",
     .target = Field<&Settings::saved_model_tags>(),
     .sentence = "Tags of the meta graph that is loaded from a SavedModel, separated by commas; "
                 "empty is the "
                 "graph without tags."},
    {.group = option_group::kModels,
     .name = "model_config_file_poll_wait_seconds",
     .target = Field<&Settings::model_config_file_poll_wait_seconds>(),
     .sentence = "Time between two checks whether model_config_file has changed; 0 and less is "
                 "never. SIGHUP "
                 "reads it at once.",
     .unit = "s",
     .min = kNegative,
     .max = kIntMax},
    {.group = option_group::kModels,
     .name = "reload_timeout_seconds",
     .target = Field<&Settings::reload_timeout_seconds>(),
     .sentence = "How long HandleReloadConfigRequest and the admin API wait for their models at "
                 "most, whatever "
                 "the deadline.",
     .unit = "s",
     .min = 1,
     .max = kIntMax},
    {.group = option_group::kModels,
     .name = "admin_api",
     .target = Field<&Settings::admin_api>(),
     .sentence = "What /admin/v1/models allows: 'off' nothing, 'read' to list the models, "
                 "'full' to add, "
                 "remove, load, unload, label and pin them, but not on a port that has no TLS "
                 "while another "
                 "one has, unless it listens at a loopback address.",
     .choices = kAdminAccess},
    {.group = option_group::kModels,
     .name = "reload_rpc",
     .target = Field<&Settings::reload_rpc>(),
     .sentence =
         "Where HandleReloadConfigRequest is answered: 'on' on every port, 'off' nowhere, 'auto' "
         "on "
         "ports that demand client certificates, on loopback addresses and on unix sockets, and "
         "with "
         "compat on every port. The address that the server listens at counts, not the client's. "
         "With token_file, 'auto' is every port, for callers with the permission; with admin_port "
         "or "
         "admin_socket it is these.",
     .choices = kAutoOnOff},
    {.group = option_group::kModels,
     .name = "table_secrets_path",
     .target = Field<&Settings::table_secrets_path>(),
     .sentence = "Folder of the passwords and keys that table.json names, for tables in Redis; "
                 "empty: the folder of the version."},
    {.group = option_group::kModels,
     .name = "state_file",
     .target = Field<&Settings::state_file>(),
     .sentence =
         "File that keeps what the admin API has changed, for the next start of the server; empty "
         "keeps "
         "nothing."},
    {.group = option_group::kModels,
     .name = "version_settle_ms",
     .target = Field<&Settings::version_settle_ms>(),
     .sentence = "A version whose files are being written is loaded when nothing has changed for "
                 "this time, or "
                 "when its folder is renamed into the base path; 0 loads what is there.",
     .unit = "ms",
     .max = kDayMs},
    {.group = option_group::kModels,
     .name = "version_lease_ms",
     .target = Field<&Settings::version_lease_ms>(),
     .sentence = "A version that is replaced stays for this time after a server with a remote "
                 "model has last asked for it; 0: it does not stay for others.",
     .unit = "ms",
     .max = kDayMs},
    {.group = option_group::kModels,
     .name = "servable_versions_always_present",
     .target = Field<&Settings::servable_versions_always_present>(),
     .sentence =
         "Keeps the versions that are loaded when the last one is deleted from the base path."},
    {.group = option_group::kModels,
     .name = "allow_version_labels_for_unavailable_models",
     .target = Field<&Settings::allow_version_labels_for_unavailable_models>(),
     .sentence = "HandleReloadConfigRequest does not wait for the versions that labels name, and a "
                 "new label "
                 "may "
                 "name one that does not exist. A label stays where it is until its version is "
                 "available, with "
                 "it or without."},
    {.group = option_group::kModels,
     .name = "num_load_threads",
     .target = Field<&Settings::num_load_threads>(),
     .sentence = "Versions loaded at the same time, of all models together; 0 is 2.",
     .max = 256},
    {.group = option_group::kModels,
     .name = "num_initial_load_threads",
     .target = Field<&Settings::num_initial_load_threads>(),
     .sentence =
         "The same until every model has been loaded once or has failed; 0 is one for each CPU.",
     .max = 256},
    {.group = option_group::kModels,
     .name = "num_unload_threads",
     .target = Field<&Settings::num_unload_threads>(),
     .sentence = "Versions unloaded at the same time, of all models together; 0 is 2.",
     .max = 256},
    {.group = option_group::kModels,
     .name = "load_timeout_ms",
     .target = In<milliseconds, &Settings::manager, &core::ManagerOptions::load_timeout>(),
     .sentence =
         "A load that takes longer has failed: it is asked to end, holds up no other, and is tried "
         "again once it has ended; 0 is no limit.",
     .max = kIntMax},
    {.group = option_group::kModels,
     .name = "max_num_load_retries",
     .target = Field<&Settings::manager, &core::ManagerOptions::load_retries_max>(),
     .sentence = "Retries of a load that failed; negative retries without end.",
     .min = kNegative,
     .max = kIntMax},
    {.group = option_group::kModels,
     .name = "load_retry_interval_micros",
     .target = In<microseconds, &Settings::manager, &core::ManagerOptions::load_retry_interval>(),
     .sentence = "Wait before the first retry of a load; each further one waits twice as long, up "
                 "to a minute.",
     .min = kNegative,
     .max = kIntMax * int64_t{1000}},
    {.group = option_group::kModels,
     .name = "model_memory_bytes_max",
     .target = Field<&Settings::model_memory_bytes_max>(),
     .sentence = "Limit for the memory of all loaded versions, as measured or estimated. A load "
                 "over it waits "
                 "while something else goes, and else fails until there is room; 0 is no limit, -1 "
                 "nine tenths "
                 "of the memory that the process may use.",
     .unit = "bytes",
     .min = -1},
    {.group = option_group::kModels,
     .name = "initial_load_wait_ms",
     .target = In<milliseconds, &Settings::engine, &EngineOptions::initial_load_wait>(),
     .sentence =
         "How long a request waits at most for the first load of its model; 0 is not at all.",
     .max = kIntMax},
    {.group = option_group::kModels,
     .name = "demand_timeout_ms",
     .target = In<milliseconds, &Settings::engine, &EngineOptions::demand_timeout>(),
     .sentence = "How long a request waits at most for a model that is loaded on demand.",
     .max = kIntMax},
    {.group = option_group::kModels,
     .name = "demand_waiters_max",
     .target = Field<&Settings::manager, &core::ManagerOptions::demand_waiters_max>(),
     .sentence =
         "Requests that may wait for one model: for its first load, or if it is loaded on demand.",
     .max = kIntMax},
    {.group = option_group::kModels,
     .name = "ready_when",
     .target = Field<&Settings::ready_when>(),
     .sentence =
         "When the server is ready: when 'all' models of the start, and those that have served "
         "since, "
         "have a version available; 'strict': all models, also new ones; 'any': one; or when those "
         "have "
         "that are named, separated by commas, after 'models:'."},
    {.group = option_group::kModels,
     .name = "load_nice",
     .target = Field<&Settings::manager, &core::ManagerOptions::load_nice>(),
     .sentence = "Nice value of the threads that load and unload, so that they slow no request.",
     .max = 19},
    {.group = option_group::kModels,
     .name = "enable_model_warmup",
     .target = Field<&Settings::warm_up, &WarmUpOptions::enabled>(),
     .sentence =
         "A version answers the requests that are recorded in its folder before it serves."},
    {.group = option_group::kModels,
     .name = "num_request_iterations_for_warmup",
     .target = Field<&Settings::num_request_iterations_for_warmup>(),
     .sentence = "How often each recorded request is run; 0 is once.",
     .max = kIntMax},
    {.group = option_group::kModels,
     .name = "warmup_recent_requests_max",
     .target = Field<&Settings::recent_requests, &RecentRequestsOptions::requests_max>(),
     .sentence =
         "How many of a model's last requests are kept, to warm up a new version that has no "
         "recorded ones; 0 is none.",
     .max = 1000},
    {.group = option_group::kModels,
     .name = "warmup_recent_bytes_max",
     .target = Field<&Settings::recent_requests, &RecentRequestsOptions::bytes_max>(),
     .sentence = "Memory for the requests that are kept for the warm-up of one model."},
    {.group = option_group::kModels,
     .name = "warmup_recent_bytes_total_max",
     .target = Field<&Settings::recent_requests, &RecentRequestsOptions::total_bytes_max>(),
     .sentence = "Memory for the requests that are kept for the warm-ups of all models."},

    // --- Listening
    {.group = option_group::kListening,
     .name = "port",
     .target = Field<&Settings::port>(),
     .sentence =
         "Port for gRPC, REST and everything else; 0 is none, -1 any free one (see port_file).",
     .min = -1,
     .max = 65535},
    {.group = option_group::kListening,
     .name = "rest_api_port",
     .target = Field<&Settings::rest_api_port>(),
     .sentence = "A second port that takes the same as the first; 0 is none, -1 any free one.",
     .min = -1,
     .max = 65535},
    {.group = option_group::kListening,
     .name = "graphpipe_port",
     .target = Field<&Settings::graphpipe_port>(),
     .sentence = "A port that takes the same as rest_api_port, and has GraphPipe's own paths: '/' "
                 "is graphpipe_default_model. GraphPipe's servers use 9000; 0 is none, -1 any free "
                 "one.",
     .min = -1,
     .max = 65535},
    {.group = option_group::kListening,
     .name = "grpc_on_rest_port",
     .target = Field<&Settings::grpc_on_rest_port>(),
     .sentence = "Whether rest_api_port answers gRPC calls, other than health checks and "
                 "reflection: 'auto' "
                 "unless only the other port has TLS.",
     .choices = kAutoOnOff},
    {.group = option_group::kListening,
     .name = "grpc_socket_path",
     .target = Field<&Settings::grpc_socket_path>(),
     .sentence =
         "Path of a unix socket that takes the same as the ports; empty is none. The socket of an "
         "earlier server is taken over, also if that one still runs."},
    {.group = option_group::kListening,
     .name = "address",
     .target = Field<&Settings::address>(),
     .sentence = "IP address to listen at; :: takes IPv6 and IPv4 from everywhere."},
    {.group = option_group::kListening,
     .name = "health_port",
     .target = Field<&Settings::health_port>(),
     .sentence =
         "A port for probes and metrics alone, in clear text: /healthz, /readyz, /metrics (unless "
         "there is an admin port) and "
         "grpc.health.v1. It opens at once and closes last; 0 is none, -1 any free one.",
     .min = -1,
     .max = 65535},
    {.group = option_group::kListening,
     .name = "admin_port",
     .target = Field<&Settings::admin_port>(),
     .sentence =
         "A port for the admin API and the metrics, which the other ports then do not serve, and "
         "for HandleReloadConfigRequest and probes. It has TLS if any port has, opens at once and "
         "closes last; 0 is none, -1 any free one.",
     .min = -1,
     .max = 65535},
    {.group = option_group::kListening,
     .name = "admin_socket",
     .target = Field<&Settings::admin_socket>(),
     .sentence = "A unix socket for the same as admin_port, without TLS. Its file is for the "
                 "server's user only."},
    {.group = option_group::kListening,
     .name = "admin_address",
     .target = Field<&Settings::admin_address>(),
     .sentence = "IP address for admin_port, such as 127.0.0.1; empty is that of address."},
    {.group = option_group::kListening,
     .name = "listen",
     .target = Field<&Settings::listen>(),
     .sentence = "When port, rest_api_port, graphpipe_port and grpc_socket_path take connections: "
                 "'at_start', or "
                 "'after_load', "
                 "which is when each model has been loaded or has failed, and one is served.",
     .choices = kListenTimes},
    {.group = option_group::kListening,
     .name = "port_file",
     .target = Field<&Settings::port_file>(),
     .sentence = "File that gets the bound ports as JSON; with listen=after_load, before they take "
                 "connections. Empty is none."},
    {.group = option_group::kListening,
     .name = "rest_api_enable_cors_support",
     .target = Field<&Settings::net, &net::ServerOptions::cors>(),
     .sentence = "Adds the headers that let browsers call from pages of other origins."},

    // --- TLS
    {.group = option_group::kTls,
     .name = "tls_certificate_file",
     .target =
         Field<&Settings::net, &net::ServerOptions::tls, &net::TlsOptions::certificate_file>(),
     .sentence = "PEM file with the server's certificate chain; switches TLS on for all ports but "
                 "health_port.",
     .change = OptionChange::kReload},
    {.group = option_group::kTls,
     .name = "tls_key_file",
     .target = Field<&Settings::net, &net::ServerOptions::tls, &net::TlsOptions::key_file>(),
     .sentence = "PEM file with the private key.",
     .change = OptionChange::kReload},
    {.group = option_group::kTls,
     .name = "tls_client_ca_file",
     .target = Field<&Settings::net, &net::ServerOptions::tls, &net::TlsOptions::client_ca_file>(),
     .sentence = "PEM file with the authorities that clients' certificates are checked against.",
     .change = OptionChange::kReload},
    {.group = option_group::kTls,
     .name = "tls_require_client_certificate",
     .target = Field<&Settings::net, &net::ServerOptions::tls,
                     &net::TlsOptions::require_client_certificate>(),
     .sentence = "Turns away clients without a certificate of such an authority (mutual TLS)."},
    {.group = option_group::kTls,
     .name = "tls_reload_interval_seconds",
     .target =
         In<seconds, &Settings::net, &net::ServerOptions::tls, &net::TlsOptions::reload_interval>(),
     .sentence =
         "Time between two checks for changed certificate files, which new connections make; 0 is "
         "never.",
     .max = kIntMax},
    {.group = option_group::kTls,
     .name = "ssl_config_file",
     .target = Field<&Settings::ssl_config_file>(),
     .sentence = "TensorFlow Serving's file with key, certificate and client authority in PEM; TLS "
                 "then is on "
                 "for port and grpc_socket_path, not for rest_api_port."},

    // --- Access
    {.group = option_group::kAccess,
     .name = "token_file",
     .target = Field<&Settings::token_file>(),
     .sentence =
         "File with the callers of the server, their tokens or certificates, and what each may do "
         "with which models (docs/security.md); empty allows everybody everything. SIGHUP reads it "
         "at once.",
     .change = OptionChange::kReload},
    {.group = option_group::kAccess,
     .name = "token_file_poll_seconds",
     .target = Field<&Settings::token_file_poll_seconds>(),
     .sentence = "Time between two checks whether token_file has changed; 0 is never.",
     .unit = "s",
     .max = kIntMax,
     .needs = OptionNeed{"token_file"}},

    {.group = option_group::kAccess,
     .name = "model_roots",
     .target = Field<&Settings::model_roots>(),
     .sentence =
         "Folders and prefixes such as s3://bucket/models, separated by commas, below which the "
         "base "
         "paths that clients name in HandleReloadConfigRequest and to the admin API must lie, also "
         "after symbolic links; empty allows all."},

    {.group = option_group::kAccess,
     .name = "remote_targets",
     .target = Field<&Settings::remote, &remote::RemoteSettings::targets>(),
     .sentence = "Servers that the configuration may name as targets of remote models: HOST:PORT, "
                 "or dns:///NAME:PORT, separated by commas, in which * stands for any text; empty "
                 "allows none."},

    // --- Limits
    {.group = option_group::kLimits,
     .name = "remote_calls_max",
     .target = Field<&Settings::remote, &remote::RemoteSettings::calls_max>(),
     .sentence = "Requests to one target of a remote model that are open at a time, for each "
                 "of remote_loops and event_loops; more are refused.",
     .min = 1},
    {.group = option_group::kLimits,
     .name = "remote_answer_bytes_max",
     .target = Field<&Settings::remote, &remote::RemoteSettings::answer_bytes_max>(),
     .sentence = "Largest answer of a target; a larger one is an error.",
     .unit = "bytes",
     .min = 1},
    {.group = option_group::kLimits,
     .name = "remote_retry_percent",
     .target = Field<&Settings::remote, &remote::RemoteSettings::retry_percent>(),
     .sentence = "Share of the requests of a remote model that are tried again after a failure, "
                 "beside 20 at once; 0: none.",
     .max = 100},
    {.group = option_group::kLimits,
     .name = "remote_hedge_percent",
     .target = Field<&Settings::remote, &remote::RemoteSettings::hedge_percent>(),
     .sentence = "Share of the requests of an idempotent remote model that are sent to a second "
                 "target because the first one is slow, beside 20 at once; 0: none.",
     .max = 100},
    {.group = option_group::kLimits,
     .name = "remote_hops_max",
     .target = Field<&Settings::remote, &remote::RemoteSettings::hops_max>(),
     .sentence = "Servers that pass a request on to remote models, one after the other; the next "
                 "one refuses it.",
     .min = 1,
     .max = 1000},
    {.group = option_group::kLimits,
     .name = "body_bytes_max",
     .target = Field<&Settings::net, &net::ServerOptions::body_bytes_max>(),
     .sentence =
         "Largest request body or gRPC message, also after decompression; a larger one is refused.",
     .unit = "bytes",
     .min = 1024,
     .max = (int64_t{1} << 31) - 1},
    {.group = option_group::kLimits,
     .name = "inflight_bytes_max",
     .target = Field<&Settings::inflight_bytes_max>(),
     .sentence =
         "Memory for all requests together: bodies, heads over 4 KiB, decoded tensors, unsent "
         "answers. "
         "A sixteenth is kept for tensors and answers. 0 is a quarter of what the process may use.",
     .unit = "bytes"},
    {.group = option_group::kLimits,
     .name = "body_reservation_bytes_max",
     .target = Field<&Settings::net, &net::ServerOptions::body_reservation_bytes_max>(),
     .sentence = "Address space that all bodies reserve for the lengths that clients announce; 0 "
                 "is 8 times "
                 "inflight_bytes_max, at most half of what the process may use (ulimit -v).",
     .unit = "bytes"},
    {.group = option_group::kLimits,
     .name = "decoded_tensor_bytes_max",
     .target = Field<&Settings::decoded_tensor_bytes_max>(),
     .sentence = "Memory for the tensors of one request, as far as they do not lie in its body: "
                 "those of JSON, "
                 "and of typed fields; 0 is half of inflight_bytes_max, at most 1 GiB.",
     .unit = "bytes"},
    {.group = option_group::kLimits,
     .name = "json_depth_max",
     .target = Field<&Settings::json, &tfs_json::DecoderOptions::depth_max>(),
     .sentence = "Levels of lists and objects in a JSON body.",
     .min = 1,
     .max = 1000},
    {.group = option_group::kLimits,
     .name = "header_bytes_max",
     .target = Field<&Settings::net, &net::ServerOptions::header_bytes_max>(),
     .sentence = "Largest head of one request.",
     .unit = "bytes",
     .min = 1024,
     .max = 16 << 20},
    {.group = option_group::kLimits,
     .name = "connections_max",
     .target = Field<&Settings::net, &net::ServerOptions::connections_max>(),
     .sentence = "Open connections; a further one is closed at once.",
     .min = 1,
     .max = 10'000'000},
    {.group = option_group::kLimits,
     .name = "requests_max",
     .target = Field<&Settings::net, &net::ServerOptions::requests_max>(),
     .sentence =
         "Requests being served over all connections; a further one gets UNAVAILABLE or 503.",
     .min = 1,
     .max = 10'000'000},
    {.group = option_group::kLimits,
     .name = "streams_per_connection_max",
     .target = Field<&Settings::net, &net::ServerOptions::streams_per_connection_max>(),
     .sentence = "Requests at the same time on one HTTP/2 connection.",
     .min = 1,
     .max = 1'000'000},
    {.group = option_group::kLimits,
     .name = "incomplete_requests_max",
     .target = Field<&Settings::net, &net::ServerOptions::incomplete_requests_max>(),
     .sentence =
         "Requests over all connections of which only a part has arrived; at the limit a "
         "connection "
         "loses them to those that come after it. 0 is requests_max, at most one for 32 KiB of "
         "inflight_bytes_max.",
     .max = 10'000'000},
    {.group = option_group::kLimits,
     .name = "incomplete_requests_per_connection_max",
     .target = Field<&Settings::net, &net::ServerOptions::incomplete_requests_per_connection_max>(),
     .sentence = "How many of these one HTTP/2 connection may have while there are "
                 "incomplete_requests_max, or "
                 "while inflight_bytes_max is used up and it has completed no request.",
     .min = 1,
     .max = 1'000'000},
    {.group = option_group::kLimits,
     .name = "watches_per_connection_max",
     .target = Field<&Settings::net, &net::ServerOptions::watches_per_connection_max>(),
     .sentence = "Health watches and reflection calls at the same time on one connection; a "
                 "further one gets "
                 "RESOURCE_EXHAUSTED.",
     .min = 1,
     .max = 1'000'000},
    {.group = option_group::kLimits,
     .name = "write_queue_bytes_max",
     .target = Field<&Settings::net, &net::ServerOptions::write_queue_bytes_max>(),
     .sentence = "Small answers queued for one connection before no more of its requests are read.",
     .unit = "bytes",
     .min = 4096,
     .max = 1 << 30},
    {.group = option_group::kLimits,
     .name = "compute_queue_max",
     .target = Field<&Settings::scheduler, &schedule::SchedulerOptions::queue_requests_max>(),
     .sentence = "Requests that wait for a compute thread; a further one gets UNAVAILABLE or 503.",
     .min = 1,
     .max = 10'000'000},
    {.group = option_group::kLimits,
     .name = "compute_queue_bytes_max",
     .target = Field<&Settings::scheduler, &schedule::SchedulerOptions::queue_bytes_max>(),
     .sentence = "Bytes of the requests that wait for a compute thread; 0 is no limit of its own: "
                 "inflight_bytes_max counts.",
     .unit = "bytes"},
    {.group = option_group::kLimits,
     .name = "refuse_by_deadline",
     .target = Field<&Settings::scheduler, &schedule::SchedulerOptions::refuse_by_deadline>(),
     .sentence = "Whether a request gets UNAVAILABLE or 503 at once if those that wait before it "
                 "take too long for its deadline, as measured."},
    {.group = option_group::kLimits,
     .name = "model_queue_requests_max",
     .target = Field<&Settings::scheduler, &schedule::SchedulerOptions::model,
                     &schedule::ModelLimits::flow, &schedule::FlowLimits::items_max>(),
     .sentence = "Requests of one model that wait; 0 is half of compute_queue_max. The "
                 "configuration of a model can say otherwise.",
     .max = 10'000'000},
    {.group = option_group::kLimits,
     .name = "model_queue_bytes_max",
     .target = Field<&Settings::scheduler, &schedule::SchedulerOptions::model,
                     &schedule::ModelLimits::flow, &schedule::FlowLimits::bytes_max>(),
     .sentence = "Bytes of the requests of one model that wait; 0 is no limit. The configuration "
                 "of a model can say otherwise.",
     .unit = "bytes"},
    {.group = option_group::kLimits,
     .name = "model_max_concurrency",
     .target = Field<&Settings::scheduler, &schedule::SchedulerOptions::model,
                     &schedule::ModelLimits::flow, &schedule::FlowLimits::runs_max>(),
     .sentence = "Runs of one model at the same time; 0 is no limit. With a limit, models never "
                 "run on an event loop. The configuration of a model can say otherwise.",
     .max = 1'000'000},
    {.group = option_group::kLimits,
     .name = "enable_batching",
     .target = Field<&Settings::enable_batching>(),
     .sentence = "Requests that wait for the same model run together, if a check at its load shows "
                 "that this does not change answers. The configuration of a model can say "
                 "otherwise."},
    {.group = option_group::kLimits,
     .name = "batching_parameters_file",
     .target = Field<&Settings::batching_parameters_file>(),
     .sentence = "A file of TensorFlow Serving's BatchingParameters, which replace max_batch_size. "
                 "Needs enable_batching."},
    {.group = option_group::kLimits,
     .name = "enable_per_model_batching_parameters",
     .target = Field<&Settings::enable_per_model_batching_parameters>(),
     .sentence = "A version is batched only if its folder has batching_params.pbtxt, with "
                 "TensorFlow Serving's BatchingParameters. Needs enable_batching."},
    {.group = option_group::kLimits,
     .name = "max_batch_size",
     .target = Field<&Settings::batching, &batch::BatchSettings::rows_max>(),
     .sentence = "Rows that run together; a larger request runs alone. The server uses fewer if "
                 "more would not be faster. The configuration of a model can say otherwise.",
     .min = 1,
     .max = batch::kBatchRowsLimit},
    {.group = option_group::kLimits,
     .name = "batch_bytes_max",
     .target = Field<&Settings::batching, &batch::BatchSettings::bytes_max>(),
     .sentence = "Inputs and outputs of a batch together, by the shapes or the runs of the model; "
                 "one request may take more. 0 is a quarter of inflight_bytes_max.",
     .unit = "bytes"},
    {.group = option_group::kLimits,
     .name = "row_cache_memory_bytes",
     .target = Field<&Settings::row_cache, &cache::CacheSettings::memory_bytes>(),
     .sentence = "Rows that the cache of a version keeps in memory, if the configuration of the "
                 "model has a cache and does not say otherwise.",
     .unit = "bytes"},
    {.group = option_group::kLimits,
     .name = "row_cache_directory",
     .target = Field<&Settings::row_cache, &cache::CacheSettings::folder>(),
     .sentence =
         "Folder for the rows that caches keep on disk; empty: rows are kept in memory only."},
    {.group = option_group::kLimits,
     .name = "row_cache_disk_bytes",
     .target = Field<&Settings::row_cache, &cache::CacheSettings::disk_bytes>(),
     .sentence = "Rows that the cache of a model keeps on disk, if its configuration does not say "
                 "otherwise; 0 is none.",
     .unit = "bytes",
     .needs = OptionNeed{"row_cache_directory"}},
    {.group = option_group::kLimits,
     .name = "row_cache_write_queue_bytes_max",
     .target = Field<&Settings::row_cache, &cache::CacheSettings::queue_bytes_max>(),
     .sentence =
         "Rows of a model that wait to be written to disk; further ones are only in memory.",
     .unit = "bytes",
     .needs = OptionNeed{"row_cache_directory"}},
    {.group = option_group::kLimits,
     .name = "split_parts_max",
     .target = Field<&Settings::batching, &batch::BatchSettings::split_parts_max>(),
     .sentence = "Parts in which a request runs that has more rows than its model's own "
                 "max_batch_size; one with more parts is refused. 0 is no limit.",
     .max = 1'000'000'000},
    {.group = option_group::kLimits,
     .name = "metric_series_max",
     .target = Field<&Settings::metric_series_max>(),
     .sentence = "Label sets of one metric; further ones are counted together as \"other\".",
     .min = 1,
     .max = 100'000},

    // --- Time-outs
    {.group = option_group::kTimeouts,
     .name = "remote_connect_timeout_ms",
     .target = In<milliseconds, &Settings::remote, &remote::RemoteSettings::connect_timeout>(),
     .sentence = "Longest time until a target of a remote model speaks HTTP/2, from the look-up of "
                 "its name on.",
     .min = 1,
     .max = kIntMax},
    {.group = option_group::kTimeouts,
     .name = "remote_keepalive_ms",
     .target = In<milliseconds, &Settings::remote, &remote::RemoteSettings::keepalive_time>(),
     .sentence = "Silence of a target with open requests after which a ping asks whether it lives.",
     .min = 1,
     .max = kIntMax},
    {.group = option_group::kTimeouts,
     .name = "remote_keepalive_timeout_ms",
     .target = In<milliseconds, &Settings::remote, &remote::RemoteSettings::keepalive_timeout>(),
     .sentence = "Longest time for the answer to such a ping; then the connection is closed.",
     .min = 1,
     .max = kIntMax},
    {.group = option_group::kTimeouts,
     .name = "remote_health_interval_ms",
     .target = In<milliseconds, &Settings::remote, &remote::RemoteSettings::health_interval>(),
     .sentence =
         "Time between two questions to a target whether it has the model; 0: none is asked.",
     .max = kIntMax},
    {.group = option_group::kTimeouts,
     .name = "remote_version_interval_ms",
     .target = In<milliseconds, &Settings::remote, &remote::RemoteSettings::version_interval>(),
     .sentence = "Time between two questions to a target which versions it has, for remote models "
                 "without a declared version. Less than half of version_lease_ms of the targets.",
     .min = 10,
     .max = kIntMax},
    {.group = option_group::kTimeouts,
     .name = "remote_dns_interval_ms",
     .target = In<milliseconds, &Settings::remote, &remote::RemoteSettings::dns_interval>(),
     .sentence = "Time between two look-ups of a name in the DNS that is a target of a remote "
                 "model (dns:///NAME:PORT).",
     .min = 100,
     .max = kIntMax},
    {.group = option_group::kTimeouts,
     .name = "remote_ejection_ms",
     .target = In<milliseconds, &Settings::remote, &remote::RemoteSettings::ejection_time>(),
     .sentence = "Time for which a target that has failed three times in a row gets no requests, "
                 "if there is another one; longer each time, up to six times this; 0: never.",
     .max = kIntMax},
    {.group = option_group::kTimeouts,
     .name = "rest_api_timeout_in_ms",
     .target = In<milliseconds, &Settings::net, &net::ServerOptions::http_request_timeout>(),
     .sentence = "Deadline of a REST call; 0 is none.",
     .max = kDayMs},
    {.group = option_group::kTimeouts,
     .name = "idle_timeout_ms",
     .target = In<milliseconds, &Settings::net, &net::ServerOptions::idle_timeout>(),
     .sentence = "After this a connection without a request is closed; 0 is never.",
     .max = kDayMs},
    {.group = option_group::kTimeouts,
     .name = "header_timeout_ms",
     .target = In<milliseconds, &Settings::net, &net::ServerOptions::header_timeout>(),
     .sentence =
         "Time from the first byte of a request's head to its end, and for the TLS handshake.",
     .min = 1,
     .max = kDayMs},
    {.group = option_group::kTimeouts,
     .name = "body_timeout_ms",
     .target = In<milliseconds, &Settings::net, &net::ServerOptions::body_timeout>(),
     .sentence = "Time without any byte of an unfinished body after which the request ends.",
     .min = 1,
     .max = kDayMs},
    {.group = option_group::kTimeouts,
     .name = "write_timeout_ms",
     .target = In<milliseconds, &Settings::net, &net::ServerOptions::write_timeout>(),
     .sentence =
         "Time without the client taking a byte of an answer after which the connection ends.",
     .min = 1,
     .max = kDayMs},
    {.group = option_group::kTimeouts,
     .name = "half_close_grace_ms",
     .target = In<milliseconds, &Settings::net, &net::ServerOptions::half_close_grace>(),
     .sentence = "Time in which a request must be answered after its HTTP/1.1 client has closed "
                 "its side of "
                 "the connection; then its run is cancelled.",
     .max = kDayMs},
    {.group = option_group::kTimeouts,
     .name = "keepalive_interval_ms",
     .target = In<milliseconds, &Settings::net, &net::ServerOptions::keepalive_interval>(),
     .sentence = "Time between HTTP/2 pings on an idle connection; 0 is never.",
     .max = kDayMs},
    {.group = option_group::kTimeouts,
     .name = "max_connection_age_ms",
     .target = In<milliseconds, &Settings::net, &net::ServerOptions::connection_age_max>(),
     .sentence = "Time, give or take a tenth, after which a client is asked to open another "
                 "connection, so that a "
                 "balancer spreads clients anew; 0 is never.",
     .max = kDayMs},
    {.group = option_group::kTimeouts,
     .name = "max_connection_age_grace_ms",
     .target = In<milliseconds, &Settings::net, &net::ServerOptions::connection_age_grace>(),
     .sentence = "Time after that in which the open requests of the connection may go on; 0 is "
                 "without a limit.",
     .max = kDayMs},
    {.group = option_group::kTimeouts,
     .name = "drain_timeout_ms",
     .target = In<milliseconds, &Settings::net, &net::ServerOptions::drain_timeout>(),
     .sentence = "How long SIGTERM waits for requests in flight.",
     .max = kDayMs},
    {.group = option_group::kTimeouts,
     .name = "shutdown_delay_ms",
     .target = Field<&Settings::shutdown_delay_ms>(),
     .sentence = "How long SIGTERM goes on serving before that, with /readyz and grpc.health.v1 "
                 "saying no, so "
                 "that load balancers notice first.",
     .unit = "ms",
     .max = kDayMs},

    // --- HTTP/2 and gRPC
    {.group = option_group::kHttp2,
     .name = "http2_stream_window_bytes",
     .target = Field<&Settings::net, &net::ServerOptions::http2_stream_window_bytes>(),
     .sentence = "Bytes that a client may send ahead on one stream.",
     .unit = "bytes",
     .min = 65535,
     .max = kIntMax},
    {.group = option_group::kHttp2,
     .name = "http2_connection_window_bytes",
     .target = Field<&Settings::net, &net::ServerOptions::http2_connection_window_bytes>(),
     .sentence = "Bytes that a client may send ahead on one connection.",
     .unit = "bytes",
     .min = 65535,
     .max = kIntMax},

    // --- Threads
    {.group = option_group::kThreads,
     .name = "remote_loops",
     .target = Field<&Settings::remote, &remote::RemoteSettings::loops>(),
     .sentence =
         "Threads with connections to the targets of remote models, for health checks and for "
         "requests that do not begin on an event loop; they are started with the first remote "
         "model. They and each event loop have one connection to a target.",
     .min = 1,
     .max = 64},
    {.group = option_group::kThreads,
     .name = "event_loops",
     .target = Field<&Settings::net, &net::ServerOptions::loops>(),
     .sentence = "Threads that serve connections; 0 is one per usable CPU.",
     .max = 1024},
    {.group = option_group::kThreads,
     .name = "compute_threads",
     .target = Field<&Settings::compute_threads>(),
     .sentence = "Threads that run models. 0: as many as keep the usable CPUs busy, each with the "
                 "threads of tensorflow_intra_op_parallelism.",
     .max = 1024},
    {.group = option_group::kThreads,
     .name = "compute_nice",
     .target = Field<&Settings::scheduler, &schedule::SchedulerOptions::compute_nice>(),
     .sentence =
         "Priority of the compute threads for the kernel: 0 is normal, 19 the lowest. With a "
         "lower one than that of the event loops, small requests and refusals do not wait "
         "for a time slice of a model. Other programs on the same CPUs come first, too.",
     .max = 19},
    {.group = option_group::kThreads,
     .name = "blocking_threads_max",
     .target = Field<&Settings::scheduler, &schedule::SchedulerOptions::blocking_slots>(),
     .sentence = "Threads for models whose runs may wait, such as remote ones. They start when "
                 "they are needed, and take no compute thread.",
     .min = 1,
     .max = 10'000},
    {.group = option_group::kThreads,
     .name = "inline_run_time_max_us",
     .target = In<microseconds, &Settings::inline_runs, &InlineOptions::run_time_max>(),
     .sentence =
         "A model whose 99th percentile stays under this runs on the event loop; 0 is never. "
         "Tables in memory do so for requests of some hundred rows.",
     .max = 1'000'000},
    {.group = option_group::kThreads,
     .name = "inline_run_time_limit_us",
     .target = In<microseconds, &Settings::inline_runs, &InlineOptions::run_time_limit>(),
     .sentence =
         "One run on an event loop that takes longer sends the model back to the compute threads.",
     .min = 1,
     .max = 10'000'000},
    {.group = option_group::kThreads,
     .name = "inline_after_runs",
     .target = Field<&Settings::inline_runs, &InlineOptions::after_runs>(),
     .sentence = "Runs on compute threads before a model may run on an event loop.",
     .min = 1,
     .max = kIntMax},
    {.group = option_group::kThreads,
     .name = "inline_request_bytes_max",
     .target = Field<&Settings::engine, &EngineOptions::inline_request_bytes_max>(),
     .sentence = "Larger requests are decoded on compute threads. Those that need no decoding "
                 "(GraphPipe) may run on an event loop, if the model is fast for large ones too.",
     .unit = "bytes"},

    // --- Backends
    {.group = option_group::kBackends,
     .name = "backend_directory",
     .target = Field<&Settings::backend_directory>(),
     .sentence =
         "Folder with a folder for each backend; empty is the folder backends beside the program."},
    {.group = option_group::kBackends,
     .name = "tensorflow_library",
     .target = Field<&Settings::tensorflow_library>(),
     .sentence = "Folder with TensorFlow's shared libraries; empty searches the usual places."},
    {.group = option_group::kBackends,
     .name = "tensorflow_op_libraries",
     .target = Field<&Settings::tensorflow_op_libraries>(),
     .sentence =
         "Shared libraries with operations for TensorFlow, such as TensorFlow Text's, separated by "
         "commas; a folder stands for all *.so in it."},
    {.group = option_group::kBackends,
     .name = "onnxruntime_library",
     .target = Field<&Settings::onnxruntime_library>(),
     .sentence = "Path of libonnxruntime.so; empty searches the usual places."},
    {.group = option_group::kBackends,
     .name = "onnxruntime_custom_ops",
     .target = Field<&Settings::onnxruntime_custom_ops>(),
     .sentence = "Shared libraries with operators for ONNX Runtime, separated by commas."},
    {.group = option_group::kBackends,
     .name = "tensorflow_session_parallelism",
     .target = Field<&Settings::tensorflow_session_parallelism>(),
     .sentence = "Sets the next two at once.",
     .max = 1024},
    {.group = option_group::kBackends,
     .name = "tensorflow_intra_op_parallelism",
     .target = Field<&Settings::tensorflow_intra_op_parallelism>(),
     .sentence = "Threads with which one operation runs, in each runtime; 0 is one per usable CPU.",
     .max = 1024},
    {.group = option_group::kBackends,
     .name = "tensorflow_inter_op_parallelism",
     .target = Field<&Settings::tensorflow_inter_op_parallelism>(),
     .sentence =
         "Operations of one run at the same time, in each runtime; 0 leaves it to the backend.",
     .max = 1024},

    // --- Observation
    {.group = option_group::kObservation,
     .name = "monitoring_config_file",
     .target = Field<&Settings::monitoring_config_file>(),
     .sentence = "TensorFlow Serving's file that says at which path the metrics are."},
    {.group = option_group::kObservation,
     .name = "log_level",
     .target = Field<&Settings::log_level>(),
     .sentence = "What is logged: this and what is graver.",
     .choices = kLogLevels},
    {.group = option_group::kObservation,
     .name = "log_format",
     .target = Field<&Settings::log_format>(),
     .sentence = "How log lines look.",
     .choices = kLogFormats},
    {.group = option_group::kObservation,
     .name = "request_log_directory",
     .target = Field<&Settings::request_logs, &RequestLogsOptions::directory>(),
     .sentence = "Folder for the files of the models' logging_config; empty: a logging_config is "
                 "refused."},
    {.group = option_group::kObservation,
     .name = "request_log_queue_bytes_max",
     .target = Field<&Settings::request_logs, &RequestLogsOptions::queue_bytes_max>(),
     .sentence = "Logged requests that wait for the disk; further ones are dropped and counted. A "
                 "quarter of it is the limit for one.",
     .unit = "bytes",
     .min = 65536,
     .needs = OptionNeed{"request_log_directory"}},
    {.group = option_group::kObservation,
     .name = "request_log_file_bytes_max",
     .target = Field<&Settings::request_logs, &RequestLogsOptions::file_bytes_max>(),
     .sentence = "Size at which a file of a request log ends and the next one begins.",
     .unit = "bytes",
     .min = 1,
     .needs = OptionNeed{"request_log_directory"}},
    {.group = option_group::kObservation,
     .name = "request_log_file_seconds_max",
     .target = In<seconds, &Settings::request_logs, &RequestLogsOptions::file_time_max>(),
     .sentence = "Age at which a file of a request log ends and the next one begins.",
     .min = 1,
     .max = 31536000,
     .needs = OptionNeed{"request_log_directory"}},
    {.group = option_group::kObservation,
     .name = "version",
     .target = Field<&Settings::version>(),
     .sentence = "Prints the version and ends."},
    {.group = option_group::kObservation,
     .name = "help",
     .target = Field<&Settings::help>(),
     .sentence = "Prints this list and ends."},

    // --- Accepted for compatibility
    {.group = option_group::kCompat,
     .name = "compat",
     .target = Field<&Settings::compat>(),
     .sentence =
         "'tensorflow_model_server' replaces that program, and is preset where the server is "
         "started under that name: its defaults hold (listen=after_load, no REST port, "
         "load_retry_interval_micros=60000000, no batching), flags that it has dropped and stray "
         "words are "
         "warned "
         "of, and an empty model_config_file waits for a reload.",
     .choices = kCompat},
};

}  // namespace

std::span<const OptionRow> ServerOptions() { return kRows; }

}  // namespace penstock
