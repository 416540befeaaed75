// SPDX-License-Identifier: Apache-2.0
// `penstock table`: `build` makes the folder of a table from a text file; `extract` takes the large
// tables out of an ONNX model.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "app/command_flags.h"
#include "app/commands.h"
#include "app/progress_line.h"
#include "tables/extract/extract.h"
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

constexpr std::array kTableFlags = {CommandFlag<BuildOptions>{"output", &SetOutput},
                                    CommandFlag<BuildOptions>{"key_type", &SetKeyType},
                                    CommandFlag<BuildOptions>{"dtype", &SetDType},
                                    CommandFlag<BuildOptions>{"delimiter", &SetDelimiter},
                                    CommandFlag<BuildOptions>{"header", &SetHeader},
                                    CommandFlag<BuildOptions>{"default_value", &SetDefaultValue},
                                    CommandFlag<BuildOptions>{"shard", &SetShard}};

StatusOr<CommandLine> ParseTableBuild(std::span<const std::string> arguments,
                                      BuildOptions& options) {
  ASSIGN_OR_RETURN(CommandLine line, ParseCommand<BuildOptions>(arguments, kTableFlags, options));
  if (line.asks_for_help) return line;
  options.input = line.input;
  if (options.input.empty()) return InvalidArgument("say which FILE has the rows");
  if (options.output.empty())
    return InvalidArgument("--output is missing: where is the table written to?");
  return line;
}

void ShowProgress(const BuildProgress& progress, ProgressLine& line) {
  if (progress.makes_index)
    return line.ShowStep(fmt::format("{} rows read; making the index", progress.rows));
  line.Show(static_cast<double>(progress.bytes) /
                static_cast<double>(std::max<uint64_t>(progress.bytes_all, 1)),
            fmt::format("{} rows", progress.rows));
}

int FailTable(const Status& status) {
  fmt::print(stderr, "penstock table: {}\n", MessageOf(status));
  return 1;
}

int BuildCommand(std::span<const std::string> arguments) {
  BuildOptions options;
  const StatusOr<CommandLine> command = ParseTableBuild(arguments, options);
  if (!command.ok()) return FailTable(command.status());
  if (command->asks_for_help) {
    fmt::print("{}", kTableUsage);
    return 0;
  }
  StatusOr<tables::BuildResult> result;
  {
    ProgressLine line(ProgressLine::WithoutTerminal::kNothing);
    result = tables::BuildTable(
        options, [&](const BuildProgress& progress) { ShowProgress(progress, line); });
  }
  if (!result.ok()) return FailTable(result.status());
  fmt::print("{}: {} rows of {} {} numbers\n", options.output, result->rows, result->dimension,
             DTypeName(options.dtype));
  return 0;
}

using tables::ExtractOptions;
using tables::ExtractProgress;
using tables::ExtractResult;

constexpr std::string_view kExtractUsage =
    R"(Usage: penstock table extract --model=MODEL --output=FOLDER [flags]

Cuts an ONNX model in two: the large tables that its inputs look up (Gather), and the rest. FOLDER
gets the tables, the rest, and the file models.config, by which `penstock serve` serves them as one
model with the inputs and outputs of the first one. docs/tables.md says what is taken out.

  --model=MODEL      a file .onnx, or the folder of a version that has one
  --output=FOLDER    the folder, which must not exist
  --name=NAME        of the model that is served; the default goes by the name of MODEL
  --bytes_min=BYTES  smaller tables stay in the model, as 1000000, 16MiB or 1GiB; the default is
                     64MiB
)";

Status SetBytes(std::string_view value, ExtractOptions& options) {
  static constexpr std::array<std::pair<std::string_view, int>, 3> kUnits = {
      {{"KiB", 10}, {"MiB", 20}, {"GiB", 30}}};
  std::string_view digits = value;
  int shift = 0;
  for (const auto& [unit, bits] : kUnits) {
    if (!digits.ends_with(unit)) continue;
    digits.remove_suffix(unit.size());
    shift = bits;
    break;
  }
  const std::optional<uint64_t> number = ParseNumber<uint64_t>(digits);
  if (!number || *number == 0 || *number > (UINT64_MAX >> shift))
    return InvalidArgument("--bytes_min is as 1000000, 16MiB or 1GiB, not '{}'", value);
  options.bytes_min = *number << shift;
  return OkStatus();
}

