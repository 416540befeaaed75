// SPDX-License-Identifier: Apache-2.0
// The order of a push:
// 1. The key PREFIX:push says which rows become which generation. A push that finds it there goes
//    on if it has the same rows.
// 2. Each part, a hash or a block, is written by one command, unless it is there already: so a part
//    is whole or missing, also after a failover. It gets a time to live.
// 3. Pass after pass takes the time to live away, writes parts that a failover has lost, and waits
//    for the replicas, until a pass finds nothing to do: then each part was there, for good, after
//    the replicas had it.
// 4. PREFIX:current is set, if it is still what it was at the start.
// 5. The parts of the generation before get a time to live, and PREFIX:push is removed.
// A push that is killed can be started again after each of these steps.
#include "tables/push/push.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <filesystem>
#include <thread>
#include <utility>
#include <vector>

#include "base/executor.h"
#include "base/mutex.h"
#include "redis/cluster.h"
#include "tables/manifest.h"
#include "tables/push/commands.h"
#include "tables/push/push_record.h"
#include "tables/redis_rows.h"
#include "tables/redis_store.h"

namespace penstock::tables {
namespace {

using std::chrono::steady_clock;

constexpr size_t kThreads = 4;
// A group of parts is in memory as commands, and once more on its way to a node.
constexpr size_t kCopies = 2;
constexpr uint64_t kPartsInGroup = 1024;
constexpr uint64_t kPartsInPass = 4096;
constexpr int kPassesMax = 20;
constexpr Duration kFirstAnswer = std::chrono::seconds(10);
constexpr std::string_view kWaitMilliseconds = "500";

// Parts from `first` to before `last`.
struct PartRange {
  uint64_t first = 0;
  uint64_t last = 0;
};

std::optional<uint64_t> NumberOf(std::string_view name) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc{} || end != name.data() + name.size()) return std::nullopt;
  return number;
}

// What tells the rows of a folder from others: checksums, or sizes and times of change.
std::string DescribeSource(const std::string& folder, const Manifest& manifest,
                           const StoreInfo& info) {
  std::string text = fmt::format("{}-{}-{}-{}", KeyTypeName(info.key_type), DTypeName(info.dtype),
                                 info.dimension, info.rows);
  for (const std::string& file : {manifest.keys_file, manifest.rows_file}) {
    if (file.empty() || (info.key_type == KeyType::kDense && file == manifest.keys_file)) continue;
    const auto checksum = manifest.checksums.find(file);
    if (checksum != manifest.checksums.end()) {
      text += fmt::format("-{:08x}", checksum->second);
      continue;
    }
    std::error_code ignored;
    const auto changed = std::filesystem::last_write_time(folder + "/" + file, ignored);
    text += fmt::format("-{}", changed.time_since_epoch().count());
  }
  return text;
}

// A table in a cluster, and what is to be done with it. One thread at a time, but for WriteGroup.
class Push final {
 public:
  Push(const PushOptions& options, const std::function<void(const PushProgress&)>& progress)
      : options_(options),
        current_key_(options.redis.prefix + ":current"),
        push_key_(options.redis.prefix + ":push"),
        progress_(progress) {}

  StatusOr<PushResult> Run() {
    TRY(OpenSource());
    TRY(Connect());
    TRY(ReadCurrent());
    TRY(TakeUpRecord());
    if (!result_.was_current) {
      if (Status status = WriteAndSwitch(); !status.ok())
        return Error(status.code(), "{} (the same command goes on with generation '{}')",
                     MessageOf(status), record_->generation.name);
    }
    return std::move(result_);
  }

 private:
  Status OpenSource();
  Status Connect();
  Status ReadCurrent();
  // Decides what this push goes on with, or begins, and sets record_ and parts_.
  Status TakeUpRecord();
  Status FinishOld(const PushRecord& record);
  Status CheckRecord(const PushRecord& record) const;
  StatusOr<std::string> NextName(uint64_t dropped) const;
  Status WriteAndSwitch();
  Status WriteAll();
  Status WriteGroups(PartRange range);
  Status WriteGroup(PartRange group);
  // Asks which parts are there. FAILED_PRECONDITION for those with other contents.
  StatusOr<std::vector<bool>> FindKept(PartRange group, std::span<const PartCommand> made);
  StatusOr<std::vector<bool>> FindKeptBlocks(PartRange group);
  Status Confirm();
  // Returns whether the pass has changed anything.
  StatusOr<bool> ConfirmOnce();
  Status ConfirmGroup(PartRange group, std::vector<uint64_t>& lost, bool& has_changed);
  Status WaitForReplicas();
  Status Switch();
  // Gives all parts of a generation a time to live; 0: removes them.
  Status ExpireAll(const Generation& generation, std::chrono::seconds ttl);

