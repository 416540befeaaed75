// SPDX-License-Identifier: Apache-2.0
// A table whose rows other servers have, in shards: what it is, and what its shards must be.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "base/status.h"
#include "core/servable.h"
#include "net/client/call.h"
#include "remote/core.h"
#include "tables/description.h"
#include "tables/store.h"

namespace penstock::remote {

// What all look-ups of a version share. Fixed after construction.
struct ShardedTable {
  tables::StoreInfo info;
  // By the number of the shard. Shared with calls that have lost a race, which may end after the
  // version.
  std::vector<std::shared_ptr<RemoteCore>> shards;
};

// What a target says of its table. Plain data.
struct FoundShard {
  tables::TableDescription table;
  std::optional<core::VersionNumber> version;  // of the model there
};

// The question for a description of the shard.
ByteChain WriteDescriptionQuestion(const RemoteVersion& remote);
// Reads the answer. Errors: that of the target, or INVALID_ARGUMENT: it has no table.
StatusOr<FoundShard> ReadFoundShard(const net::UnaryAnswer& answer);

// INVALID_ARGUMENT if `found` is not shard `index` of `count`. The message continues a sentence
// that begins with the model at the target.
Status CheckIsShard(const tables::TableDescription& found, size_t index, size_t count);
// The same if `found` is not a part of the table that `other` is a part of.
Status CheckSameTable(const tables::TableDescription& found, const tables::TableDescription& other);

}  // namespace penstock::remote
