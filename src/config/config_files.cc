// SPDX-License-Identifier: Apache-2.0
// The files have the formats of TensorFlow Serving, so that its users can keep theirs. A setting
// of a model that this server does not follow is an error: to ignore it would be a surprise later.
//
// The errors of the functions that read one model begin with a verb ("has no base_path"):
// ConvertModelConfig puts the file and the model before them.
#include "config/config_files.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "config/ensemble_config.h"
#include "config/example_config.h"
#include "config/experiment_config.h"
#include "config/remote_config.h"
#include "config/request_log_config.h"
#include "config/text_format.h"
#include "penstock/model_options.pb.h"
#include "serving/batching_parameters.pb.h"
#include "serving/model_server_config.pb.h"
#include "serving/monitoring_config.pb.h"
#include "serving/ssl_config.pb.h"

namespace penstock {
namespace {

using tensorflow::serving::FileSystemStoragePathSourceConfig;
using VersionPolicy = FileSystemStoragePathSourceConfig::ServableVersionPolicy;

// TensorFlow Serving's default.
constexpr std::string_view kPrometheusPath = "/monitoring/prometheus/metrics";

template <typename Message>
StatusOr<Message> ParseText(std::string_view text, std::string_view file) {
  Message message;
  TRY(ParseTextFormat(text, file, message));
  return message;
}

Status SetPlatform(const tensorflow::serving::ModelConfig& from, ConfiguredModel& model) {
  model.platform = from.model_platform();
  const auto type = from.model_type();
  // The old field model_type is still in files of users. Only its value TENSORFLOW says something.
  if (type == tensorflow::serving::MODEL_TYPE_UNSPECIFIED) return OkStatus();
  if (!model.platform.empty()) {
    return InvalidArgument("has both model_type and model_platform; remove model_type");
  }
  if (type != tensorflow::serving::TENSORFLOW) {
    return InvalidArgument("has the model_type OTHER; say model_platform instead");
  }
  model.platform = "tensorflow";
  return OkStatus();
}

StatusOr<core::VersionNumber> CheckVersion(int64_t number) {
  if (number < 0) return InvalidArgument("names the version {}, which is negative", number);
  return core::VersionNumber{number};
}

Status SetPolicy(const VersionPolicy& from, ConfiguredModel& model) {
  switch (from.policy_choice_case()) {
    case VersionPolicy::kAll:
      model.versions = ConfiguredModel::Versions::kAll;
      break;
    case VersionPolicy::kSpecific:
      model.versions = ConfiguredModel::Versions::kSpecific;
      for (const int64_t number : from.specific().versions()) {
        ASSIGN_OR_RETURN(const core::VersionNumber version, CheckVersion(number));
        model.specific.push_back(version);
      }
      break;
    case VersionPolicy::kLatest:
      // 0 means that the number is not set. The default is one version.
      model.latest_count = std::max<uint32_t>(from.latest().num_versions(), 1);
      break;
    case VersionPolicy::POLICY_CHOICE_NOT_SET:
      break;
  }
  return OkStatus();
}

Status SetWarmUp(const config::WarmUp& from, ConfiguredModel& model) {
  if (from.has_enabled()) model.warm_up_enabled = from.enabled();
  if (from.iterations() < 0) {
    return InvalidArgument("has warm_up with {} iterations, below 0", from.iterations());
  }
  model.warm_up_iterations = static_cast<uint32_t>(from.iterations());
  return OkStatus();
}

Status SetLifecycle(const penstock::config::ModelOptions& from, ConfiguredModel& model) {
  // Limits that keep sums, and values in nanoseconds, from overflowing: 139 years, 1 PiB.
  constexpr int64_t kMillisecondsMax = int64_t{1} << 42, kBytesMax = int64_t{1} << 50;
  const std::tuple<std::string_view, int64_t, int64_t> numbers[] = {
      {"unload_after_idle_ms", from.unload_after_idle_ms(), kMillisecondsMax},
      {"load_timeout_ms", from.load_timeout_ms(), kMillisecondsMax},
      {"memory_bytes", from.memory_bytes(), kBytesMax}};
  for (const auto& [name, value, most] : numbers) {
    if (value < 0) return InvalidArgument("has a {} of {}, below 0", name, value);
    if (value > most) return InvalidArgument("has a {} of {}, above {}", name, value, most);
  }
  if (!penstock::config::Transition_IsValid(from.transition()))
    return InvalidArgument(
        "has the transition {}, which is none; say AVAILABILITY_PRESERVING or RESOURCE_PRESERVING",
        static_cast<int>(from.transition()));
  if (!penstock::config::LoadMode_IsValid(from.load()))
    return InvalidArgument("has the load {}, which is none; say ALWAYS, ON_DEMAND or NEVER",
                           static_cast<int>(from.load()));
  model.preserves_resources = from.transition() == penstock::config::RESOURCE_PRESERVING;
  if (from.load() == penstock::config::ON_DEMAND) model.load_mode = core::LoadMode::kOnDemand;
  if (from.load() == penstock::config::NEVER) model.load_mode = core::LoadMode::kNever;
  model.unload_after_idle = std::chrono::milliseconds(from.unload_after_idle_ms());
  model.keep_loaded = from.keep_loaded();
  if (from.has_load_timeout_ms())
    model.load_timeout = std::chrono::milliseconds(from.load_timeout_ms());
  model.memory_bytes = static_cast<uint64_t>(from.memory_bytes());
  return OkStatus();
}

// Checks a model that has no files, because the configuration says what its versions are.
Status CheckHasNoFiles(const tensorflow::serving::ModelConfig& from, std::string_view what) {
  if (!from.base_path().empty())
    return InvalidArgument("has both {} and a base_path; remove one of them", what);
  if (!from.model_platform().empty() || from.model_type() != 0)
    return InvalidArgument("has {}, and so no model_platform; remove that", what);
  return OkStatus();
}

Status SetBasePath(const tensorflow::serving::ModelConfig& from, ConfiguredModel& model) {
  ASSIGN_OR_RETURN(model.ensembles, ReadEnsembles(from.penstock()));
  ASSIGN_OR_RETURN(model.remotes, ReadRemotes(from.penstock(), from.name()));
  if (!model.ensembles.empty() && !model.remotes.empty())
    return InvalidArgument("has both an ensemble and a remote; remove one of them");
  if (!model.ensembles.empty()) {
    model.base_path = kEnsemblePath;
    return CheckHasNoFiles(from, "an ensemble");
  }
  if (!model.remotes.empty()) {
    model.base_path = kRemotePath;
    return CheckHasNoFiles(from, "a remote");
  }
  if (from.base_path().empty()) return InvalidArgument("has no base_path");
  StatusOr<std::string> path = ReadBasePath(from.base_path());
  if (!path.ok()) return InvalidArgument("has the base_path {}", MessageOf(path.status()));
  if (*path == kEnsemblePath)
    return InvalidArgument("has the base_path {}, but no penstock {{ ensemble {{ ... }} }}", *path);
  if (*path == kRemotePath)
    return InvalidArgument("has the base_path {}, but no penstock {{ remote {{ ... }} }}", *path);
  model.base_path = *std::move(path);
  return OkStatus();
}

StatusOr<ConfiguredModel> ConvertModel(const tensorflow::serving::ModelConfig& from) {
  ConfiguredModel model;
  model.name = from.name();
  TRY(SetBasePath(from, model));
  if (from.has_logging_config()) {
    ASSIGN_OR_RETURN(model.request_log, ReadRequestLog(from.logging_config(), model.name));
  }
  TRY(SetPlatform(from, model));
  TRY(SetPolicy(from.model_version_policy(), model));
  TRY(SetLifecycle(from.penstock(), model));
  TRY(SetWarmUp(from.penstock().warm_up(), model));
  ASSIGN_OR_RETURN(model.experiment, ReadExperiment(from.penstock(), model.name));
  ASSIGN_OR_RETURN(model.examples, ReadExampleOptions(from.penstock()));
  ASSIGN_OR_RETURN(model.scheduling, ReadScheduling(from.penstock()));
  ASSIGN_OR_RETURN(model.batching, ReadBatching(from.penstock()));
  ASSIGN_OR_RETURN(model.cache, ReadCache(from.penstock()));
  for (const auto& [label, number] : from.version_labels()) {
    if (label.empty()) return InvalidArgument("has an empty version label");
    ASSIGN_OR_RETURN(model.labels[label], CheckVersion(number));
  }
  return model;
}

// Returns the path of file:///path or file://localhost/path. Does not decode escapes, as
// TensorFlow.
StatusOr<std::string> ReadFileUrl(std::string_view url) {
  constexpr std::string_view kScheme = "file://";
  const std::string_view rest = url.substr(kScheme.size());
  const size_t slash = std::min(rest.find('/'), rest.size());
  const std::string_view host = rest.substr(0, slash);
  const std::string_view path = rest.substr(slash);
  if (!path.empty() && (host.empty() || host == "localhost")) return std::string(path);
  if (rest.empty()) return InvalidArgument("'{}': it names no folder", url);
  return InvalidArgument("'{}': a file URL has three slashes before its path; say file:///{}", url,
                         rest);
}

}  // namespace

StatusOr<std::string> ReadBasePath(std::string_view path) {
  // The system would read the path only up to here.
  if (const size_t end = path.find('\0'); end != path.npos)
    return InvalidArgument("'{:.200}', followed by a NUL character", path.substr(0, end));
  if (path.starts_with("file://")) return ReadFileUrl(path);
  return std::string(path);
}

StatusOr<std::vector<ConfiguredModel>> ParseModelConfig(std::string_view text,
                                                        std::string_view file,
                                                        EmptyFile empty_file) {
  using tensorflow::serving::ModelServerConfig;
  ASSIGN_OR_RETURN(const auto config, ParseText<ModelServerConfig>(text, file));
  const bool is_empty = config.config_case() == ModelServerConfig::CONFIG_NOT_SET;
  if (is_empty && empty_file == EmptyFile::kNoModels) return std::vector<ConfiguredModel>();
  return ConvertModelConfig(config, file);
}

StatusOr<std::vector<ConfiguredModel>> ConvertModelConfig(
    const tensorflow::serving::ModelServerConfig& config, std::string_view where) {
  if (config.has_custom_model_config()) {
    return InvalidArgument("{}: custom_model_config is not supported; use model_config_list",
                           where);
  }
  if (!config.has_model_config_list()) {
    return InvalidArgument(
        "{}: there is no model_config_list; for no models write"
        " 'model_config_list {{}}'",
        where);
  }
  std::vector<ConfiguredModel> models;
  std::set<std::string, std::less<>> names;
  for (const auto& entry : config.model_config_list().config()) {
    if (entry.name().empty()) {
      return InvalidArgument("{}: model {} of the list has no name", where, models.size() + 1);
    }
    if (!names.insert(entry.name()).second) {
      return InvalidArgument("{}: Illegal to list model {} multiple times in config list", where,
                             entry.name());
    }
    StatusOr<ConfiguredModel> model = ConvertModel(entry);
    if (!model.ok()) {
      return InvalidArgument("{}: model '{}' {}", where, entry.name(), MessageOf(model.status()));
    }
    models.push_back(*std::move(model));
  }
  return models;
}

StatusOr<MonitoringSettings> ParseMonitoringConfig(std::string_view text, std::string_view file) {
  ASSIGN_OR_RETURN(const auto config, ParseText<tensorflow::serving::MonitoringConfig>(text, file));
  const auto& prometheus = config.prometheus_config();
  MonitoringSettings settings{prometheus.enable(), prometheus.path()};
  if (settings.path.empty()) settings.path = kPrometheusPath;
  if (settings.path.front() != '/') {
    return InvalidArgument("{}: the path '{}' must begin with '/'", file, settings.path);
  }
  return settings;
}

StatusOr<SslSettings> ParseSslConfig(std::string_view text, std::string_view file) {
  tensorflow::serving::SSLConfig config;
  TRY(ParseTextFormat(text, file, config, TextWords::kHidden));  // it has the private key
  if (config.server_key().empty() || config.server_cert().empty()) {
    return InvalidArgument("{}: server_key and server_cert are both needed, as PEM text", file);
  }
  if (config.client_verify() && config.custom_ca().empty()) {
    return InvalidArgument("{}: client_verify needs custom_ca, as PEM text", file);
  }
  return SslSettings{config.server_key(), config.server_cert(), config.custom_ca(),
                     config.client_verify()};
}

}  // namespace penstock