  std::string KeyOf(const Generation& generation, uint64_t part) const {
    return fmt::format("{}:{}:{}", options_.redis.prefix, generation.name, part);
  }
  std::string KeyOf(uint64_t part) const { return KeyOf(record_->generation, part); }
  std::string TimeToLive() const { return std::to_string(options_.unfinished.count()); }
  void Report(uint64_t bytes, uint64_t rows, uint64_t rows_kept) EXCLUDES(mutex_);
  void ReportStep(PushStep step) EXCLUDES(mutex_);

  const PushOptions& options_;
  const std::string current_key_;
  const std::string push_key_;
  const std::function<void(const PushProgress&)>& progress_;
  const std::atomic<bool> never_stops_ = false;
  std::unique_ptr<MmapStore> store_;  // until parts_ has it
  StoreInfo info_;
  std::string source_;
  std::unique_ptr<redis::Cluster> cluster_;
  std::string current_json_;          // empty: there is none
  std::optional<Generation> before_;  // what it says
  std::optional<PushRecord> record_;
  std::optional<SourceParts> parts_;
  std::vector<uint32_t> checksums_;  // of the parts; each is set by the thread that writes it
  PushResult result_;
  Mutex mutex_;
  PushProgress progress_so_far_ GUARDED_BY(mutex_);
};

Status Push::OpenSource() {
  ReportStep(PushStep::kCheck);
  ASSIGN_OR_RETURN(const Manifest manifest, ReadManifest(options_.source));
  if (manifest.redis)
    return InvalidArgument("the rows of {} are in Redis; a push takes a folder with files",
                           options_.source);
  if (manifest.key_type == KeyType::kVocabulary)
    return InvalidArgument("{} is a vocabulary, which has no rows", options_.source);
  if (manifest.indices)
    return InvalidArgument(
        "{} was taken out of an ONNX model: its 'indices' have a meaning only for files",
        options_.source);
  if (manifest.shard.count > 1)
    return InvalidArgument("{} is shard {} of {}; a push takes the whole table", options_.source,
                           manifest.shard.index, manifest.shard.count);
  ASSIGN_OR_RETURN(store_, MmapStore::Open(options_.source, manifest, never_stops_));
  TRY(store_->Check(never_stops_));
  info_ = store_->info();
  source_ = DescribeSource(options_.source, manifest, info_);
  return OkStatus();
}

Status Push::Connect() {
  ASSIGN_OR_RETURN(redis::ClusterOptions cluster,
                   MakeClusterOptions(options_.redis, /*secrets_path=*/"", info_.row_bytes));
  // Nodes that write much are slower than those that only read.
  cluster.connect_timeout = std::chrono::seconds(2);
  cluster.stall_time = std::chrono::seconds(1);
  cluster.silence_max = std::chrono::seconds(10);
  cluster.answer_timeout = options_.timeout;
  // Blocks are compared.
  cluster.bulk_bytes_max = std::max<size_t>(cluster.bulk_bytes_max, 64 << 20);
  ASSIGN_OR_RETURN(cluster_, redis::Cluster::Open(std::move(cluster)));
  return OkStatus();
}

Status Push::ReadCurrent() {
  const SteadyTime deadline = steady_clock::now() + std::min(options_.timeout, kFirstAnswer);
  StatusOr<Commands::Answer> answer =
      RunOne(*cluster_, current_key_, {"GET", current_key_}, deadline);
  if (!answer.ok()) return answer.status();
  current_json_ = answer->text;
  if (answer->kind == redis::TokenKind::kNil) return OkStatus();
  StatusOr<Generation> generation = ReadGeneration(current_json_, info_);
  if (!generation.ok())
    return Error(StatusCode::kFailedPrecondition,
                 "the table '{}' in Redis does not fit {}: the value of '{}': {}",
                 options_.redis.prefix, options_.source, current_key_,
                 MessageOf(generation.status()));
  before_ = *std::move(generation);
  result_.before = before_->name;
  return OkStatus();
}

