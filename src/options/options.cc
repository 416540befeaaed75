// SPDX-License-Identifier: Apache-2.0
// Parses the command line in one pass over the arguments: find the row of the flag, check the value
// by the row, and store it in the field that the row names. What one row cannot check, such as two
// flags that exclude each other, comes afterwards in CheckTogether. So the table is the only place
// that knows a flag.
//
// Flags without an effect (foreign options) have rows, too. They are checked like the others,
// because a typo in them is still a typo.
#include "options/options.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <vector>

#include "config/config_files.h"
#include "options/compat.h"

namespace penstock {
namespace {

std::string_view ValueName(OptionType type) {
  switch (type) {
    case OptionType::kBool:
      return "true or false";
    case OptionType::kInt:
      return "a whole number";
    case OptionType::kString:
      return "a text";
  }
  return "";
}

std::optional<bool> ParseBool(std::string_view text) {
  if (text == "true" || text == "1" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "0" || text == "False" || text == "FALSE") return false;
  return std::nullopt;
}

std::optional<int64_t> ParseInt(std::string_view text) {
  int64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || text.empty()) return std::nullopt;
  return value;
}

// The error for an argument that is not a known flag.
Status UnknownArgument(const OptionTable& table, std::string_view argument) {
  if (ParseBool(argument))
    return InvalidArgument("unexpected argument '{}': a truth value needs '=', as in --flag={}",
                           argument, argument);
  if (!argument.starts_with("--"))
    return InvalidArgument("unexpected argument '{}': flags look like --name=value", argument);
  const std::string_view name = argument.substr(2, argument.find('=') - 2);
  const std::string_view nearest = table.Nearest(name);
  if (nearest.empty())
    return InvalidArgument("unknown flag --{}; `penstock serve --help` lists all flags", name);
  return InvalidArgument("unknown flag --{}; did you mean --{}?", name, nearest);
}

Status WrongType(const OptionRow& row, std::string_view text) {
  return InvalidArgument("--{}={}: expected {}", row.name, text, ValueName(row.type()));
}

Status SetInt(const OptionRow& row, const OptionField& field, std::string_view text,
              OptionValues& values) {
  const std::optional<int64_t> value = ParseInt(text);
  if (!value) return WrongType(row, text);
  if (*value < row.min || *value > row.max)
    return InvalidArgument("--{}={}: must be from {} to {}", row.name, text, row.min, row.max);
  field.set(values, *value);
  return OkStatus();
}

Status SetString(const OptionRow& row, const OptionField& field, std::string_view text,
                 OptionValues& values) {
  if (!row.choices.empty() &&
      std::find(row.choices.begin(), row.choices.end(), text) == row.choices.end()) {
    return InvalidArgument("--{}={}: must be one of {}", row.name, text,
                           fmt::join(row.choices, ", "));
  }
  field.set_text(values, text);
  return OkStatus();
}

Status SetField(const OptionRow& row, const OptionField& field, std::string_view text,
                OptionValues& values) {
  if (field.type == OptionType::kString) return SetString(row, field, text, values);
  if (field.type == OptionType::kInt) return SetInt(row, field, text, values);
  const std::optional<bool> value = ParseBool(text);
  if (!value) return WrongType(row, text);
  field.set(values, *value ? 1 : 0);
  return OkStatus();
}

// Checks the type of a foreign option's value. Warns, or refuses, if the value asks for something
// that Penstock does not do.
Status CheckForeign(const OptionRow& row, const ForeignOption& foreign, std::string_view text,
                    std::vector<std::string>& warnings) {
  bool is_natural = text == foreign.natural_text;
  if (foreign.type == OptionType::kBool) {
    const std::optional<bool> value = ParseBool(text);
    if (!value) return WrongType(row, text);
    is_natural = *value == (foreign.natural_text == "true");
  } else if (foreign.type == OptionType::kInt && !ParseInt(text)) {
    return WrongType(row, text);
  }
  if (is_natural) return OkStatus();
  if (foreign.refuse) return InvalidArgument("--{}={}: {}", row.name, text, row.sentence);
  warnings.push_back(fmt::format("--{}={}: {}", row.name, text, row.sentence));
  return OkStatus();
}

// One flag, split into name and value.
struct Flag {
  const OptionRow* row = nullptr;
  std::string value;
};

// Reads the flag at `arguments[next]` and moves `next` behind it. nullopt: it is not a known flag.
StatusOr<std::optional<Flag>> ReadFlag(const OptionTable& table,
                                       std::span<const std::string> arguments, size_t& next) {
  std::string_view argument = arguments[next++];
  if (argument == "-h") argument = "--help";
  if (!argument.starts_with("--")) return std::nullopt;
  argument.remove_prefix(2);
  const size_t equals = argument.find('=');
  const std::string_view name = argument.substr(0, equals);
  const OptionRow* row = table.Find(name);
  if (row != nullptr && equals != std::string_view::npos)
    return Flag{row, std::string(argument.substr(equals + 1))};
  if (row != nullptr && row->type() == OptionType::kBool) return Flag{row, "true"};
  if (row != nullptr) {
    if (next == arguments.size())
      return InvalidArgument("--{} lacks a value: expected {}", name, ValueName(row->type()));
    return Flag{row, arguments[next++]};
  }
  // Only now, because the name of a flag may itself begin with "no".
  if (name.starts_with("no") && equals == std::string_view::npos) {
    row = table.Find(name.substr(2));
    if (row != nullptr && row->type() == OptionType::kBool) return Flag{row, "false"};
  }
  return std::nullopt;
}

Status CheckTls(const Settings& settings) {
  const bool has_certificate = !settings.net.tls.certificate_file.empty();
  const bool has_key = !settings.net.tls.key_file.empty();
  if (has_certificate && !has_key)
    return InvalidArgument("--tls_certificate_file needs --tls_key_file, its private key in PEM");
  if (has_key && !has_certificate)
    return InvalidArgument("--tls_key_file needs --tls_certificate_file, its certificate in PEM");
  if (!settings.net.tls.client_ca_file.empty() && !has_certificate)
    return InvalidArgument("--tls_client_ca_file needs --tls_certificate_file");
  if (settings.net.tls.require_client_certificate && settings.net.tls.client_ca_file.empty())
    return InvalidArgument("--tls_require_client_certificate needs --tls_client_ca_file");
  if (!settings.ssl_config_file.empty() && has_certificate)
    return InvalidArgument("give either --ssl_config_file or --tls_certificate_file");
  return OkStatus();
}

Status CheckTogether(const Settings& settings) {
  if (settings.model_config_file.empty() && settings.model_base_path.empty())
    return InvalidArgument("no model: give --model_base_path or --model_config_file");
  if (settings.model_config_file.empty() && settings.model_name.empty())
    return InvalidArgument("--model_name is empty");
  const auto path = ReadBasePath(settings.model_base_path);
  if (settings.model_config_file.empty() && !path.ok())
    return InvalidArgument("--model_base_path={}", MessageOf(path.status()));
  if (settings.port == 0 && settings.rest_api_port == 0 && settings.graphpipe_port == 0 &&
      settings.grpc_socket_path.empty())
    return InvalidArgument(
        "nothing to listen at: --port, --rest_api_port and --graphpipe_port are 0 and there is no "
        "--grpc_socket_path");
  const std::pair<std::string_view, int64_t> own_ports[] = {
      {"health_port", settings.health_port},
      {"admin_port", settings.admin_port},
      {"graphpipe_port", settings.graphpipe_port}};
  for (const auto& [flag, own] : own_ports)
    for (const int64_t port : {settings.port, settings.rest_api_port})
      if (own > 0 && own == port)
        return InvalidArgument("--{}={} must be a port of its own: others serve there, too", flag,
                               port);
  if (settings.admin_port > 0 && settings.admin_port == settings.health_port)
    return InvalidArgument("--admin_port={} must not be --health_port, too", settings.admin_port);
  if (!settings.admin_address.empty() && settings.admin_port == 0)
    return InvalidArgument("--admin_address={} needs --admin_port, which is bound to it",
                           settings.admin_address);
  if (settings.tensorflow_session_parallelism != 0 &&
      (settings.tensorflow_intra_op_parallelism != 0 ||
       settings.tensorflow_inter_op_parallelism != 0))
    return InvalidArgument(
        "--tensorflow_session_parallelism sets both --tensorflow_intra_op_parallelism and "
        "--tensorflow_inter_op_parallelism: give it or them");
  // Otherwise no stream could ever use its window, and the flag would do nothing.
  if (settings.net.http2_connection_window_bytes < settings.net.http2_stream_window_bytes)
    return InvalidArgument(
        "--http2_connection_window_bytes={} must not be less than --http2_stream_window_bytes={}",
        settings.net.http2_connection_window_bytes, settings.net.http2_stream_window_bytes);
  return CheckTls(settings);
}

// One warning for each of the `given` options that has no effect because of another one.
void WarnOfNoEffect(const OptionTable& table, const std::vector<const OptionRow*>& given,
                    ParsedOptions& parsed) {
  for (const OptionRow* const row : given) {
    if (!row->needs) continue;
    const auto& [option, one_of] = *row->needs;
    const auto& field = std::get<OptionField>(table.Find(option)->target);
    // A port of 0 is none.
    const bool is_on = field.type != OptionType::kString ? field.get(parsed.values) != 0
                       : one_of.empty()
                           ? !field.text(parsed.values).empty()
                           : std::ranges::find(one_of, field.text(parsed.values)) != one_of.end();
    if (is_on) continue;
    std::string warning = fmt::format("--{} has no effect without --{}", row->name, option);
    if (!one_of.empty()) warning += fmt::format("={}", fmt::join(one_of, " or "));
    if (std::ranges::find(parsed.warnings, warning) == parsed.warnings.end())
      parsed.warnings.push_back(std::move(warning));
  }
}

// Refuses batching parameters without --enable_batching, as TensorFlow Serving does. Users who give
// parameters expect their requests to be batched.
Status CheckBatching(const Settings& settings) {
  if (settings.batching_parameters_file.empty() || settings.enable_batching) return OkStatus();
  return InvalidArgument("--batching_parameters_file={} needs --enable_batching",
                         settings.batching_parameters_file);
}

}  // namespace

