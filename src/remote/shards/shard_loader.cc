// SPDX-License-Identifier: Apache-2.0
#include "remote/shards/shard_loader.h"

#include <optional>
#include <string>
#include <vector>

#include "infer/served_model.h"
#include "remote/configured_targets.h"
#include "remote/messages.h"
#include "remote/remote_loader.h"
#include "remote/shards/shard_store.h"
#include "remote/token_file.h"
#include "tables/table_model.h"

namespace penstock::remote {
namespace {

constexpr size_t kFailureBytesMax = 2000;

RemoteVersion VersionOf(const RemoteVersion& all, const RemoteShard& shard) {
  RemoteVersion version = all;
  version.shards.clear();
  version.model = shard.model;
  version.targets = shard.targets;
  return version;
}

}  // namespace

// Asks all targets at the same time. Thread-safe. The calls keep it, since some may end after the
// load.
class ShardLoader::Search final : public std::enable_shared_from_this<Search> {
 public:
  explicit Search(std::vector<std::shared_ptr<RemoteCore>> shards)
      : shards_(std::move(shards)),
        missing_(shards_.size()),
        found_(shards_.size()),
        failures_(shards_.size()) {}

  // Begins. The cores must be closed after Wait.
  void Ask() {
    for (size_t shard = 0; shard < shards_.size(); ++shard) {
      shards_[shard]->Open([self = shared_from_this(), shard](const auto& targets) {
        if (targets.ok()) return self->AskTargets(shard, **targets);
        self->OnFailure(shard, "", targets.status());
      });
    }
  }

  // Returns what was found of each shard.
  StatusOr<std::vector<FoundShard>> Wait() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    while (missing_ > 0 && found_count_ < found_.size() && mistake_.ok() && !is_cancelled_)
      changed_.Wait(mutex_);
    if (is_cancelled_) return absl::CancelledError("the load was cancelled");
    TRY(mistake_);
    std::vector<FoundShard> all;
    for (size_t shard = 0; shard < found_.size(); ++shard) {
      if (!found_[shard])
        return Error(StatusCode::kUnavailable, "shard {} ({}) is at none of its targets: {}", shard,
                     shards_[shard]->remote.model,
                     failures_[shard].empty() ? "there are none" : failures_[shard]);
      all.push_back(*found_[shard]);
    }
    return all;
  }

  void Cancel() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    is_cancelled_ = true;
    changed_.NotifyAll();
  }

 private:
  void AskTargets(size_t shard, const Targets& targets) EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      missing_ += targets.size() - 1;
      changed_.NotifyAll();
    }
    const RemoteCore& core = *shards_[shard];
    for (const std::shared_ptr<Target>& target : targets) {
      net::UnaryRequest request{.path = kPredictMethod,
                                .message = WriteDescriptionQuestion(core.remote),
                                .metadata = core.metadata,
                                .deadline = std::chrono::steady_clock::now() +
                                            core.settings.connect_timeout + kDescribeTime,
                                .answer_bytes_max = kDescriptionBytesMax};
      target->channels[0]->Start(std::move(request), [self = shared_from_this(), shard,
                                                      target](net::UnaryAnswer&& answer) {
        self->OnAnswer(shard, *target, answer);
      });
    }
  }

  void OnAnswer(size_t shard, const Target& target, const net::UnaryAnswer& answer)
      EXCLUDES(mutex_) {
    StatusOr<FoundShard> found = ReadFoundShard(answer);
    if (!found.ok()) {
      // A target that cannot be reached may have the shard.
      if (answer.is_from_server || answer.status.ok()) target.record->LeaveOut();
      return OnFailure(shard, target.name + ": ", found.status());
    }
    MutexLock lock(mutex_);
    --missing_;
    Take(shard, target, *std::move(found));
    changed_.NotifyAll();
  }

  // `target`: how a message about it begins.
  void OnFailure(size_t shard, const std::string& target, const Status& status) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    --missing_;
    std::string& failures = failures_[shard];
    if (failures.size() < kFailureBytesMax)
      failures += fmt::format("{}{}{}", failures.empty() ? "" : "; ", target, MessageOf(status));
    changed_.NotifyAll();
  }

  void Take(size_t shard, const Target& target, FoundShard&& found) REQUIRES(mutex_) {
    Status status = CheckIsShard(found.table, shard, shards_.size());
    for (const std::optional<FoundShard>& other : found_) {
      if (status.ok() && other) status = CheckSameTable(found.table, other->table);
    }
    if (!status.ok()) {
      target.record->LeaveOut();
      if (mistake_.ok())
        mistake_ = InvalidArgument("target {}: its model '{}' {}", target.name,
                                   shards_[shard]->remote.model, MessageOf(status));
      return;
    }
    if (!found_[shard]) ++found_count_;
    if (!found_[shard]) found_[shard] = std::move(found);
  }

  const std::vector<std::shared_ptr<RemoteCore>> shards_;
  Mutex mutex_;
  CondVar changed_;
  size_t missing_ GUARDED_BY(mutex_);  // answers; at first, the targets of each shard
  size_t found_count_ GUARDED_BY(mutex_) = 0;
  bool is_cancelled_ GUARDED_BY(mutex_) = false;
  Status mistake_ GUARDED_BY(mutex_);
  std::vector<std::optional<FoundShard>> found_ GUARDED_BY(mutex_);  // by shard
  std::vector<std::string> failures_ GUARDED_BY(mutex_);             // by shard
};