Status Push::CheckRecord(const PushRecord& record) const {
  const std::string advice =
      "start that one again to finish it, or say --restart to drop what it has written";
  if (record.source != source_)
    return Error(StatusCode::kFailedPrecondition,
                 "a push of other rows to generation '{}' of the table '{}' was begun, and is not "
                 "finished: {}",
                 record.generation.name, options_.redis.prefix, advice);
  if (record.before != before_)
    return Error(StatusCode::kFailedPrecondition,
                 "the push to generation '{}' was begun when another generation was the current "
                 "one: say --restart",
                 record.generation.name);
  const auto differs = [](const auto& wanted, uint64_t has) { return wanted && *wanted != has; };
  if ((!options_.generation.empty() && options_.generation != record.generation.name) ||
      differs(options_.parts.partitions, record.generation.partitions) ||
      differs(options_.parts.block_rows, record.generation.block_rows))
    return Error(StatusCode::kFailedPrecondition,
                 "the push to generation '{}' was begun with other flags: {}",
                 record.generation.name, advice);
  return OkStatus();
}

StatusOr<std::string> Push::NextName(uint64_t dropped) const {
  if (!options_.generation.empty()) {
    if (!before_ || before_->name != options_.generation) return options_.generation;
    return InvalidArgument("--generation={}: that is the current one", options_.generation);
  }
  const std::optional<uint64_t> before = before_ ? NumberOf(before_->name) : 0;
  if (before) return std::to_string(std::max(*before, dropped) + 1);
  return InvalidArgument(
      "the current generation is '{}', which is no number, so --generation must name the new one",
      before_->name);
}

// What a push that was killed after its switch had still to do.
Status Push::FinishOld(const PushRecord& record) {
  ReportStep(PushStep::kSwitch);
  if (record.before) TRY(ExpireAll(*record.before, options_.grace));
  TRY(RunOne(*cluster_, push_key_, {"DEL", push_key_}).status());
  result_.was_current = record.source == source_;
  result_.generation = record.generation;
  result_.before = record.before ? record.before->name : "";
  return OkStatus();
}

Status Push::TakeUpRecord() {
  ASSIGN_OR_RETURN(const Commands::Answer answer, RunOne(*cluster_, push_key_, {"GET", push_key_}));
  uint64_t dropped = 0;
  if (answer.kind != redis::TokenKind::kNil) {
    StatusOr<PushRecord> record = ParsePushRecord(answer.text, info_.key_type == KeyType::kDense);
    if (!record.ok())
      return Error(StatusCode::kFailedPrecondition, "the value of '{}' in Redis is wrong: {}",
                   push_key_, MessageOf(record.status()));
    if (before_ && record->generation.name == before_->name) {
      TRY(FinishOld(*record));
      if (result_.was_current) return OkStatus();
    } else if (options_.restarts) {
      TRY(ExpireAll(record->generation, std::chrono::seconds(0)));
      dropped = NumberOf(record->generation.name).value_or(0);
    } else {
      TRY(CheckRecord(*record));
      record_ = *std::move(record);
    }
  }
  PartOptions options = options_.parts;
  if (record_ && info_.key_type == KeyType::kDense)
    options.block_rows = record_->generation.block_rows;
  if (record_ && info_.key_type != KeyType::kDense)
    options.partitions = record_->generation.partitions;
  ASSIGN_OR_RETURN(parts_, SourceParts::Make(std::move(store_), options));
  checksums_.resize(parts_->parts());
  if (record_) return OkStatus();
  record_.emplace();
  ASSIGN_OR_RETURN(record_->generation.name, NextName(dropped));
  record_->generation.rows = info_.rows;
  record_->generation.partitions = static_cast<uint32_t>(parts_->partitions());
  record_->generation.block_rows = parts_->block_rows();
  record_->generation.key_type = KeyTypeName(info_.key_type);
  record_->generation.dtype = DTypeName(info_.dtype);
  record_->generation.dimension = info_.dimension;
  record_->source = source_;
  record_->before = before_;
  return RunOne(*cluster_, push_key_, {"SET", push_key_, PushRecordJson(*record_)}).status();
}

