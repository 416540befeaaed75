// SPDX-License-Identifier: Apache-2.0
// Reads the configuration files of TensorFlow Serving: messages in protobuf's text format. Checks
// them and converts them to plain structs. Errors name the file and, for syntax, the line and
// column.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "config/batching_config.h"
#include "config/cache_config.h"
#include "config/remote_config.h"
#include "config/scheduling_config.h"
#include "core/manager.h"
#include "core/servable.h"
#include "ensemble/graph.h"
#include "infer/example_plan.h"
#include "infer/experiments/experiment_options.h"
#include "request_log/request_log_options.h"

namespace tensorflow::serving {
class ModelServerConfig;
}

namespace penstock {

// One model of --model_config_file, or of a reload. Plain data: nothing here is checked against the
// file system or the model.
struct ConfiguredModel {
  enum class Versions { kLatest, kAll, kSpecific };

  std::string name;
  std::string base_path;  // of an ensemble: kEnsemblePath; of a remote model: kRemotePath
  std::string platform;   // as "tensorflow"; empty if the file does not say
  Versions versions = Versions::kLatest;
  uint32_t latest_count = 1;                  // for kLatest, at least 1
  std::vector<core::VersionNumber> specific;  // for kSpecific; empty: no version is served
  std::map<std::string, core::VersionNumber> labels;
  bool holds_labels = false;  // see core::ModelConfig; no file sets it
  // The settings in `penstock { ... }`.
  bool preserves_resources = false;  // false: preserve availability
  core::LoadMode load_mode = core::LoadMode::kAlways;
  std::chrono::milliseconds unload_after_idle{0};  // 0: never
  bool keep_loaded = false;
  std::optional<std::chrono::milliseconds> load_timeout;  // 0: none
  uint64_t memory_bytes = 0;                              // 0: not set
  std::optional<bool> warm_up_enabled;
  uint32_t warm_up_iterations = 0;  // 0: not set
  ExperimentOptions experiment;
  std::optional<RequestLogOptions> request_log;  // of logging_config
  std::vector<ExampleOptions> examples;
  SchedulingConfig scheduling;
  BatchingConfig batching;
  CacheConfig cache;
  std::vector<ensemble::Graph> ensembles;  // its versions, if it is an ensemble
  std::vector<RemoteVersion> remotes;      // the same, if it is remote
};

// Converts a base path for the sources: file:///a becomes /a, all others stay. INVALID_ARGUMENT,
// with advice, for a file URL that names a host or no folder.
StatusOr<std::string> ReadBasePath(std::string_view path);

// The meaning of a file without model_config_list.
enum class EmptyFile { kError, kNoModels };

// Parses a ModelServerConfig. `file` is for messages. Errors, all INVALID_ARGUMENT: wrong syntax, a
// missing or repeated name, no base path, model_type together with model_platform, negative
// versions, errors of logging_config, and custom_model_config.
StatusOr<std::vector<ConfiguredModel>> ParseModelConfig(std::string_view text,
                                                        std::string_view file,
                                                        EmptyFile empty_file = EmptyFile::kError);
// Converts a message that was received. `where` is for messages.
StatusOr<std::vector<ConfiguredModel>> ConvertModelConfig(
    const tensorflow::serving::ModelServerConfig& config, std::string_view where);

// The Prometheus part of a MonitoringConfig.
struct MonitoringSettings {
  bool enable = false;
  std::string path;  // "/monitoring/prometheus/metrics" if the file does not say
};
// Parses a MonitoringConfig (--monitoring_config_file). INVALID_ARGUMENT for wrong syntax, or a
// path that does not begin with '/'.
StatusOr<MonitoringSettings> ParseMonitoringConfig(std::string_view text, std::string_view file);

// An SSLConfig, as PEM texts. The key and the certificate are always set.
struct SslSettings {
  std::string server_key;
  std::string server_cert;
  std::string custom_ca;
  bool client_verify = false;
};
// Parses an SSLConfig (--ssl_config_file). INVALID_ARGUMENT for wrong syntax, or without a key or
// certificate. Whether the PEM texts are good is found when they are loaded (net/socket/tls.h).
StatusOr<SslSettings> ParseSslConfig(std::string_view text, std::string_view file);

}  // namespace penstock
