// SPDX-License-Identifier: Apache-2.0
#include "remote/shards/shard_store.h"

#include <set>
#include <string>
#include <utility>

#include "base/log.h"
#include "remote/messages.h"
#include "remote/remote_loader.h"
#include "remote/shards/shard_run.h"

namespace penstock::remote {
namespace {

// Judges what the targets of a shard say of themselves. Owned by loop 0.
class ShardJudge final {
 public:
  ShardJudge(const RemoteCore& core, size_t index, size_t count, tables::TableDescription wanted)
      : id_(core.id),
        model_(core.remote.model),
        index_(index),
        count_(count),
        wanted_(std::move(wanted)) {}

  bool IsGood(const Target& target, const net::UnaryAnswer& answer) {
    StatusOr<FoundShard> found = ReadFoundShard(answer);
    Status status = found.status();
    if (found.ok()) status = CheckIsShard(found->table, index_, count_);
    if (status.ok()) status = CheckSameTable(found->table, wanted_);
    if (status.ok()) {
      wrong_.erase(target.name);
      target.record->OnRecovered();
      return true;
    }
    // It has a wrong table: that is no passing failure, so somebody should know, once.
    if (answer.status.ok() && wrong_.insert(target.name).second)
      PENSTOCK_LOG(kWarning, "{}: the target {} gets no requests: its model '{}' {}",
                   id_.ToString(), target.name, model_, MessageOf(status));
    return false;
  }

 private:
  const core::ServableId id_;
  const std::string model_;
  const size_t index_;
  const size_t count_;
  const tables::TableDescription wanted_;
  std::set<std::string> wrong_;  // targets of which the log knows
};

}  // namespace

ShardStore::ShardStore(std::shared_ptr<RemoteLoops> loops,
                       std::shared_ptr<const ShardedTable> table,
                       const tables::TableDescription& wanted)
    : loops_(std::move(loops)), table_(std::move(table)) {
  const size_t count = table_->shards.size();
  for (size_t i = 0; i < count; ++i) {
    const std::shared_ptr<RemoteCore>& core = table_->shards[i];
    const auto judge = std::make_shared<ShardJudge>(*core, i, count, wanted);
    checkers_.push_back(std::make_shared<HealthChecker>(
        core,
        HealthQuestion{.path = kPredictMethod,
                       .message = WriteDescriptionQuestion(core->remote),
                       .answer_bytes_max = kDescriptionBytesMax,
                       .is_good = [judge](const Target& target, const net::UnaryAnswer& answer) {
                         return judge->IsGood(target, answer);
                       }}));
    checkers_.back()->Start();
  }
}

ShardStore::~ShardStore() {
  for (const auto& checker : checkers_) checker->Stop();
  // All requests have been answered. What is left are calls that have lost a race.
  for (const auto& core : table_->shards) core->Close();
}

void ShardStore::Find(const tables::Lookup& lookup, absl::AnyInvocable<void(Status)> done) {
  // The answer may come before Start has returned, and then the version may be unloaded.
  const std::shared_ptr<RemoteLoops> loops = loops_;
  ShardRun::Start(table_, lookup, std::move(done));
}

}  // namespace penstock::remote
