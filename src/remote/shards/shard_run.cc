// SPDX-License-Identifier: Apache-2.0
// How it works. Start divides the keys and writes the messages on the caller's thread. The rest
// happens on one loop, on which all its calls are made and all answers arrive, so there are no
// locks. If the caller is a loop of the server, it is that one, and no thread changes.
#include "remote/shards/shard_run.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/request_memory.h"
#include "remote/messages.h"

namespace penstock::remote {
namespace {

// With default rows for shards that do not answer, a call ends this much before the request does.
constexpr int kShareForDefaults = 5;

const Tensor* FindOutput(const AnyAnswer& answer, std::string_view name) {
  const auto found = std::ranges::find(answer.outputs, name, &NamedTensor::name);
  return found == answer.outputs.end() ? nullptr : &found->tensor;
}

bool HasTarget(const Targets& targets, SteadyTime now) {
  return std::ranges::any_of(targets,
                             [&](const auto& each) { return !each->record->IsEjected(now); });
}

}  // namespace

void ShardRun::Start(std::shared_ptr<const ShardedTable> table, const tables::Lookup& lookup,
                     Done done) {
  if (Status status = CheckHops(lookup.hops, table->shards[0]->settings); !status.ok())
    return done(std::move(status));
  const std::shared_ptr<ShardRun> run(new ShardRun(std::move(table), lookup, std::move(done)));
  if (run->KeyCount() == 0) return run->done_(OkStatus());
  if (Status status = run->Divide(); !status.ok()) return run->done_(std::move(status));
  if (run->loop().IsCurrent()) return run->Begin();
  run->loop().Post([run] { run->Begin(); });
}

ShardRun::ShardRun(std::shared_ptr<const ShardedTable> table, const tables::Lookup& lookup,
                   Done done)
    : table_(std::move(table)),
      lookup_(lookup),
      done_(std::move(done)),
      loop_(table_->shards[0]->loops.ForCaller()) {}

// --- scatter

void ShardRun::FindShards(std::vector<uint32_t>& shards) const {
  const uint64_t count = table_->shards.size();
  const tables::KeyType type = table_->info.key_type;
  uint32_t* shard = shards.data();
  for (const int64_t key : lookup_.numbers)
    *shard++ = static_cast<uint32_t>(tables::ShardHash(type, key) % count);
  for (const StringElement& key : lookup_.strings)
    *shard++ = static_cast<uint32_t>(tables::ShardHash(key.view()) % count);
}

Status ShardRun::Divide() {
  const size_t keys = KeyCount();
  if (keys > UINT32_MAX)
    return InvalidArgument("the request has {} keys; at most {} can be looked up at once", keys,
                           UINT32_MAX);
  std::vector<uint32_t> shards(keys);
  FindShards(shards);
  std::vector<uint32_t> ends(table_->shards.size());
  for (const uint32_t shard : shards) ++ends[shard];
  uint32_t sum = 0;
  for (size_t shard = 0; shard < ends.size(); ++shard) {
    const uint32_t count = ends[shard];
    if (count > 0) parts_.push_back({.shard = shard, .first = sum, .count = count});
    ends[shard] = sum;  // where the next one goes
    sum += count;
  }
  order_.resize(keys);
  for (size_t i = 0; i < keys; ++i) order_[ends[shards[i]]++] = static_cast<uint32_t>(i);
  return WriteMessages();
}

Status ShardRun::WriteMessages() {
  const bool has_strings = !lookup_.strings.empty();
  RequestMemory memory = table_->shards[0]->engine.MemoryOfAnswer();
  ASSIGN_OR_RETURN(Tensor keys, Tensor::Allocate(has_strings ? DType::kString : DType::kInt64,
                                                 {static_cast<int64_t>(order_.size())}, memory));
  if (has_strings) {
    StringElement* to = keys.mutable_as<StringElement>().data();
    for (const uint32_t position : order_) *to++ = lookup_.strings[position];
  } else {
    int64_t* to = keys.mutable_as<int64_t>().data();
    for (const uint32_t position : order_) *to++ = lookup_.numbers[position];
  }
  for (Part& part : parts_) {
    ASSIGN_OR_RETURN(part.message, WriteKeys(table_->shards[part.shard]->remote,
                                             keys.Rows(part.first, part.count), memory));
  }
  return OkStatus();
}

// --- calls

void ShardRun::Begin() {
  open_ = parts_.size();
  // A part may end the run at once.
  for (size_t i = 0; i < parts_.size() && done_; ++i) BeginPart(i);
  if (done_ && lookup_.cancel != nullptr)
    lookup_.cancel->SetCallback(
        [self = shared_from_this()] { self->loop().Post([self] { self->OnCancel(); }); });
}

void ShardRun::BeginPart(size_t index) {
  Part& part = parts_[index];
  const std::shared_ptr<RemoteCore>& core = table_->shards[part.shard];
  RemoteQuestion question{std::move(part.message), lookup_.deadline, lookup_.hops};
  if (table_->info.may_lack_rows) {
    const SteadyTime now = loop().clock().Now();
    if (!HasTarget(*core->parts[loop_].targets, now))
      return OnAnswer(index, Error(StatusCode::kUnavailable, "no target is healthy"));
    if (lookup_.deadline != kNoDeadline)
      question.deadline -= (lookup_.deadline - now) / kShareForDefaults;
  }
  part.run = RemoteRun::Begin(core, loop_, std::move(question),
                              [self = shared_from_this(), index](StatusOr<Slice>&& answer) {
                                self->parts_[index].run = nullptr;
                                self->OnAnswer(index, answer);
                              });
}

void ShardRun::OnAnswer(size_t index, const StatusOr<Slice>& answer) {
  if (!done_) return;
  const Part& part = parts_[index];
  Status status = answer.ok() ? CopyRows(part, *answer) : answer.status();
  if (!status.ok() && !GiveDefaults(part, status))
    return End(Error(status.code(), "shard {} ({}): {}", part.shard,
                     table_->shards[part.shard]->remote.model, MessageOf(status)));
  if (--open_ == 0) End(OkStatus());
}

bool ShardRun::GiveDefaults(const Part& part, const Status& status) {
  if (lookup_.answered == nullptr) return false;
  const StatusCode code = status.code();
  if (code != StatusCode::kUnavailable && code != StatusCode::kDeadlineExceeded) return false;
  table_->shards[part.shard]->metrics.unanswered.Add();
  for (uint32_t i = part.first; i < part.first + part.count; ++i)
    lookup_.answered[order_[i]] = lookup_.found[order_[i]] = false;
  return true;
}

void ShardRun::OnCancel() {
  if (!done_) return;
  const StatusCode code = OutcomeOf(StatusCode::kCancelled, lookup_.cancel);
  for (Part& part : parts_) {
    if (part.run != nullptr) part.run->GiveUp(code == StatusCode::kDeadlineExceeded);
  }
  End(Error(code, "the request was given up while the shards worked on it"));
}

void ShardRun::End(Status status) {
  // Before `done`, after which the version may be unloaded.
  for (Part& part : parts_) {
    if (part.run != nullptr) std::exchange(part.run, nullptr)->GiveUp(/*has_expired=*/false);
  }
  if (lookup_.cancel != nullptr) lookup_.cancel->ClearCallback();
  Done done = std::exchange(done_, nullptr);
  done(std::move(status));
}

// --- gather

Status ShardRun::CopyRows(const Part& part, const Slice& message) {
  const RemoteCore& core = *table_->shards[part.shard];
  RequestMemory memory = core.engine.MemoryOfRequest();
  ASSIGN_OR_RETURN(const AnyAnswer answer, ReadAnyAnswer(message, memory));
  TRY(CheckVersion(part, answer.version));
  const Tensor* const found = FindOutput(answer, "found");
  const Tensor* const rows = FindOutput(answer, "rows");
  const size_t row_bytes = table_->info.row_bytes;
  if (found == nullptr || found->dtype() != DType::kBool || found->element_count() != part.count ||
      rows == nullptr || rows->dtype() != table_->info.dtype ||
      rows->bytes() != part.count * row_bytes)
    return Error(StatusCode::kInternal,
                 "the target's answer has not the rows of {} {} elements for {} keys",
                 table_->info.dimension, DTypeName(table_->info.dtype), part.count);
  const std::span<const bool> is_found = found->as<bool>();
  const std::byte* from = rows->data();
  for (uint32_t i = 0; i < part.count; ++i, from += row_bytes) {
    const uint32_t position = order_[part.first + i];
    lookup_.found[position] = is_found[i];
    if (is_found[i]) std::memcpy(lookup_.rows + position * row_bytes, from, row_bytes);
  }
  return OkStatus();
}

Status ShardRun::CheckVersion(const Part& part, std::optional<core::VersionNumber> version) {
  if (!version) return OkStatus();
  if (!version_) {
    version_ = version;
    version_shard_ = part.shard;
  }
  if (*version == *version_) return OkStatus();
  return Error(StatusCode::kUnavailable,
               "its version {} has answered, but version {} of shard {}: rows of two versions are "
               "not mixed",
               version->value, version_->value, version_shard_);
}

}  // namespace penstock::remote