Status Push::WriteAndSwitch() {
  TRY(WriteAll());
  TRY(Confirm());
  TRY(Switch());
  if (before_) TRY(ExpireAll(*before_, options_.grace));
  TRY(RunOne(*cluster_, push_key_, {"DEL", push_key_}).status());
  result_.generation = record_->generation;
  return OkStatus();
}

Status Push::WriteAll() {
  {
    MutexLock lock(mutex_);
    for (uint64_t part = 0; part < parts_->parts(); ++part)
      progress_so_far_.bytes_all += parts_->BytesOf(part);
  }
  ReportStep(PushStep::kWrite);
  for (uint64_t first = 0; first < parts_->parts();) {
    const uint64_t last = parts_->OrderFrom(first);
    TRY(WriteGroups({first, last}));
    first = last;
  }
  return OkStatus();
}

Status Push::WriteGroups(PartRange range) {
  const size_t bytes_max = options_.inflight_bytes / kThreads / kCopies;
  Mutex mutex;
  uint64_t next = range.first;
  Status problem;
  const auto work = [&] {
    SetThreadName("table-push");
    for (;;) {
      PartRange group;
      {
        MutexLock lock(mutex);
        if (next == range.last || !problem.ok()) return;
        group = {next, next};
        size_t bytes = 0;
        do {
          bytes += parts_->BytesOf(next++);
        } while (next < range.last && bytes + parts_->BytesOf(next) <= bytes_max &&
                 next - group.first < kPartsInGroup);
        group.last = next;
      }
      Status status = WriteGroup(group);
      if (status.ok()) continue;
      MutexLock lock(mutex);
      if (problem.ok()) problem = std::move(status);
    }
  };
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kThreads; ++i) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  return problem;
}

Status Push::WriteGroup(PartRange group) {
  const auto writes = std::make_shared<Commands>();
  std::vector<PartCommand> made;
  for (uint64_t part = group.first; part < group.last; ++part) {
    const std::string key = KeyOf(part);
    writes->Begin(key);
    made.push_back(parts_->AppendWrite(
        part, key, static_cast<uint64_t>(options_.unfinished.count()), writes->commands));
    writes->End();
    checksums_[part] = made.back().checksum;
  }
  // What was read from a file that is gone must not get a time to live.
  TRY(parts_->CheckFiles());
  ASSIGN_OR_RETURN(const std::vector<bool> is_kept,
                   parts_->is_dense() ? FindKeptBlocks(group) : FindKept(group, made));
  writes->Filter([&](size_t number) { return !is_kept[number]; });
  TRY(Commands::Run(*cluster_, writes));
  const auto expires = std::make_shared<Commands>();
  uint64_t bytes = 0, rows = 0, rows_kept = 0;
  for (uint64_t part = group.first; part < group.last; ++part) {
    const PartCommand& command = made[part - group.first];
    const std::string key = KeyOf(part);
    const bool was_there = is_kept[part - group.first];
    if (was_there || !parts_->is_dense()) expires->Add(key, {"EXPIRE", key, TimeToLive()});
    bytes += parts_->BytesOf(part);
    rows += command.rows;
    rows_kept += was_there ? command.rows : 0;
  }
  TRY(Commands::Run(*cluster_, expires));
  Report(bytes, rows, rows_kept);
  return OkStatus();
}

Status OtherContents(std::string_view key) {
  return Error(StatusCode::kFailedPrecondition,
               "'{}' is there already, with other contents: did another program write this "
               "generation? Say another one with --generation",
               key);
}

