// SPDX-License-Identifier: Apache-2.0
#include "bench/bench_options.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>
#include <optional>
#include <string_view>

#include "base/options/nearest_name.h"

namespace penstock::bench {
namespace {

using Setter = Status (*)(BenchOptions&, std::string_view);

// One flag.
struct Flag {
  std::string_view name;
  std::string_view value;  // how the help names it
  std::string_view sentence;
  Setter set;
};

template <typename Number>
std::optional<Number> ParseNumber(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

Status SetCount(int64_t& to, std::string_view text, int64_t min, int64_t max) {
  const auto number = ParseNumber<int64_t>(text);
  if (!number || *number < min || *number > max)
    return InvalidArgument("expected a whole number from {} to {}", min, max);
  to = *number;
  return OkStatus();
}

Status SetSeed(BenchOptions& options, std::string_view text) {
  const auto number = ParseNumber<uint64_t>(text);
  if (!number) return InvalidArgument("expected a whole number from 0 to 2^64-1");
  options.load.seed = options.request.seed = *number;
  return OkStatus();
}

Status SetTime(Duration& to, std::string_view text, Duration min = Duration(0)) {
  ASSIGN_OR_RETURN(const Duration time, ParseDuration(text));
  if (time < min || time > kTimeMax)
    return InvalidArgument("expected a time from {} ms to 1 hour, such as 10s or 500ms",
                           std::chrono::duration_cast<std::chrono::milliseconds>(min).count());
  to = time;
  return OkStatus();
}

Status SetText(std::string& to, std::string_view text) {
  if (text.empty()) return InvalidArgument("the value is empty");
  to = text;
  return OkStatus();
}

std::vector<std::string_view> SplitAtCommas(std::string_view text) {
  std::vector<std::string_view> parts;
  for (;;) {
    const size_t comma = text.find(',');
    parts.push_back(text.substr(0, comma));
    if (comma == std::string_view::npos) return parts;
    text.remove_prefix(comma + 1);
  }
}

Status SetRates(BenchOptions& options, std::string_view text) {
  options.rates.clear();
  for (const std::string_view part : SplitAtCommas(text)) {
    const auto rate = ParseNumber<double>(part);
    if (!rate || !(*rate >= 0.01) || *rate > kRateMax)
      return InvalidArgument(
          "expected requests per second, from 0.01 to {}, or several with commas between",
          kRateMax);
    options.rates.push_back(*rate);
  }
  if (options.rates.size() > kRatesMax)
    return InvalidArgument("at most {} rates in one run", kRatesMax);
  return OkStatus();
}

Status SetMetadata(BenchOptions& options, std::string_view text) {
  const size_t colon = text.find(':', 1);
  const std::string_view name = text.substr(0, std::min(colon, text.size()));
  const bool is_name = std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  });
  const bool is_value =
      std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
  if (colon == std::string_view::npos || !is_name || !is_value || name.empty())
    return InvalidArgument("expected name:value, the name in lower case");
  std::string_view value = text.substr(colon + 1);
  while (value.starts_with(' ')) value.remove_prefix(1);
  options.metadata.emplace_back(name, value);
  return OkStatus();
}

constexpr Flag kFlags[] = {
    {"target", "HOST:PORT", "The server's gRPC address; default localhost:8500. No TLS.",
     [](BenchOptions& o, std::string_view v) { return SetText(o.target, v); }},
    {"model", "NAME", "The model. A request in a file may name it, too.",
     [](BenchOptions& o, std::string_view v) { return SetText(o.request.model, v); }},
    {"model_version", "N", "A version; default: the one that the server chooses.",
     [](BenchOptions& o, std::string_view v) {
       return SetCount(o.request.version, v, 1, INT64_MAX);
     }},
    {"version_label", "LABEL", "A label, in place of a version.",
     [](BenchOptions& o, std::string_view v) { return SetText(o.request.version_label, v); }},
    {"signature", "NAME", "The signature; default serving_default.",
     [](BenchOptions& o, std::string_view v) { return SetText(o.request.signature, v); }},
    {"batch_size", "N", "Rows of a request; default 1, where the signature leaves it open.",
     [](BenchOptions& o, std::string_view v) {
       return SetCount(o.request.batch_size, v, 1, 1'000'000);
     }},
    {"shape", "INPUT:1x784", "The shape of an input. For each input that needs one.",
     [](BenchOptions& o, std::string_view v) -> Status {
       ASSIGN_OR_RETURN(InputShape shape, ParseInputShape(v));
       o.request.shapes.push_back(std::move(shape));
       return OkStatus();
     }},
    {"request", "FILE", "A PredictRequest to send, as protobuf's bytes or its JSON.",
     [](BenchOptions& o, std::string_view v) { return SetText(o.request.file, v); }},
    {"connections", "N", "Connections; default 4.",
     [](BenchOptions& o, std::string_view v) {
       return SetCount(o.load.connections, v, 1, kConnectionsMax);
     }},
    {"streams", "N", "Requests of a connection at a time, in a closed loop; default 32.",
     [](BenchOptions& o, std::string_view v) {
       return SetCount(o.load.streams, v, 1, kStreamsMax);
     }},
    {"rate", "R[,R...]",
     "Open loop: requests per second, at random moments (Poisson). Several: a run for each.",
     SetRates},
    {"warmup", "TIME", "Load before the measured time; default 2s.",
     [](BenchOptions& o, std::string_view v) { return SetTime(o.load.warmup, v); }},
    {"duration", "TIME", "The measured time; default 10s.",
     [](BenchOptions& o, std::string_view v) {
       return SetTime(o.load.duration, v, std::chrono::milliseconds(10));
     }},
    {"requests_max", "N", "The run ends after this many requests; default 10000000.",
     [](BenchOptions& o, std::string_view v) {
       return SetCount(o.load.requests_max, v, 1, kRequestsMax);
     }},
    {"deadline", "TIME", "The deadline of each request; default: none.",
     [](BenchOptions& o, std::string_view v) { return SetTime(o.load.deadline, v); }},
    {"timeout", "TIME", "The longest wait for a connection, and for the last answers; default 10s.",
     [](BenchOptions& o, std::string_view v) {
       return SetTime(o.load.timeout, v, std::chrono::milliseconds(1));
     }},
    {"in_flight_max", "N", "Open loop: unanswered requests at a time; default 10000.",
     [](BenchOptions& o, std::string_view v) {
       return SetCount(o.load.in_flight_max, v, 1, 1'000'000);
     }},
    {"threads", "N", "Threads that send; default 1.",
     [](BenchOptions& o, std::string_view v) {
       return SetCount(o.load.threads, v, 1, kThreadsMax);
     }},
    {"seed", "N", "Of the random inputs and moments; default 1.", SetSeed},
    {"metadata", "NAME:VALUE", "A field of each call, such as authorization:'Bearer TOKEN'.",
     SetMetadata},
    {"name", "TEXT", "What the plot calls this run; default: the model.",
     [](BenchOptions& o, std::string_view v) { return SetText(o.name, v); }},
    {"json", "FILE", "Writes the figures as JSON.",
     [](BenchOptions& o, std::string_view v) { return SetText(o.json_file, v); }},
    {"svg", "FILE", "Draws latency against rate, or against percentile if there is one run.",
     [](BenchOptions& o, std::string_view v) { return SetText(o.svg_file, v); }},
    {"compare", "FILE[,FILE...]", "JSON files of earlier runs, which the plot shows beside this.",
     [](BenchOptions& o, std::string_view v) {
       for (const std::string_view part : SplitAtCommas(v)) o.compare.emplace_back(part);
       return OkStatus();
     }},
};

constexpr std::string_view kUsage =
    "Usage: penstock bench --model=NAME [--target=HOST:PORT] [flags]\n\n"
    "Sends requests to one model of a server with TensorFlow Serving's gRPC API, this one or\n"
    "another, and prints how long they take. The inputs are random, in the shapes that the server\n"
    "tells. Without --rate each stream sends its next request when it has its answer (closed\n"
    "loop). With --rate requests are due at random moments, whatever the server does (open loop);\n"
    "a request's time counts from the moment when it was due. Exit code 1 if no request succeeds.\n"
    "In the names of flags, '-' and '_' are the same.\n\n";

StatusOr<const Flag*> FindFlag(std::string_view name) {
  std::vector<std::string_view> names;
  for (const Flag& flag : kFlags) {
    if (flag.name == name) return &flag;
    names.push_back(flag.name);
  }
  const std::string_view nearest = NearestName(name, names);
  return InvalidArgument("unknown flag --{}; {}", name,
                         nearest.empty() ? "`penstock bench --help` lists all"
                                         : fmt::format("did you mean --{}?", nearest));
}

Status CheckTogether(const BenchOptions& options) {
  const RequestOptions& request = options.request;
  if (request.model.empty() && request.file.empty())
    return InvalidArgument("which model? Give --model=NAME; `penstock bench --help` says more");
  if (request.version != 0 && !request.version_label.empty())
    return InvalidArgument("give --model_version or --version_label, not both");
  if (!request.file.empty() && (request.batch_size != 0 || !request.shapes.empty()))
    return InvalidArgument(
        "the file of --request says the shapes: leave out --batch_size, --shape");
  if (options.load.threads > options.load.connections)
    return InvalidArgument("--threads={} needs as many connections: give --connections={}",
                           options.load.threads, options.load.threads);
  if (!options.compare.empty() && options.svg_file.empty())
    return InvalidArgument("--compare is for the plot: give --svg=FILE, too");
  return OkStatus();
}

}  // namespace

