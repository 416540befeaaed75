// SPDX-License-Identifier: Apache-2.0
#include "tables/redis_rows.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstring>
#include <numeric>
#include <utility>

#include "redis/slot_map.h"

namespace penstock::tables {
namespace {

// About what a key takes in a command.
constexpr size_t kCommandBytes = 64;

// The decimal digits of a number. One thread at a time.
class Digits final {
 public:
  template <typename T>
  explicit Digits(T number) {
    end_ = std::to_chars(text_.data(), text_.data() + text_.size(), number).ptr;
  }
  std::string_view view() const { return {text_.data(), end_}; }

 private:
  std::array<char, 24> text_;  // only what is written is read
  const char* end_ = nullptr;
};

}  // namespace

void AppendField(std::string_view key, std::string& command) {
  if (key.starts_with(kSentinel)) [[unlikely]]
    return redis::AppendArgument(std::string(kSentinel) += key, command);
  redis::AppendArgument(key, command);
}

AskedKeys AskedKeys::AllOf(const StoreInfo& info, const Lookup& lookup) {
  AskedKeys asked;
  asked.hashes = HashesOf(info, lookup);
  asked.positions.resize(asked.hashes.size());
  std::iota(asked.positions.begin(), asked.positions.end(), 0);
  return asked;
}

RedisRows::RedisRows(const StoreInfo& info, const std::string& prefix,
                     std::shared_ptr<const ServedGeneration> served, const Lookup& lookup,
                     AskedKeys asked, absl::AnyInvocable<bool()> is_current,
                     absl::AnyInvocable<void(Status)> done)
    : info_(info),
      start_(fmt::format("{}:{}:", prefix, served->generation.name)),
      served_(std::move(served)),
      lookup_(lookup),
      asked_(std::move(asked)),
      is_current_(std::move(is_current)),
      done_(std::move(done)) {
  deadline = lookup.deadline;
  cancel = lookup.cancel;
  RemoveRepeated();
  if (info_.key_type == KeyType::kDense) {
    AskForParts();
  } else {
    AskForFields();
  }
  first_.push_back(static_cast<uint32_t>(order_.size()));
}

bool RedisRows::AreEqual(uint32_t position, uint32_t other) const {
  if (asked_.hashes[position] != asked_.hashes[other]) return false;
  // The hash of a number belongs to no other one.
  return info_.key_type != KeyType::kString ||
         lookup_.strings[position].view() == lookup_.strings[other].view();
}

void RedisRows::RemoveRepeated() {
  std::vector<uint32_t>& positions = asked_.positions;
  if (positions.size() < 2) return;
  constexpr uint32_t kFree = UINT32_MAX;
  std::vector<uint32_t> seen(std::bit_ceil(2 * positions.size()), kFree);
  size_t count = 0;
  for (const uint32_t position : positions) {
    size_t at = asked_.hashes[position] & (seen.size() - 1);
    while (seen[at] != kFree && !AreEqual(position, seen[at])) at = (at + 1) & (seen.size() - 1);
    if (seen[at] == kFree) {
      seen[at] = positions[count++] = position;
    } else {
      repeated_.push_back({position, seen[at]});
    }
  }
  positions.resize(count);
}

void RedisRows::Done(Status status) {
  if (status.ok()) {
    for (const auto [position, first] : repeated_) {
      lookup_.found[position] = lookup_.found[first];
      if (lookup_.found[first])
        std::memcpy(lookup_.rows + position * info_.row_bytes,
                    lookup_.rows + first * info_.row_bytes, info_.row_bytes);
    }
    // A row that is missing is so for good: its hash had a sentinel.
    if (served_->hot != nullptr) served_->hot->Keep(lookup_, asked_.hashes, order_);
  }
  std::exchange(done_, nullptr)(std::move(status));
}

void RedisRows::BeginRead(std::string_view key) {
  reads.push_back(
      {.slot = redis::SlotOf(key), .begin = static_cast<uint32_t>(commands.size()), .bytes = 0});
}

void RedisRows::EndRead() {
  reads.back().bytes = static_cast<uint32_t>(commands.size()) - reads.back().begin;
}

std::vector<uint32_t> RedisRows::OrderByPartition(std::span<const uint32_t> partitions) const {
  std::vector<uint32_t> order(partitions.size());
  // Far fewer partitions than keys are counted, which takes less time than sorting.
  if (served_->generation.partitions > 4 * partitions.size()) {
    std::iota(order.begin(), order.end(), 0);
    std::ranges::sort(order, {}, [&](uint32_t number) { return partitions[number]; });
    return order;
  }
  std::vector<uint32_t> begin(served_->generation.partitions + 1);
  for (const uint32_t partition : partitions) ++begin[partition + 1];
  std::partial_sum(begin.begin(), begin.end(), begin.begin());
  for (uint32_t i = 0; i < partitions.size(); ++i) order[begin[partitions[i]]++] = i;
  return order;
}

void RedisRows::AskForFields() {
  const bool has_strings = info_.key_type == KeyType::kString;
  const size_t count = asked_.positions.size();
  std::vector<uint32_t> partitions(count);
  for (size_t i = 0; i < count; ++i)
    partitions[i] =
        static_cast<uint32_t>(asked_.hashes[asked_.positions[i]] % served_->generation.partitions);
  const std::vector<uint32_t> numbers = OrderByPartition(partitions);
  order_.resize(count);
  for (size_t i = 0; i < count; ++i) order_[i] = asked_.positions[numbers[i]];
  commands.reserve(count * kCommandBytes);
  std::string key;
  for (size_t begin = 0; begin < count;) {
    const uint32_t partition = partitions[numbers[begin]];
    size_t end = begin + 1;
    while (end < count && partitions[numbers[end]] == partition) ++end;
    key = start_;
    key += Digits(partition).view();
    BeginRead(key);
    redis::AppendCount(end - begin + 3, commands);
    redis::AppendArgument("HMGET", commands);
    redis::AppendArgument(key, commands);
    redis::AppendArgument(kSentinel, commands);
    for (size_t i = begin; i < end; ++i) {
      if (has_strings) {
        AppendField(lookup_.strings[order_[i]].view(), commands);
      } else {
        redis::AppendNumber(lookup_.numbers[order_[i]], commands);
      }
    }
    EndRead();
    first_.push_back(static_cast<uint32_t>(begin));
    numbers_.push_back(partition);
    begin = end;
  }
}

void RedisRows::AskForParts() {
  const Generation& generation = served_->generation;
  commands.reserve(asked_.positions.size() * 2 * kCommandBytes);
  std::string key;
  for (const uint32_t i : asked_.positions) {
    // A negative key becomes one past all rows.
    const auto row = static_cast<uint64_t>(lookup_.numbers[i]);
    lookup_.found[i] = false;
    if (row >= generation.rows) continue;
    const uint64_t block = row / generation.block_rows;
    const uint64_t offset = row % generation.block_rows * info_.row_bytes;
    key = start_;
    key += Digits(block).view();
    BeginRead(key);
    redis::AppendCount(4, commands);
    redis::AppendArgument("GETRANGE", commands);
    redis::AppendArgument(key, commands);
    redis::AppendNumber(offset, commands);
    redis::AppendNumber(offset + info_.row_bytes - 1, commands);
    EndRead();
    first_.push_back(static_cast<uint32_t>(order_.size()));
    numbers_.push_back(block);
    order_.push_back(i);
  }
}

void RedisRows::CopyRow(uint32_t position, std::string_view row) {
  lookup_.found[position] = true;
  std::memcpy(lookup_.rows + position * info_.row_bytes, row.data(), row.size());
}

bool RedisRows::Take(size_t read, size_t index, const redis::Token& token) {
  using redis::TokenKind;
  const uint32_t* const positions = order_.data() + first_[read];
  const bool is_row = token.kind == TokenKind::kBulk && token.text.size() == info_.row_bytes;
  if (info_.key_type == KeyType::kDense) {
    // A part of a block that is missing is empty, and no answer.
    if (is_row) CopyRow(*positions, token.text);
    return is_row;
  }
  const size_t count = first_[read + 1] - first_[read];
  if (index == 0)
    return token.kind == TokenKind::kArray && token.number == static_cast<int64_t>(count) + 1;
  // Without the sentinel, the hash is not all there, and what is not in it means nothing.
  if (index == 1) return token.kind == TokenKind::kBulk;
  const uint32_t position = positions[index - 2];
  if (is_row) {
    CopyRow(position, token.text);
    return true;
  }
  lookup_.found[position] = false;
  return token.kind == TokenKind::kNil;
}

std::string RedisRows::NameOf(size_t read) const {
  return fmt::format("'{}{}' with rows of {} bytes", start_, numbers_[read], info_.row_bytes);
}

}  // namespace penstock::tables