StatusOr<std::vector<bool>> Push::FindKept(PartRange group, std::span<const PartCommand> made) {
  std::vector<std::string> sentinels;
  for (const PartCommand& command : made) sentinels.push_back(SentinelOf(command.checksum));
  const auto questions = std::make_shared<Commands>();
  for (size_t i = 0; i < made.size(); ++i) {
    const std::string key = KeyOf(group.first + i);
    questions->Add(key, {"HLEN", key});
    questions->Add(key, {"HGET", key, kSentinel}, sentinels[i]);
  }
  TRY(Commands::Run(*cluster_, questions));
  std::vector<bool> is_kept;
  for (size_t i = 0; i < made.size(); ++i) {
    const auto fields = static_cast<uint64_t>(questions->answer(2 * i).number);
    is_kept.push_back(questions->answer(2 * i + 1).is_expected);
    // The same push in another process may have written it between the two answers.
    if (fields != 0 && !(is_kept.back() && fields == made[i].rows + 1))
      return OtherContents(KeyOf(group.first + i));
  }
  return is_kept;
}

StatusOr<std::vector<bool>> Push::FindKeptBlocks(PartRange group) {
  const auto sizes = std::make_shared<Commands>();
  for (uint64_t part = group.first; part < group.last; ++part) {
    const std::string key = KeyOf(part);
    sizes->Add(key, {"STRLEN", key});
  }
  TRY(Commands::Run(*cluster_, sizes));
  std::vector<bool> is_kept(group.last - group.first);
  const auto contents = std::make_shared<Commands>();
  std::vector<uint64_t> asked;
  for (uint64_t part = group.first; part < group.last; ++part) {
    const auto bytes = static_cast<size_t>(sizes->answer(part - group.first).number);
    if (bytes == 0) continue;
    const std::string key = KeyOf(part);
    if (bytes != parts_->BlockOf(part).size()) return OtherContents(key);
    contents->Add(key, {"GET", key}, parts_->BlockOf(part));
    asked.push_back(part);
  }
  TRY(Commands::Run(*cluster_, contents));
  for (size_t i = 0; i < asked.size(); ++i) {
    if (!contents->answer(i).is_expected) return OtherContents(KeyOf(asked[i]));
    is_kept[asked[i] - group.first] = true;
  }
  return is_kept;
}

Status Push::Confirm() {
  ReportStep(PushStep::kConfirm);
  for (int pass = 0; pass < kPassesMax; ++pass) {
    ASSIGN_OR_RETURN(const bool has_changed, ConfirmOnce());
    if (!has_changed) return OkStatus();
    TRY(WaitForReplicas());
  }
  return Error(StatusCode::kUnavailable, "the cluster loses rows again and again");
}

StatusOr<bool> Push::ConfirmOnce() {
  bool has_changed = false;
  std::vector<uint64_t> lost;
  for (uint64_t first = 0; first < parts_->parts(); first += kPartsInPass)
    TRY(ConfirmGroup({first, std::min(first + kPartsInPass, parts_->parts())}, lost, has_changed));
  uint64_t ordered = 0;
  for (const uint64_t part : lost) {
    if (part >= ordered) ordered = parts_->OrderFrom(part);
    TRY(WriteGroup({part, part + 1}));
  }
  return has_changed || !lost.empty();
}

Status Push::ConfirmGroup(PartRange group, std::vector<uint64_t>& lost, bool& has_changed) {
  std::vector<std::string> sentinels;
  for (uint64_t part = group.first; part < group.last; ++part)
    sentinels.push_back(SentinelOf(checksums_[part]));
  const auto commands = std::make_shared<Commands>();
  for (uint64_t part = group.first; part < group.last; ++part) {
    const std::string key = KeyOf(part);
    commands->Add(key, {"PERSIST", key});
    if (parts_->is_dense()) {
      commands->Add(key, {"STRLEN", key});
    } else {
      commands->Add(key, {"HGET", key, kSentinel}, sentinels[part - group.first]);
    }
  }
  TRY(Commands::Run(*cluster_, commands));
  for (uint64_t part = group.first; part < group.last; ++part) {
    const size_t number = 2 * (part - group.first);
    has_changed = has_changed || commands->answer(number).number != 0;
    const Commands::Answer& answer = commands->answer(number + 1);
    const bool is_there = parts_->is_dense()
                              ? static_cast<size_t>(answer.number) == parts_->BlockOf(part).size()
                              : answer.is_expected;
    if (!is_there) lost.push_back(part);
  }
  return OkStatus();
}