StatusOr<Duration> ParseDuration(std::string_view text) {
  size_t digits = 0;
  while (digits < text.size() &&
         (text[digits] == '.' || (text[digits] >= '0' && text[digits] <= '9')))
    ++digits;
  const auto number = ParseNumber<double>(text.substr(0, digits));
  const std::string_view unit = text.substr(digits);
  const double seconds = unit.empty() || unit == "s" ? 1
                         : unit == "ms"              ? 1e-3
                         : unit == "us"              ? 1e-6
                         : unit == "m"               ? 60
                                                     : 0;
  if (!number || seconds == 0 || *number * seconds > 1e6)
    return InvalidArgument("expected a time such as 10s, 500ms, 200us or 2m");
  return std::chrono::nanoseconds(std::llround(*number * seconds * 1e9));
}

StatusOr<InputShape> ParseInputShape(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0)
    return InvalidArgument("expected INPUT:SHAPE, such as x:1x784");
  InputShape shape{.input = std::string(text.substr(0, colon)), .dims = {}};
  std::string_view sizes = text.substr(colon + 1);
  while (!sizes.empty()) {
    const size_t cross = sizes.find('x');
    const auto size = ParseNumber<int64_t>(sizes.substr(0, cross));
    if (!size || *size < 0 || cross == sizes.size() - 1)
      return InvalidArgument("expected sizes with an x between them, such as {}:1x784",
                             shape.input);
    shape.dims.push_back(*size);
    sizes.remove_prefix(cross == std::string_view::npos ? sizes.size() : cross + 1);
  }
  return shape;
}

