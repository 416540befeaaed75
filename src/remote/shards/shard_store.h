// SPDX-License-Identifier: Apache-2.0
// The rows of a table that other servers have, in shards.
#pragma once

#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "base/status.h"
#include "remote/core.h"
#include "remote/health.h"
#include "remote/shards/sharded_table.h"
#include "tables/store.h"

namespace penstock::remote {

// Asks the targets of the shards for rows, and from time to time what they are: a target that has
// another shard, or another table, gets no requests. Thread-safe.
class ShardStore final : public tables::Store {
 public:
  // `wanted` is the table of which each target must have its shard.
  ShardStore(std::shared_ptr<RemoteLoops> loops, std::shared_ptr<const ShardedTable> table,
             const tables::TableDescription& wanted);
  ~ShardStore() override;

  const tables::StoreInfo& info() const override { return table_->info; }
  bool answers_in_find() const override { return false; }
  void Find(const tables::Lookup& lookup, absl::AnyInvocable<void(Status)> done) override;

 private:
  // Ended last: it runs the callbacks of calls that end with their channels.
  const std::shared_ptr<RemoteLoops> loops_;
  const std::shared_ptr<const ShardedTable> table_;
  std::vector<std::shared_ptr<HealthChecker>> checkers_;  // by shard
};

}  // namespace penstock::remote