std::shared_ptr<ShardedTable> ShardLoader::MakeTable(RemoteLoops& loops,
                                                     const std::string& token) const {
  auto table = std::make_shared<ShardedTable>();
  const auto pool = std::make_shared<ChannelPool>();
  for (size_t i = 0; i < remote_.shards.size(); ++i) {
    RemoteVersion remote = VersionOf(remote_, remote_.shards[i]);
    std::shared_ptr<TargetSource> source;
    if (watch_ != nullptr) {
      remote.version = id_.version;
      remote.model_version = id_.version;
      source = watch_->TargetsOf(i, id_.version);
    } else {
      source = std::make_shared<ConfiguredTargets>(id_.name, remote.targets, settings_.dns_interval,
                                                   loops);
    }
    table->shards.push_back(std::make_shared<RemoteCore>(id_, std::move(remote), settings_, token,
                                                         engine_, loops, metrics_,
                                                         std::move(source), pool));
    table->shards.back()->is_shard = true;
  }
  return table;
}

StatusOr<std::unique_ptr<core::Servable>> ShardLoader::Load() {
  ASSIGN_OR_RETURN(const std::string token, ReadToken(remote_.token_file));
  const std::shared_ptr<RemoteLoops> loops = loops_.Get();
  std::shared_ptr<ShardedTable> table = MakeTable(*loops, token);
  const auto search = std::make_shared<Search>(table->shards);
  {
    MutexLock lock(mutex_);
    search_ = search;
  }
  search->Ask();
  StatusOr<std::vector<FoundShard>> found = search->Wait();
  {
    MutexLock lock(mutex_);
    search_ = nullptr;
  }
  if (!found.ok()) {
    for (const auto& core : table->shards) core->Close();  // before the loops
    return std::move(found).status();
  }
  const tables::TableDescription& description = found->front().table;
  table->info = {.key_type = description.key_type,
                 .dtype = description.dtype,
                 .dimension = description.dimension,
                 .row_bytes = description.dimension * DTypeBytes(description.dtype),
                 .rows = 0,
                 .shard = {},
                 .asks_servers = true,
                 .may_lack_rows = remote_.gives_default_rows};
  for (const FoundShard& shard : *found) table->info.rows += shard.table.rows;
  auto store = std::make_unique<ShardStore>(loops, std::move(table), description);
  auto model = std::make_unique<tables::TableModel>(
      std::move(store), tables::TableModelOptions{.id = id_,
                                                  .default_row = description.default_row,
                                                  .metrics = &metrics_,
                                                  .engine = &engine_});
  return MakeServedModel(id_, std::move(model), metrics_, inline_options_);
}

void ShardLoader::Cancel() {
  MutexLock lock(mutex_);
  if (search_ != nullptr) search_->Cancel();
}

}  // namespace penstock::remote
