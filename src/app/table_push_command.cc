// SPDX-License-Identifier: Apache-2.0
// `penstock table push`: writes the rows of a table into a Redis cluster.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <string>
#include <string_view>

#include "app/command_flags.h"
#include "app/commands.h"
#include "app/progress_line.h"
#include "redis/slot_map.h"
#include "tables/push/push.h"

namespace penstock {
namespace {

using tables::PushOptions;
using tables::PushProgress;
using tables::PushResult;
using tables::PushStep;

constexpr std::string_view kPushUsage =
    R"(Usage: penstock table push --redis=HOST:PORT[,...] --table=NAME [flags] FOLDER

Writes the rows of FOLDER, the folder of a table's version, into a Redis cluster, as the next
generation of the table NAME. When all rows are there, and the replicas have them, servers take
them over. A push that was ended goes on if it is started again. docs/tables.md says more.

  --redis=HOST:PORT,...  some nodes of the cluster; they name the others
  --table=NAME           how all keys of the table begin: the "prefix" of table.json
  --generation=NAME      of the rows; the default is the number after the current one
  --user=NAME            who logs in; the default user if there is only a password
  --password_file=FILE   has only the password
  --tls                  encrypted connections
  --ca_file=FILE         authorities, if the machine does not know them; PEM, as all of these
  --cert_file=FILE       a certificate, if the nodes want one
  --key_file=FILE        its key
  --replicas=N           how many replicas of each master must have the rows; the default is all
                         that are connected
  --partitions=N         in how many hashes the rows lie; the default gives hashes below 1 MB
  --block_rows=N         how many rows a block of dense keys has; the default gives 256 KB
  --restart              drops what another push to this table has begun and not finished
  --grace_s=N            how long the rows of before stay, in seconds; 300 is the default
  --unfinished_s=N       how long the rows of a push stay that nobody goes on with; 86400, a day
  --timeout_s=N          ends the push if a node does not answer for so long; 60
  --inflight_mb=N        memory for commands that wait for answers; 32
)";

Status SetNumber(std::string_view name, std::string_view value, uint64_t least, uint64_t most,
                 uint64_t& number) {
  const auto parsed = ParseNumber<uint64_t>(value);
  if (!parsed || *parsed < least || *parsed > most)
    return InvalidArgument("--{} is a whole number from {} to {}, not '{}'", name, least, most,
                           value);
  number = *parsed;
  return OkStatus();
}

constexpr uint64_t kSecondsMax = 30 * 86400;

Status SetRedis(std::string_view value, PushOptions& options) {
  while (!value.empty()) {
    const size_t comma = std::min(value.find(','), value.size());
    StatusOr<redis::Address> address = redis::ParseAddress(value.substr(0, comma));
    if (!address.ok()) return InvalidArgument("--redis: {}", MessageOf(address.status()));
    options.redis.addresses.push_back(*std::move(address));
    value.remove_prefix(std::min(comma + 1, value.size()));
  }
  return OkStatus();
}
Status CheckName(std::string_view flag, std::string_view value) {
  if (tables::IsRedisName(value)) return OkStatus();
  return InvalidArgument(
      "--{} has at most 128 letters, digits and '_', '-', '.', ':', '/'; not '{:.200}'", flag,
      value);
}
Status SetTable(std::string_view value, PushOptions& options) {
  options.redis.prefix = value;
  return CheckName("table", value);
}
Status SetGeneration(std::string_view value, PushOptions& options) {
  options.generation = value;
  return CheckName("generation", value);
}
template <std::string tables::RedisSettings::*kMember>
Status SetText(std::string_view value, PushOptions& options) {
  options.redis.*kMember = value;
  return OkStatus();
}
Status SetSwitch(std::string_view name, std::string_view value, bool& is_on) {
  if (value != "true" && value != "false")
    return InvalidArgument("--{} is true or false, not '{}'", name, value);
  is_on = value == "true";
  return OkStatus();
}
Status SetTls(std::string_view value, PushOptions& options) {
  return SetSwitch("tls", value, options.redis.tls);
}
Status SetRestart(std::string_view value, PushOptions& options) {
  return SetSwitch("restart", value, options.restarts);
}
Status SetReplicas(std::string_view value, PushOptions& options) {
  return SetNumber("replicas", value, 0, 100, options.replicas.emplace());
}
Status SetPartitions(std::string_view value, PushOptions& options) {
  return SetNumber("partitions", value, 1, 1 << 24, options.parts.partitions.emplace());
}
Status SetBlockRows(std::string_view value, PushOptions& options) {
  return SetNumber("block_rows", value, 1, 1 << 24, options.parts.block_rows.emplace());
}
Status SetGrace(std::string_view value, PushOptions& options) {
  uint64_t seconds = 0;
  TRY(SetNumber("grace_s", value, 1, kSecondsMax, seconds));
  options.grace = std::chrono::seconds(seconds);
  return OkStatus();
}
Status SetUnfinished(std::string_view value, PushOptions& options) {
  uint64_t seconds = 0;
  TRY(SetNumber("unfinished_s", value, 60, kSecondsMax, seconds));
  options.unfinished = std::chrono::seconds(seconds);
  return OkStatus();
}
Status SetTimeout(std::string_view value, PushOptions& options) {
  uint64_t seconds = 0;
  TRY(SetNumber("timeout_s", value, 1, 3600, seconds));
  options.timeout = std::chrono::seconds(seconds);
  return OkStatus();
}
Status SetInflight(std::string_view value, PushOptions& options) {
  uint64_t megabytes = 0;
  TRY(SetNumber("inflight_mb", value, 1, 4096, megabytes));
  options.inflight_bytes = megabytes << 20;
  return OkStatus();
}

using PushFlag = CommandFlag<PushOptions>;
using tables::RedisSettings;
constexpr std::array kPushFlags = {
    PushFlag{"redis", &SetRedis},
    PushFlag{"table", &SetTable},
    PushFlag{"generation", &SetGeneration},
    PushFlag{"user", &SetText<&RedisSettings::user>},
    PushFlag{"password_file", &SetText<&RedisSettings::password_file>},
    PushFlag{"tls", &SetTls, /*is_switch=*/true},
    PushFlag{"ca_file", &SetText<&RedisSettings::ca_file>},
    PushFlag{"cert_file", &SetText<&RedisSettings::cert_file>},
    PushFlag{"key_file", &SetText<&RedisSettings::key_file>},
    PushFlag{"replicas", &SetReplicas},
    PushFlag{"partitions", &SetPartitions},
    PushFlag{"block_rows", &SetBlockRows},
    PushFlag{"restart", &SetRestart, /*is_switch=*/true},
    PushFlag{"grace_s", &SetGrace},
    PushFlag{"unfinished_s", &SetUnfinished},
    PushFlag{"timeout_s", &SetTimeout},
    PushFlag{"inflight_mb", &SetInflight}};

StatusOr<CommandLine> ParsePush(std::span<const std::string> arguments, PushOptions& options) {
  ASSIGN_OR_RETURN(CommandLine line, ParseCommand<PushOptions>(arguments, kPushFlags, options));
  if (line.asks_for_help) return line;
  options.source = line.input;
  const RedisSettings& redis = options.redis;
  if (options.source.empty())
    return InvalidArgument("say which FOLDER has the rows, as /models/items/1");
  if (redis.addresses.empty())
    return InvalidArgument("--redis is missing: the address of a node, as 10.0.0.1:6379");
  if (redis.prefix.empty())
    return InvalidArgument("--table is missing: the name of the table in Redis");
  if (!redis.tls && !(redis.ca_file.empty() && redis.cert_file.empty() && redis.key_file.empty()))
    return InvalidArgument("there are certificates, so say --tls, too");
  if (redis.cert_file.empty() != redis.key_file.empty())
    return InvalidArgument("say both --cert_file and --key_file, or neither");
  if (!redis.user.empty() && redis.password_file.empty())
    return InvalidArgument("there is a --user, so say --password_file, too");
  return line;
}

void ShowPush(const PushProgress& progress, ProgressLine& line) {
  switch (progress.step) {
    case PushStep::kCheck:
      return line.ShowStep("checking the rows");
    case PushStep::kWrite:
      return line.Show(static_cast<double>(progress.bytes) /
                           static_cast<double>(std::max<uint64_t>(progress.bytes_all, 1)),
                       fmt::format("{} rows", progress.rows));
    case PushStep::kConfirm:
      return line.ShowStep("all rows are written; waiting for the replicas");
    case PushStep::kSwitch:
      return line.ShowStep("switching");
  }
}

void PrintPush(const PushOptions& options, const PushResult& result) {
  const tables::Generation& generation = result.generation;
  if (result.was_current) {
    fmt::print("{}: an earlier push has made these rows generation {} already\n",
               options.redis.prefix, generation.name);
    return;
  }
  fmt::print("{}: generation {} has {} rows of {} {} elements in {}{}\n", options.redis.prefix,
             generation.name, generation.rows, generation.dimension, generation.dtype,
             generation.block_rows > 0 ? fmt::format("blocks of {}", generation.block_rows)
                                       : fmt::format("{} hashes", generation.partitions),
             result.rows_kept > 0
                 ? fmt::format("; {} of them were there from an earlier attempt", result.rows_kept)
                 : "");
  if (!result.before.empty()) {
    fmt::print("generation {} is dropped in {} s\n", result.before, options.grace.count());
    return;
  }
  fmt::print("to serve it, a folder needs this table.json: ");
  fmt::print(R"({{"store": "redis", "key_type": "{}", "dtype": "{}", "dimension": {}, )",
             generation.key_type, generation.dtype, generation.dimension);
  fmt::print(R"("redis": {{"addresses": ["{}"], "prefix": "{}"}}}}{})",
             options.redis.addresses[0].ToString(), options.redis.prefix, "\n");
}

int FailPush(const Status& status) {
  fmt::print(stderr, "penstock table push: {}\n", MessageOf(status));
  return 1;
}

}  // namespace

int TablePushCommand(std::span<const std::string> arguments) {
  PushOptions options;
  const StatusOr<CommandLine> command = ParsePush(arguments, options);
  if (!command.ok()) return FailPush(command.status());
  if (command->asks_for_help) {
    fmt::print("{}", kPushUsage);
    return 0;
  }
  StatusOr<PushResult> result;
  {
    ProgressLine line(ProgressLine::WithoutTerminal::kLines);
    result =
        tables::PushTable(options, [&](const PushProgress& progress) { ShowPush(progress, line); });
  }
  if (!result.ok()) return FailPush(result.status());
  PrintPush(options, *result);
  return 0;
}

}  // namespace penstock
