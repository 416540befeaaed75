// SPDX-License-Identifier: Apache-2.0
#include "tables/redis_rows.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <numeric>
#include <utility>

#include "redis/slot_map.h"
#include "tables/key_hash.h"

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

RedisRows::RedisRows(const StoreInfo& info, const std::string& prefix,
                     std::shared_ptr<const Generation> generation, const Lookup& lookup,
                     absl::AnyInvocable<void(Status)> done)
    : info_(info),
      start_(fmt::format("{}:{}:", prefix, generation->name)),
      generation_(std::move(generation)),
      lookup_(lookup),
      done_(std::move(done)) {
  deadline = lookup.deadline;
  cancel = lookup.cancel;
  if (info_.key_type == KeyType::kDense) {
    AskForParts();
  } else {
    AskForFields();
  }
  first_.push_back(static_cast<uint32_t>(order_.size()));
}

void RedisRows::BeginRead(std::string_view key) {
  reads.push_back(
      {.slot = redis::SlotOf(key), .begin = static_cast<uint32_t>(commands.size()), .bytes = 0});
}

void RedisRows::EndRead() {
  reads.back().bytes = static_cast<uint32_t>(commands.size()) - reads.back().begin;
}

void RedisRows::OrderByPartition(std::vector<uint32_t>& partitions) {
  order_.resize(partitions.size());
  std::iota(order_.begin(), order_.end(), 0);
  // Far fewer partitions than keys are counted, which takes less time than sorting.
  if (generation_->partitions > 4 * partitions.size()) {
    std::ranges::sort(order_, {}, [&](uint32_t position) { return partitions[position]; });
    return;
  }
  std::vector<uint32_t> begin(generation_->partitions + 1);
  for (const uint32_t partition : partitions) ++begin[partition + 1];
  std::partial_sum(begin.begin(), begin.end(), begin.begin());
  for (uint32_t i = 0; i < partitions.size(); ++i) order_[begin[partitions[i]]++] = i;
}

void RedisRows::AskForFields() {
  const bool has_strings = info_.key_type == KeyType::kString;
  const size_t count = has_strings ? lookup_.strings.size() : lookup_.numbers.size();
  std::vector<uint32_t> partitions(count);
  for (size_t i = 0; i < count; ++i) {
    const uint64_t hash =
        has_strings ? HashKey(lookup_.strings[i].view()) : HashKey(lookup_.numbers[i]);
    partitions[i] = static_cast<uint32_t>(hash % generation_->partitions);
  }
  OrderByPartition(partitions);
  commands.reserve(count * kCommandBytes);
  std::string key;
  for (size_t begin = 0; begin < count;) {
    const uint32_t partition = partitions[order_[begin]];
    size_t end = begin + 1;
    while (end < count && partitions[order_[end]] == partition) ++end;
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
  commands.reserve(lookup_.numbers.size() * 2 * kCommandBytes);
  std::string key;
  for (uint32_t i = 0; i < lookup_.numbers.size(); ++i) {
    // A negative key becomes one past all rows.
    const auto row = static_cast<uint64_t>(lookup_.numbers[i]);
    lookup_.found[i] = false;
    if (row >= generation_->rows) continue;
    const uint64_t block = row / generation_->block_rows;
    const uint64_t offset = row % generation_->block_rows * info_.row_bytes;
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