StatusOr<BenchOptions> ParseBenchOptions(std::span<const std::string> arguments) {
  BenchOptions options;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument == "--help" || argument == "-h") {
      options.help = true;
      return options;
    }
    if (!argument.starts_with("--"))
      return InvalidArgument("unexpected argument '{}'; flags are --name=value", argument);
    const size_t equals = argument.find('=');
    std::string name = argument.substr(2, equals == std::string::npos ? equals : equals - 2);
    std::replace(name.begin(), name.end(), '-', '_');
    ASSIGN_OR_RETURN(const Flag* const flag, FindFlag(name));
    std::string_view value;
    if (equals != std::string::npos) {
      value = std::string_view(argument).substr(equals + 1);
    } else {
      if (++i == arguments.size())
        return InvalidArgument("--{} needs a value: --{}={}", name, name, flag->value);
      value = arguments[i];
    }
    const Status status = flag->set(options, value);
    if (!status.ok()) return InvalidArgument("--{}={}: {}", name, value, MessageOf(status));
  }
  TRY(CheckTogether(options));
  return options;
}

std::string BenchHelp() {
  std::string help(kUsage);
  for (const Flag& flag : kFlags) {
    const std::string head = fmt::format("--{}={}", flag.name, flag.value);
    fmt::format_to(std::back_inserter(help), "  {:<28} {}\n", head, flag.sentence);
  }
  return help;
}

}  // namespace penstock::bench
