// SPDX-License-Identifier: Apache-2.0
#include "remote/shards/sharded_table.h"

#include <utility>

#include "base/check.h"
#include "remote/messages.h"

namespace penstock::remote {
namespace {

std::string DescribeShard(const tables::Shard& shard) {
  return shard.count == 1 ? std::string("the whole table")
                          : fmt::format("shard {} of {}", shard.index, shard.count);
}

std::string DescribeRows(const tables::TableDescription& table) {
  return fmt::format("{} keys and rows of {} {} elements", tables::KeyTypeName(table.key_type),
                     table.dimension, DTypeName(table.dtype));
}

}  // namespace

ByteChain WriteDescriptionQuestion(const RemoteVersion& remote) {
  RequestMemory memory(UINT64_MAX);
  StatusOr<ByteChain> message = WriteSignature(remote, tables::kTableSignature, memory);
  PENSTOCK_CHECK(message.ok(), "a message without tensors is too large");
  return *std::move(message);
}

StatusOr<FoundShard> ReadFoundShard(const net::UnaryAnswer& answer) {
  if (!answer.status.ok()) return answer.status;
  RequestMemory memory;
  ASSIGN_OR_RETURN(const AnyAnswer read, ReadAnyAnswer(answer.message, memory));
  FoundShard found{.table = {}, .version = read.version};
  ASSIGN_OR_RETURN(found.table, tables::ReadDescription(read.outputs));
  return found;
}

Status CheckIsShard(const tables::TableDescription& found, size_t index, size_t count) {
  const tables::Shard wanted{static_cast<uint32_t>(index), static_cast<uint32_t>(count)};
  if (found.shard == wanted) return OkStatus();
  return InvalidArgument("is {}, but {} is wanted", DescribeShard(found.shard),
                         DescribeShard(wanted));
}

Status CheckSameTable(const tables::TableDescription& found,
                      const tables::TableDescription& other) {
  if (found.key_type != other.key_type || found.dtype != other.dtype ||
      found.dimension != other.dimension)
    return InvalidArgument("has {}, but shard {} has {}", DescribeRows(found), other.shard.index,
                           DescribeRows(other));
  if (found.default_row != other.default_row)
    return InvalidArgument("has another default row than shard {}", other.shard.index);
  return OkStatus();
}

}  // namespace penstock::remote
