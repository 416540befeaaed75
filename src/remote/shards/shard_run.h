// SPDX-License-Identifier: Apache-2.0
// One look-up in a table whose shards are on other servers.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "base/buffer.h"
#include "base/status.h"
#include "core/servable.h"
#include "remote/run.h"
#include "remote/shards/sharded_table.h"
#include "tables/store.h"

namespace penstock::remote {

// Divides the keys among the shards, asks those that have some, and copies the rows of each answer
// to the places of their keys. It holds neither a thread nor a slot while it waits. One thread at a
// time: it begins on any thread, and then belongs to a loop.
class ShardRun final : public std::enable_shared_from_this<ShardRun> {
 public:
  using Done = absl::AnyInvocable<void(Status)>;

  // Called on any thread. `done` is called once, perhaps before this returns; then the version may
  // be unloaded. The memory of `lookup` lives until then.
  static void Start(std::shared_ptr<const ShardedTable> table, const tables::Lookup& lookup,
                    Done done);

 private:
  // The keys of one shard.
  struct Part {
    size_t shard = 0;
    uint32_t first = 0;  // in order_
    uint32_t count = 0;
    ByteChain message = {};
    std::shared_ptr<RemoteRun> run = nullptr;  // shared with its calls
  };

  ShardRun(std::shared_ptr<const ShardedTable> table, const tables::Lookup& lookup, Done done);

  size_t KeyCount() const { return lookup_.numbers.size() + lookup_.strings.size(); }
  net::IoLoop& loop() { return table_->shards[0]->loops.at(loop_); }
  // These make parts_, whose keys are those at the positions in order_.
  Status Divide();
  void FindShards(std::vector<uint32_t>& shards) const;
  Status WriteMessages();

  void Begin();
  void BeginPart(size_t index);
  void OnAnswer(size_t index, const StatusOr<Slice>& answer);
  Status CopyRows(const Part& part, const Slice& message);
  Status CheckVersion(const Part& part, std::optional<core::VersionNumber> version);
  // True if the part may stay without an answer: then its keys get none.
  bool GiveDefaults(const Part& part, const Status& status);
  void OnCancel();
  void End(Status status);

  const std::shared_ptr<const ShardedTable> table_;
  const tables::Lookup lookup_;
  Done done_;  // null: it is over
  const size_t loop_;
  std::vector<uint32_t> order_;  // positions of keys, by shard
  std::vector<Part> parts_;
  size_t open_ = 0;
  // The version that has answered, and the shard that was the first to do so.
  std::optional<core::VersionNumber> version_;
  size_t version_shard_ = 0;
};

}  // namespace penstock::remote