OptionTable JoinOptions(std::initializer_list<std::span<const OptionRow>> of_leaves) {
  std::vector<std::span<const OptionRow>> parts = {ServerOptions()};
  parts.insert(parts.end(), of_leaves);
  parts.push_back(ForeignOptions());
  return OptionTable(parts);
}

StatusOr<ParsedOptions> ParseFlags(const OptionTable& table,
                                   std::span<const std::string> arguments) {
  ParsedOptions parsed;
  std::vector<const OptionRow*> given;
  const bool stands_in_for_tfs = AsksForTfs(arguments);
  // Before any flag, so that a flag of the user overrides these defaults.
  if (stands_in_for_tfs) parsed.values.Mutable<Settings>() = TfsDefaults();
  for (size_t next = 0; next < arguments.size();) {
    const std::string& argument = arguments[next];
    ASSIGN_OR_RETURN(const std::optional<Flag> flag, ReadFlag(table, arguments, next));
    if (!flag) {
      if (!stands_in_for_tfs) return UnknownArgument(table, argument);
      ASSIGN_OR_RETURN(std::string warning, WarningForTfsArgument(table, argument));
      parsed.warnings.push_back(std::move(warning));
    } else if (const auto* foreign = std::get_if<ForeignOption>(&flag->row->target)) {
      TRY(CheckForeign(*flag->row, *foreign, flag->value, parsed.warnings));
      parsed.foreign[flag->row->name] = flag->value;
    } else {
      TRY(SetField(*flag->row, std::get<OptionField>(flag->row->target), flag->value,
                   parsed.values));
      given.push_back(flag->row);
    }
  }
  WarnOfNoEffect(table, given, parsed);
  return parsed;
}

StatusOr<ParsedOptions> ParseOptions(const OptionTable& table,
                                     std::span<const std::string> arguments) {
  ASSIGN_OR_RETURN(ParsedOptions parsed, ParseFlags(table, arguments));
  // Somebody who asks for help need not give a model.
  if (parsed.settings().help || parsed.settings().version) return parsed;
  TRY(CheckTogether(parsed.settings()));
  TRY(CheckBatching(parsed.settings()));
  return parsed;
}

}  // namespace penstock
