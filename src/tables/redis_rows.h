// SPDX-License-Identifier: Apache-2.0
// The commands that read the rows of one request from a Redis cluster. docs/tables.md describes how
// the rows lie there.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "redis/batch.h"
#include "tables/hot_rows.h"
#include "tables/redis_settings.h"
#include "tables/store.h"

namespace penstock::tables {

// The field that is in each hash. Keys that begin with this byte get it once more in front.
inline constexpr std::string_view kSentinel("\0", 1);
// Appends the field of a string key to a command.
void AppendField(std::string_view key, std::string& command);

// A generation that requests read from, and those of its rows that were wanted lately. Immutable,
// but for what the rows do themselves.
struct ServedGeneration {
  Generation generation;
  std::unique_ptr<HotRows> hot;  // null: none are kept
};

// Which keys of a lookup Redis is asked for.
struct AskedKeys {
  std::vector<uint64_t> hashes;     // of all keys, by HashKey
  std::vector<uint32_t> positions;  // of those that are asked for

  // All of them.
  static AskedKeys AllOf(const StoreInfo& info, const Lookup& lookup);
};

// One request. All of its rows are of one generation, also if a newer one comes. A key that is
// there several times is asked for once. One thread at a time.
class RedisRows final : public redis::Batch {
 public:
  // `info` must live until Done is called. `prefix` is that of all keys of the table. `is_current`
  // is asked when a node lacks rows of the generation: false ends the request, as the rows may be
  // gone for good.
  RedisRows(const StoreInfo& info, const std::string& prefix,
            std::shared_ptr<const ServedGeneration> served, const Lookup& lookup, AskedKeys asked,
            absl::AnyInvocable<bool()> is_current, absl::AnyInvocable<void(Status)> done);

  bool Take(size_t read, size_t index, const redis::Token& token) override;
  std::string NameOf(size_t read) const override;
  bool GoesOn() override { return is_current_(); }
  void Done(Status status) override;

 private:
  // Where the row of a key is that the request has more than once.
  struct Repeated {
    uint32_t position;
    uint32_t first;
  };

  bool AreEqual(uint32_t position, uint32_t other) const;
  // Leaves each key once in asked_.positions.
  void RemoveRepeated();
  void AskForFields();
  // Returns the order of the numbers by partition.
  std::vector<uint32_t> OrderByPartition(std::span<const uint32_t> partitions) const;
  void AskForParts();
  void BeginRead(std::string_view key);
  void EndRead();
  void CopyRow(uint32_t position, std::string_view row);

  const StoreInfo& info_;
  const std::string start_;  // of the keys of this generation
  // Requests and the store share it.
  const std::shared_ptr<const ServedGeneration> served_;
  const Lookup lookup_;
  AskedKeys asked_;
  std::vector<Repeated> repeated_;
  absl::AnyInvocable<bool()> is_current_;
  absl::AnyInvocable<void(Status)> done_;
  std::vector<uint32_t> order_;    // positions of keys; each read has some of them in a row
  std::vector<uint32_t> first_;    // where those of a read begin in order_; and the end
  std::vector<uint64_t> numbers_;  // of the partition or block of each read
};

}  // namespace penstock::tables