constexpr std::array kExtractFlags = {
    CommandFlag<ExtractOptions>{"model",
                                [](std::string_view value, ExtractOptions& options) {
                                  options.model = value;
                                  return OkStatus();
                                }},
    CommandFlag<ExtractOptions>{"output",
                                [](std::string_view value, ExtractOptions& options) {
                                  options.output = value;
                                  return OkStatus();
                                }},
    CommandFlag<ExtractOptions>{"name",
                                [](std::string_view value, ExtractOptions& options) {
                                  options.name = value;
                                  return OkStatus();
                                }},
    CommandFlag<ExtractOptions>{"bytes_min", &SetBytes},
    CommandFlag<ExtractOptions>{"bytes-min", &SetBytes}};

StatusOr<CommandLine> ParseExtract(std::span<const std::string> arguments,
                                   ExtractOptions& options) {
  ASSIGN_OR_RETURN(CommandLine line,
                   ParseCommand<ExtractOptions>(arguments, kExtractFlags, options));
  if (line.asks_for_help) return line;
  if (options.model.empty()) options.model = line.input;
  if (options.model.empty()) return InvalidArgument("--model is missing: what is cut in two?");
  if (!line.input.empty() && line.input != options.model)
    return InvalidArgument("one at a time, not both '{}' and '{}'", options.model, line.input);
  if (options.output.empty())
    return InvalidArgument("--output is missing: where are the parts written to?");
  return line;
}

std::string MegaBytes(uint64_t bytes) {
  return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6);
}

void PrintResult(const ExtractResult& result) {
  for (const tables::ExtractedTable& table : result.tables)
    fmt::print("took   {}  {}: {} rows of {} {} numbers, looked up {}; the model {}\n",
               MegaBytes(table.bytes), table.name, table.rows, table.dimension, table.dtype,
               table.gathers == 1 ? "once" : fmt::format("{} times", table.gathers), table.model);
  for (const tables::KeptTensor& kept : result.kept)
    fmt::print("left   {}  {}: {}\n", MegaBytes(kept.bytes), kept.name, kept.reason);
  fmt::print("rest   {}\n", MegaBytes(result.rest_bytes));
  fmt::print("\nto serve the model '{}': penstock serve --model_config_file={}\n", result.name,
             result.config_file);
}

int FailExtract(const Status& status) {
  fmt::print(stderr, "penstock table extract: {}\n", MessageOf(status));
  return 1;
}

int ExtractCommand(std::span<const std::string> arguments) {
  ExtractOptions options;
  const StatusOr<CommandLine> command = ParseExtract(arguments, options);
  if (!command.ok()) return FailExtract(command.status());
  if (command->asks_for_help) {
    fmt::print("{}", kExtractUsage);
    return 0;
  }
  StatusOr<ExtractResult> result;
  {
    ProgressLine line(ProgressLine::WithoutTerminal::kNothing);
    result = tables::ExtractTables(options, [&](const ExtractProgress& progress) {
      line.Show(static_cast<double>(progress.bytes) /
                    static_cast<double>(std::max<uint64_t>(progress.bytes_all, 1)),
                MegaBytes(progress.bytes));
    });
  }
  if (!result.ok()) return FailExtract(result.status());
  PrintResult(*result);
  return 0;
}

}  // namespace

int TableCommand(std::span<const std::string> arguments) {
  const std::string_view step = arguments.empty() ? "" : std::string_view(arguments[0]);
  if (step == "build") return BuildCommand(arguments.subspan(1));
  if (step == "push") return TablePushCommand(arguments.subspan(1));
  if (step == "extract") return ExtractCommand(arguments.subspan(1));
  if (step == "--help" || step == "-h") {
    fmt::print(
        "Usage: penstock table build --output=FOLDER FILE\n"
        "       penstock table push --redis=HOST:PORT --table=NAME FOLDER\n"
        "       penstock table extract --model=MODEL --output=FOLDER\n\n"
        "build makes the folder of a table from a text file; push writes the rows of a folder\n"
        "into a Redis cluster; extract takes the large tables out of an ONNX model. `--help` "
        "behind\n"
        "each of them says more.\n");
    return 0;
  }
  return FailTable(
      InvalidArgument("say `penstock table build`, `penstock table push` or `penstock table "
                      "extract`; --help says more"));
}

}  // namespace penstock
