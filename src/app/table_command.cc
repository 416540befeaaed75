// SPDX-License-Identifier: Apache-2.0
// `penstock table build`: makes the folder of a table from a text file.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/commands.h"
#include "base/clock.h"
#include "base/options/nearest_name.h"
#include "base/terminal_line.h"
#include "tables/table_builder.h"

namespace penstock {
namespace {

using tables::BuildOptions;
using tables::BuildProgress;

constexpr std::string_view kTableUsage =
    R"(Usage: penstock table build --output=FOLDER [flags] FILE

Makes the folder of a version, with a table that `penstock serve` serves. Each line of FILE is a
row: its key, then its numbers. docs/tables.md says what is in the folder.

  --output=FOLDER      the folder, which must not exist, as /models/items/1
  --key_type=TYPE      int64 (the default), string, or dense: the lines have no keys, and the
                       number of a row is its key
  --dtype=TYPE         of the numbers; float32 is the default
  --delimiter=TEXT     what separates fields: comma, tab, space, or one character. The default
                       goes by the name of FILE: .csv, .tsv, .txt (a space)
  --header=BOOL        whether the first line has names; the default is to look at it
  --default_value=X    the number that fills the row of a key that is missing
  --shard=I/N          only the keys of shard I of N, from 0 on
)";

// The parsed command line.
struct TableBuild {
  bool help = false;
  BuildOptions options;
};

template <typename T>
std::optional<T> ParseNumber(std::string_view text) {
  T number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

Status SetKeyType(std::string_view value, BuildOptions& options) {
  using tables::KeyType;
  for (const KeyType type : {KeyType::kInt64, KeyType::kString, KeyType::kDense}) {
    if (tables::KeyTypeName(type) != value) continue;
    options.key_type = type;
    return OkStatus();
  }
  return InvalidArgument("--key_type is int64, string or dense, not '{}'", value);
}

Status SetDType(std::string_view value, BuildOptions& options) {
  for (int number = 1; number <= static_cast<int>(DType::kUint64); ++number) {
    const std::optional<DType> dtype = DTypeFromTensorFlow(number);
    if (!dtype || DTypeName(*dtype) != value) continue;
    options.dtype = *dtype;
    return OkStatus();
  }
  return InvalidArgument("--dtype '{}' is no type; float32 and int64 are some", value);
}

Status SetDelimiter(std::string_view value, BuildOptions& options) {
  if (value == "comma") value = ",";
  if (value == "tab") value = "\t";
  if (value == "space") value = " ";
  if (value.size() != 1 || value == "\"" || value == "\n")
    return InvalidArgument("--delimiter is comma, tab, space or one character, not '{}'", value);
  options.delimiter = value[0];
  return OkStatus();
}

Status SetHeader(std::string_view value, BuildOptions& options) {
  if (value != "true" && value != "false")
    return InvalidArgument("--header is true or false, not '{}'", value);
  options.has_header = value == "true";
  return OkStatus();
}

Status SetDefaultValue(std::string_view value, BuildOptions& options) {
  options.default_value = ParseNumber<double>(value);
  if (options.default_value && std::isfinite(*options.default_value)) return OkStatus();
  return InvalidArgument("--default_value '{}' is no number", value);
}

Status SetShard(std::string_view value, BuildOptions& options) {
  const size_t slash = std::min(value.find('/'), value.size());
  const auto index = ParseNumber<uint32_t>(value.substr(0, slash));
  const auto count = ParseNumber<uint32_t>(value.substr(std::min(slash + 1, value.size())));
  if (!index || !count || *count > tables::kShardsMax || *index >= *count)
    return InvalidArgument("--shard is as 0/4, and counts from 0 to 3 then; not '{}'", value);
  options.shard = {.index = *index, .count = *count};
  return OkStatus();
}

Status SetOutput(std::string_view value, BuildOptions& options) {
  options.output = value;
  return OkStatus();
}

struct TableFlag {
  std::string_view name;
  Status (*set)(std::string_view, BuildOptions&);
};
constexpr std::array kTableFlags = {
    TableFlag{"output", &SetOutput}, TableFlag{"key_type", &SetKeyType},
    TableFlag{"dtype", &SetDType},   TableFlag{"delimiter", &SetDelimiter},
    TableFlag{"header", &SetHeader}, TableFlag{"default_value", &SetDefaultValue},
    TableFlag{"shard", &SetShard}};

StatusOr<TableBuild> ParseTableBuild(std::span<const std::string> arguments) {
  TableBuild build;
  std::vector<std::string_view> names;
  for (const TableFlag& flag : kTableFlags) names.push_back(flag.name);
  for (const std::string_view argument : arguments) {
    if (argument == "--help" || argument == "-h") {
      build.help = true;
      return build;
    }
    if (!argument.starts_with("--")) {
      if (!build.options.input.empty() || argument.empty())
        return InvalidArgument("one file at a time, not both '{}' and '{}'", build.options.input,
                               argument);
      build.options.input = argument;
      continue;
    }
    const size_t equals = argument.find('=');
    if (equals == argument.npos)
      return InvalidArgument("{} needs a value, as in {}=VALUE", argument, argument);
    const std::string_view name = argument.substr(2, equals - 2);
    const auto flag = std::ranges::find(kTableFlags, name, &TableFlag::name);
    if (flag == kTableFlags.end()) {
      const std::string_view nearest = NearestName(name, names);
      return InvalidArgument("unknown flag {}{}", argument,
                             nearest.empty() ? "" : fmt::format("; did you mean --{}?", nearest));
    }
    TRY(flag->set(argument.substr(equals + 1), build.options));
  }
  if (build.options.input.empty()) return InvalidArgument("say which FILE has the rows");
  if (build.options.output.empty())
    return InvalidArgument("--output is missing: where is the table written to?");
  return build;
}

// Shows the progress on a terminal, at the bottom. One thread at a time.
class ProgressLine final {
 public:
  ProgressLine() : line_(STDERR_FILENO), is_shown_(TerminalLine::IsPossible(STDERR_FILENO)) {}
  ~ProgressLine() {
    if (is_shown_) line_.Set("");
  }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  void Show(const BuildProgress& progress) {
    const SteadyTime now = Clock::Real().Now();
    if (!is_shown_ || (now < next_ && !progress.makes_index)) return;
    next_ = now + std::chrono::milliseconds(100);
    if (progress.makes_index)
      return line_.Set(fmt::format("{} rows read; making the index", progress.rows));
    const double part = static_cast<double>(progress.bytes) /
                        static_cast<double>(std::max<uint64_t>(progress.bytes_all, 1));
    const double seconds = std::chrono::duration<double>(now - start_).count();
    constexpr int kLength = 30;
    const int done = static_cast<int>(part * kLength);
    line_.Set(fmt::format("[{:#<{}}{:.<{}}] {:3.0f} %  {} rows  {:.0f} s left", "", done, "",
                          kLength - done, part * 100, progress.rows,
                          part > 0 ? seconds / part - seconds : 0));
  }

 private:
  TerminalLine line_;
  const bool is_shown_;
  const SteadyTime start_ = Clock::Real().Now();
  SteadyTime next_ = start_;
};

int FailTable(const Status& status) {
  fmt::print(stderr, "penstock table: {}\n", MessageOf(status));
  return 1;
}

}  // namespace

int TableCommand(std::span<const std::string> arguments) {
  const bool asks_for_help =
      !arguments.empty() && (arguments[0] == "--help" || arguments[0] == "-h");
  if (!asks_for_help && (arguments.empty() || arguments[0] != "build"))
    return FailTable(InvalidArgument("say `penstock table build`; --help says more"));
  const StatusOr<TableBuild> build = asks_for_help ? TableBuild{.help = true, .options = {}}
                                                   : ParseTableBuild(arguments.subspan(1));
  if (!build.ok()) return FailTable(build.status());
  if (build->help) {
    fmt::print("{}", kTableUsage);
    return 0;
  }
  StatusOr<tables::BuildResult> result;
  {
    ProgressLine line;
    result = tables::BuildTable(build->options,
                                [&](const BuildProgress& progress) { line.Show(progress); });
  }
  if (!result.ok()) return FailTable(result.status());
  fmt::print("{}: {} rows of {} {} numbers\n", build->options.output, result->rows,
             result->dimension, DTypeName(build->options.dtype));
  return 0;
}

}  // namespace penstock