Status Push::WaitForReplicas() {
  const SteadyTime end = steady_clock::now() + options_.timeout;
  const std::array<std::string_view, 1> ping = {"PING"};
  for (;;) {
    uint64_t most = options_.replicas.value_or(0);
    if (!options_.replicas) {
      for (const redis::MasterAnswer& master : cluster_->CallMasters(redis::MakeCommand(ping)))
        most = std::max<uint64_t>(most, master.replicas);
    }
    if (most == 0) return OkStatus();
    const std::string count = std::to_string(most);
    const std::array<std::string_view, 3> wait = {"WAIT", count, kWaitMilliseconds};
    Status problem;
    for (const redis::MasterAnswer& master : cluster_->CallMasters(redis::MakeCommand(wait))) {
      if (master.value.status().code() == StatusCode::kFailedPrecondition)
        return Error(StatusCode::kFailedPrecondition,
                     "{} cannot wait for its replicas: {}; --replicas=0 does not wait",
                     master.address.ToString(), MessageOf(master.value.status()));
      const uint64_t wanted = options_.replicas.value_or(master.replicas);
      if (!master.value.ok()) {
        problem = master.value.status();
      } else if (static_cast<uint64_t>(master.value->number) < wanted) {
        problem =
            Error(StatusCode::kUnavailable,
                  "{} of {} replicas of {} have the rows; --replicas={} would be content "
                  "with that",
                  master.value->number, wanted, master.address.ToString(), master.value->number);
      }
    }
    if (problem.ok()) return OkStatus();
    if (steady_clock::now() >= end) return problem;
  }
}

Status Push::Switch() {
  ReportStep(PushStep::kSwitch);
  const std::string json = GenerationJson(record_->generation);
  // A failover may lose the value once it is written, so it is read after the replicas have it.
  for (int pass = 0; pass < kPassesMax; ++pass) {
    ASSIGN_OR_RETURN(const Commands::Answer current,
                     RunOne(*cluster_, current_key_, {"GET", current_key_}));
    if (current.text == json) return OkStatus();
    ASSIGN_OR_RETURN(const Commands::Answer record,
                     RunOne(*cluster_, push_key_, {"GET", push_key_}));
    if (current.text != current_json_ || record.text != PushRecordJson(*record_)) {
      TRY(ExpireAll(record_->generation, options_.unfinished));
      return Error(StatusCode::kAborted,
                   "another push of the table '{}' has come between: its generation, or its "
                   "restart, is kept",
                   options_.redis.prefix);
    }
    TRY(RunOne(*cluster_, current_key_, {"SET", current_key_, json}).status());
    TRY(WaitForReplicas());
  }
  return Error(StatusCode::kUnavailable, "the cluster loses '{}' again and again", current_key_);
}

Status Push::ExpireAll(const Generation& generation, std::chrono::seconds ttl) {
  const uint64_t parts = generation.block_rows > 0
                             ? (generation.rows + generation.block_rows - 1) / generation.block_rows
                             : generation.partitions;
  const std::string seconds = std::to_string(ttl.count());
  for (uint64_t first = 0; first < parts; first += kPartsInPass) {
    const auto commands = std::make_shared<Commands>();
    for (uint64_t part = first; part < std::min(first + kPartsInPass, parts); ++part) {
      const std::string key = KeyOf(generation, part);
      if (ttl.count() > 0) {
        commands->Add(key, {"EXPIRE", key, seconds});
      } else {
        commands->Add(key, {"UNLINK", key});
      }
    }
    TRY(Commands::Run(*cluster_, commands));
  }
  return OkStatus();
}

void Push::Report(uint64_t bytes, uint64_t rows, uint64_t rows_kept) {
  MutexLock lock(mutex_);
  // A part that a failover has lost is written twice.
  progress_so_far_.bytes = std::min(progress_so_far_.bytes + bytes, progress_so_far_.bytes_all);
  progress_so_far_.rows = std::min(progress_so_far_.rows + rows, info_.rows);
  result_.rows_kept += rows_kept;
  progress_(progress_so_far_);
}

void Push::ReportStep(PushStep step) {
  MutexLock lock(mutex_);
  progress_so_far_.step = step;
  progress_(progress_so_far_);
}

}  // namespace

StatusOr<PushResult> PushTable(const PushOptions& options,
                               const std::function<void(const PushProgress&)>& progress) {
  return Push(options, progress).Run();
}

}  // namespace penstock::tables
