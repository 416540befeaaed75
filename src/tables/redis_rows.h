// SPDX-License-Identifier: Apache-2.0
// The commands that read the rows of one request from a Redis cluster. docs/tables.md describes how
// the rows lie there.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "redis/batch.h"
#include "tables/redis_settings.h"
#include "tables/store.h"

namespace penstock::tables {

// The field that is in each hash. Keys that begin with this byte get it once more in front.
inline constexpr std::string_view kSentinel("\0", 1);
// Appends the field of a string key to a command.
void AppendField(std::string_view key, std::string& command);

// One request. Its generation stays the same, also if a newer one comes. One thread at a time.
class RedisRows final : public redis::Batch {
 public:
  // `info` must live until Done is called. `prefix` is that of all keys of the table.
  RedisRows(const StoreInfo& info, const std::string& prefix,
            std::shared_ptr<const Generation> generation, const Lookup& lookup,
            absl::AnyInvocable<void(Status)> done);

  bool Take(size_t read, size_t index, const redis::Token& token) override;
  std::string NameOf(size_t read) const override;
  void Done(Status status) override { std::exchange(done_, nullptr)(std::move(status)); }

 private:
  void AskForFields();
  // Orders the positions of the keys by partition.
  void OrderByPartition(std::vector<uint32_t>& partitions);
  void AskForParts();
  void BeginRead(std::string_view key);
  void EndRead();
  void CopyRow(uint32_t position, std::string_view row);

  const StoreInfo& info_;
  const std::string start_;  // of the keys of this generation
  // Requests and the store share it.
  const std::shared_ptr<const Generation> generation_;
  const Lookup lookup_;
  absl::AnyInvocable<void(Status)> done_;
  std::vector<uint32_t> order_;    // positions of keys; each read has some of them in a row
  std::vector<uint32_t> first_;    // where those of a read begin in order_; and the end
  std::vector<uint64_t> numbers_;  // of the partition or block of each read
};

}  // namespace penstock::tables
