// SPDX-License-Identifier: Apache-2.0
// The command lines of the two servers differ a little, and one of them has changed its flags over
// time. All of these forms are taken, so that a manifest need not be changed before the program is.
#include "options/graphpipe_flags.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <map>
#include <optional>
#include <variant>

#include "base/options/nearest_name.h"

namespace penstock {
namespace {

using TextMember = std::string GraphPipeFlags::*;
using BoolMember = bool GraphPipeFlags::*;
using NumberMember = int64_t GraphPipeFlags::*;

// A flag, and the variable that stands for it. Static.
struct FlagRow {
  std::string_view name;  // with "-"
  char letter = '\0';     // '\0': it has no short form
  std::variant<TextMember, BoolMember, NumberMember> member;
  std::string_view variable = {};
  int64_t min = 0;  // of a number
  int64_t max = 0;
};

constexpr FlagRow kFlags[] = {
    {"model", 'm', &GraphPipeFlags::model, "GP_MODEL"},
    {"inputs", 'i', &GraphPipeFlags::inputs, "GP_INPUTS"},
    {"outputs", 'o', &GraphPipeFlags::outputs, "GP_OUTPUTS"},
    {"more-outputs", '\0', &GraphPipeFlags::more_outputs},
    {"init-net", '\0', &GraphPipeFlags::init_net, "GP_INIT_NET"},
    {"predict-net", '\0', &GraphPipeFlags::predict_net, "GP_PREDICT_NET"},
    {"value-inputs", '\0', &GraphPipeFlags::value_inputs, "GP_VALUE_INPUTS"},
    {"listen", 'l', &GraphPipeFlags::listen},
    {"cache", 'c', &GraphPipeFlags::cache, "GP_CACHE"},
    {"cache-dir", 'd', &GraphPipeFlags::cache_dir},
    {"dir", '\0', &GraphPipeFlags::cache_dir},  // as releases of graphpipe-onnx call it
    {"engine-count", '\0', &GraphPipeFlags::engine_count, "GP_ENGINE_COUNT", 1, 1000},
    {"disable-cuda", '\0', &GraphPipeFlags::disable_cuda},
    {"profile", '\0', &GraphPipeFlags::profile},
    {"download-bytes-max", '\0', &GraphPipeFlags::download_bytes_max, {}, 1, INT64_MAX},
    {"download-seconds-max", '\0', &GraphPipeFlags::download_seconds_max, {}, 1, 86'400},
    {"verbose", 'v', &GraphPipeFlags::verbose},
    {"version", 'V', &GraphPipeFlags::version},
    {"help", 'h', &GraphPipeFlags::help},
};

// Flags of `penstock serve` that say the same in another way.
constexpr std::string_view kNotTogether[] = {"model_config_file", "model_base_path", "model_name",
                                             "compat"};

bool IsBool(const FlagRow& row) { return std::holds_alternative<BoolMember>(row.member); }

std::optional<bool> ReadBool(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
  if (text == "1" || text == "t" || text == "true") return true;
  if (text == "0" || text == "f" || text == "false") return false;
  return std::nullopt;
}

// Stores a value. `said` is the flag or variable, for errors.
Status Set(const FlagRow& row, std::string_view said, std::string value, GraphPipeFlags& flags) {
  if (const auto* text = std::get_if<TextMember>(&row.member)) {
    flags.*(*text) = std::move(value);
    return OkStatus();
  }
  if (const auto* flag = std::get_if<BoolMember>(&row.member)) {
    const std::optional<bool> parsed = ReadBool(value);
    if (!parsed) return InvalidArgument("{}={}: expected true or false", said, value);
    flags.*(*flag) = *parsed;
    return OkStatus();
  }
  int64_t number = 0;
  const char* const end = value.data() + value.size();
  const auto [stop, error] = std::from_chars(value.data(), end, number);
  if (error != std::errc() || stop != end || number < row.min || number > row.max)
    return InvalidArgument("{}={}: expected a number from {} to {}", said, value, row.min, row.max);
  flags.*std::get<NumberMember>(row.member) = number;
  return OkStatus();
}

// Reads the variables. An empty one is as good as none.
Status ReadVariables(const GraphPipeVariables& environment, GraphPipeFlags& flags) {
  std::vector<std::string_view> names;
  for (const FlagRow& row : kFlags)
    if (!row.variable.empty()) names.push_back(row.variable);
  for (const auto& [name, value] : environment) {
    if (!name.starts_with("GP_") || value.empty()) continue;
    const auto* const row =
        std::ranges::find_if(kFlags, [&](const FlagRow& each) { return each.variable == name; });
    if (row == std::end(kFlags)) {
      flags.warnings.push_back(fmt::format("the variable {} has no effect; those that have are {}",
                                           name, fmt::join(names, ", ")));
      continue;
    }
    TRY(Set(*row, name, value, flags));
  }
  return OkStatus();
}

const FlagRow* FindFlag(std::string name) {
  std::ranges::replace(name, '_', '-');
  const auto* const row =
      std::ranges::find_if(kFlags, [&](const FlagRow& each) { return each.name == name; });
  return row == std::end(kFlags) ? nullptr : row;
}

// Reads one command line. One thread at a time.
class Parser final {
 public:
  Parser(std::span<const std::string> arguments, const OptionTable& table, GraphPipeFlags& flags)
      : arguments_(arguments), table_(table), flags_(flags) {}

  Status Run() {
    while (next_ < arguments_.size()) {
      const std::string& argument = arguments_[next_++];
      if (argument.starts_with("--")) {
        TRY(ReadLong(argument));
      } else if (argument.starts_with("-") && argument.size() > 1) {
        TRY(ReadShort(argument));
      } else {
        return InvalidArgument("unexpected argument '{}'; flags look like --model=FILE", argument);
      }
    }
    return OkStatus();
  }

 private:
  Status ReadLong(const std::string& argument) {
    const size_t equals = argument.find('=');
    const bool has_value = equals != std::string::npos;
    const std::string name = argument.substr(2, has_value ? equals - 2 : equals);
    const std::string value = has_value ? argument.substr(equals + 1) : "";
    const FlagRow* const row = FindFlag(name);
    // `penstock serve` has a flag of this name, too, with other values.
    const bool is_listen_time = name == "listen" && (value == "at_start" || value == "after_load");
    if (row == nullptr || is_listen_time) return PassOn(argument, name, has_value);
    if (has_value) return Set(*row, argument.substr(0, equals), value, flags_);
    return SetNext(*row, argument);
  }

  // Reads "-m", "-mVALUE", "-m=VALUE", or several flags without values, as "-cv".
  Status ReadShort(const std::string& argument) {
    for (size_t i = 1; i < argument.size(); ++i) {
      const auto* const row = std::ranges::find_if(
          kFlags, [&](const FlagRow& each) { return each.letter == argument[i]; });
      const std::string said = std::string("-") + argument[i];
      if (row == std::end(kFlags))
        return InvalidArgument("unknown flag {}; `penstock graphpipe --help` lists all", said);
      std::string rest = argument.substr(i + 1);
      const bool has_equals = rest.starts_with('=');
      if (IsBool(*row) && !has_equals) {
        TRY(Set(*row, said, "true", flags_));
        continue;
      }
      if (rest.empty()) return SetNext(*row, said);
      return Set(*row, said, has_equals ? rest.substr(1) : rest, flags_);
    }
    return OkStatus();
  }

  // Sets a flag that has no "=".
  Status SetNext(const FlagRow& row, const std::string& said) {
    if (IsBool(row)) return Set(row, said, "true", flags_);
    if (next_ == arguments_.size()) return InvalidArgument("{} needs a value", said);
    return Set(row, said, arguments_[next_++], flags_);
  }

  // Keeps a flag for `penstock serve`.
  Status PassOn(const std::string& argument, std::string name, bool has_value) {
    const std::string given = name;
    std::ranges::replace(name, '-', '_');  // as all of its flags are called
    if (std::ranges::find(kNotTogether, name) != std::end(kNotTogether))
      return InvalidArgument(
          "--{} is for `penstock serve`, which needs no --model; this command serves one model",
          name);
    const OptionRow* row = table_.Find(name);
    const bool is_negated = row == nullptr && !has_value && name.starts_with("no");
    if (is_negated) row = table_.Find(name.substr(2));
    if (row == nullptr) return Unknown(argument, name);
    flags_.serve_flags.push_back(fmt::format("--{}{}", name, argument.substr(2 + given.size())));
    if (has_value || row->type() == OptionType::kBool) return OkStatus();
    if (next_ == arguments_.size()) return InvalidArgument("{} needs a value", argument);
    flags_.serve_flags.push_back(arguments_[next_++]);
    return OkStatus();
  }

  Status Unknown(const std::string& argument, const std::string& name) const {
    std::vector<std::string_view> names;
    for (const FlagRow& row : kFlags) names.push_back(row.name);
    for (const OptionRow& row : table_.rows()) names.push_back(row.name);
    const std::string_view nearest = NearestName(name, names);
    return InvalidArgument("unknown flag {}; {}", argument,
                           nearest.empty() ? "`penstock graphpipe --help` lists all"
                                           : fmt::format("did you mean --{}?", nearest));
  }

  const std::span<const std::string> arguments_;
  const OptionTable& table_;
  GraphPipeFlags& flags_;
  size_t next_ = 0;
};

// Checks that the files make one model.
Status CheckModel(const GraphPipeFlags& flags) {
  const bool has_nets = !flags.init_net.empty() || !flags.predict_net.empty();
  if (flags.model.empty() && !has_nets)
    return InvalidArgument(
        "no model: give --model (or GP_MODEL), or --init-net, --predict-net and --value-inputs of "
        "a Caffe2 model");
  if (!flags.model.empty() && has_nets)
    return InvalidArgument(
        "--model (or GP_MODEL) is a model of its own: leave out --init-net and --predict-net (or "
        "GP_INIT_NET and GP_PREDICT_NET)");
  if (!has_nets) return OkStatus();
  const std::pair<std::string_view, const std::string&> files[] = {
      {"init-net", flags.init_net},
      {"predict-net", flags.predict_net},
      {"value-inputs", flags.value_inputs}};
  for (const auto& [name, file] : files)
    if (file.empty())
      return InvalidArgument(
          "--{} is missing: a Caffe2 model has init-net, predict-net and "
          "value-inputs",
          name);
  return OkStatus();
}

void WarnOfNoEffect(GraphPipeFlags& flags) {
  const auto warn = [&](std::string_view text) { flags.warnings.emplace_back(text); };
  if (flags.disable_cuda) warn("--disable-cuda: models always run on the CPU");
  if (!flags.profile.empty())
    warn(
        "--profile has no effect: `perf record -g -p PID` profiles the server, and /metrics has "
        "times");
  if (!flags.model.empty() && !flags.value_inputs.empty())
    warn(
        "--value-inputs has no effect with --model: an ONNX model says itself what its inputs are");
  if (flags.model.empty() && flags.names_tensors())
    warn("--inputs and --outputs have no effect: they are for graphs of TensorFlow");
}

// Leaves out the variables of one kind of model if the flags name the other kind.
void LeaveOutOtherModel(const GraphPipeFlags& given, GraphPipeVariables& environment,
                        GraphPipeFlags& flags) {
  const bool gives_nets = !given.init_net.empty() || !given.predict_net.empty();
  if (given.model.empty() == !gives_nets) return;  // none of them, or both, which is an error
  const auto leave_out = [&](std::string_view name, std::string_view flag) {
    const auto found = environment.find(std::string(name));
    if (found == environment.end() || found->second.empty()) return;
    flags.warnings.push_back(fmt::format("{} has no effect with {}", name, flag));
    environment.erase(found);
  };
  if (gives_nets) return leave_out("GP_MODEL", "--init-net and --predict-net");
  for (const std::string_view name : {"GP_INIT_NET", "GP_PREDICT_NET"}) leave_out(name, "--model");
}

// Replaces "~" at the start by the home folder. Shells do it only in some places.
Status ExpandHome(std::string_view flag, const GraphPipeVariables& environment, std::string& path) {
  if (path != "~" && !path.starts_with("~/")) return OkStatus();
  const auto home = environment.find("HOME");
  if (home == environment.end() || home->second.empty())
    return InvalidArgument("the variable HOME is not set: give --{}, without \"~\"", flag);
  path.replace(0, 1, home->second);
  return OkStatus();
}

Status ExpandHomes(const GraphPipeVariables& environment, GraphPipeFlags& flags) {
  TRY(ExpandHome("model", environment, flags.model));
  TRY(ExpandHome("init-net", environment, flags.init_net));
  TRY(ExpandHome("predict-net", environment, flags.predict_net));
  TRY(ExpandHome("value-inputs", environment, flags.value_inputs));
  const Status cache = ExpandHome("cache-dir", environment, flags.cache_dir);
  return flags.cache ? cache : OkStatus();
}

// An address to listen at. Plain data.
struct ListenPlace {
  std::string address;
  int64_t port = 0;  // -1: any free one
};

StatusOr<ListenPlace> ReadListen(const std::string& text) {
  const size_t colon = text.rfind(':');
  const auto fail = [&] {
    return InvalidArgument("--listen={}: expected ADDRESS:PORT, as 127.0.0.1:9000 or :9000", text);
  };
  if (colon == std::string::npos) return fail();
  ListenPlace place{.address = text.substr(0, colon)};
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + colon + 1, end, place.port);
  if (error != std::errc() || stop != end || place.port < 0 || place.port > 65535) return fail();
  if (place.port == 0) place.port = -1;
  if (place.address.starts_with('[') && place.address.ends_with(']'))
    place.address = place.address.substr(1, place.address.size() - 2);
  if (place.address.empty()) place.address = "::";
  if (place.address == "localhost") place.address = "127.0.0.1";
  return place;
}

// The names of tensors, separated by commas, with the index that "op" stands for.
std::string WithIndex(std::string_view list) {
  std::string result;
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    const std::string_view name = list.substr(0, comma);
    result += fmt::format("{}{}{}", result.empty() ? "" : ",", name,
                          name.find(':') == std::string_view::npos ? ":0" : "");
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return result;
}

// Checks lists of tensors. Their names must differ, as each is a name of the model.
Status CheckLists(const GraphPipeFlags& flags) {
  const auto check = [](std::string_view flag, const std::string& list,
                        std::map<std::string, std::string_view>& seen) {
    for (size_t start = 0; !list.empty() && start <= list.size();) {
      const size_t end = std::min(list.find(',', start), list.size());
      if (end == start) return InvalidArgument("--{}={}: a name is empty", flag, list);
      const std::string name = WithIndex(list.substr(start, end - start));
      const auto [other, is_new] = seen.emplace(name, flag);
      if (!is_new)
        return InvalidArgument("--{}={}: {} stands in --{} already", flag, list, name,
                               other->second);
      start = end + 1;
    }
    return OkStatus();
  };
  std::map<std::string, std::string_view> inputs, outputs;
  TRY(check("inputs", flags.inputs, inputs));
  TRY(check("outputs", flags.outputs, outputs));
  return check("more-outputs", flags.more_outputs, outputs);
}

}  // namespace

StatusOr<GraphPipeFlags> ParseGraphPipeFlags(std::span<const std::string> arguments,
                                             const GraphPipeVariables& environment,
                                             const OptionTable& table) {
  GraphPipeFlags given;  // by the command line alone
  TRY(Parser(arguments, table, given).Run());
  if (given.help || given.version) return given;
  GraphPipeFlags flags;
  GraphPipeVariables variables = environment;
  LeaveOutOtherModel(given, variables, flags);
  TRY(ReadVariables(variables, flags));
  TRY(Parser(arguments, table, flags).Run());
  TRY(ExpandHomes(variables, flags));
  if (flags.cache && flags.cache_dir.empty())
    return InvalidArgument("--cache-dir is empty: give a folder");
  TRY(CheckModel(flags));
  TRY(CheckLists(flags));
  WarnOfNoEffect(flags);
  return flags;
}

StatusOr<std::vector<std::string>> ServeFlagsFor(const GraphPipeFlags& flags,
                                                 const std::string& config_file) {
  ASSIGN_OR_RETURN(const ListenPlace place, ReadListen(flags.listen));
  std::vector<std::string> serve = {
      fmt::format("--model_config_file={}", config_file),
      "--port=0",
      "--rest_api_port=0",
      fmt::format("--address={}", place.address),
      fmt::format("--graphpipe_port={}", place.port),
      // GraphPipe's servers opened their port when the model was loaded, and scripts wait for that.
      "--listen=after_load",
      // The files are complete.
      "--version_settle_ms=0",
  };
  if (flags.cache) serve.push_back(fmt::format("--row_cache_directory={}", flags.cache_dir));
  if (flags.engine_count > 0)
    serve.push_back(fmt::format("--model_max_concurrency={}", flags.engine_count));
  if (flags.verbose) serve.emplace_back("--log_level=debug");
  if (!flags.more_outputs.empty())
    serve.push_back(fmt::format("--graphpipe_named_outputs={}", WithIndex(flags.more_outputs)));
  // Last, because the last flag of a name counts.
  serve.insert(serve.end(), flags.serve_flags.begin(), flags.serve_flags.end());
  return serve;
}

std::string_view GraphPipeUsage() {
  return R"(Usage: penstock graphpipe --model=MODEL [flags]

Serves one model as graphpipe-tf and graphpipe-onnx do, with their flags and variables.

  -m, --model=MODEL         a frozen graph of TensorFlow (.pb), an ONNX file, or a SavedModel's
                            folder; a file may be a URL (http, https)           GP_MODEL
  -i, --inputs=A,B          tensors of the graph, as "op:0" or "op", that inputs without names
                            are; otherwise the placeholders                     GP_INPUTS
  -o, --outputs=C           the tensors that an answer has; otherwise the results that no
                            operation uses                                      GP_OUTPUTS
      --more-outputs=D,E    further tensors, which an answer has only if the request names them
      --init-net=FILE       a Caffe2 model in place of --model: the weights     GP_INIT_NET
      --predict-net=FILE    the net                                             GP_PREDICT_NET
      --value-inputs=FILE   types and shapes of the inputs, as JSON             GP_VALUE_INPUTS
  -l, --listen=ADDRESS:PORT the default is 127.0.0.1:9000
  -c, --cache               keeps the answer of each row                        GP_CACHE
  -d, --cache-dir=FOLDER    where they are kept, also --dir; the default is ~/.graphpipe
      --engine-count=N      the most runs at the same time                      GP_ENGINE_COUNT
      --download-bytes-max=N    the largest file of a URL; the default is 8 GiB
      --download-seconds-max=N  the longest download of one; the default is 600 s
  -v, --verbose             logs more
  -V, --version             prints the version
  -h, --help                prints this

--disable-cuda and --profile are taken, and have no effect. All flags of `penstock serve` are
taken, too, apart from those that name models: --rest_api_port=8501 opens a port for the REST API.
)";
}

}  // namespace penstock
