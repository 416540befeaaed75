// SPDX-License-Identifier: Apache-2.0
#include "cache/version_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "base/log.h"
#include "batch/join.h"
#include "cache/no_cache.h"

namespace penstock::cache {
namespace {

constexpr std::string_view kRowsName = "penstock_row_cache_rows_total";
constexpr std::string_view kRowsHelp =
    "Rows of outputs that requests wanted: found in memory (hit), on disk (disk_hit), not found "
    "(miss), or computed at that "
    "moment for another request (joined; they count as misses, too).";
constexpr std::string_view kRequestsName = "penstock_row_cache_requests_total";
constexpr std::string_view kRequestsHelp =
    "Requests that asked the cache: answered by it (hit), in part, or not at all (miss).";

constexpr double kLookupBoundsUs[] = {0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10000};

MetricLabels Labels(const core::ServableId& id, std::string_view result = {}) {
  MetricLabels labels = {{"model_name", id.name},
                         {"model_version", std::to_string(id.version.value)}};
  if (!result.empty()) labels.emplace_back("result", result);
  return labels;
}

}  // namespace

OutputSet Lookup::Missing(int64_t row) {
  OutputSet missing = 0;
  for (size_t i = 0; i < outputs.size(); ++i)
    if (!value(row, i)) missing |= OutputSet{1} << outputs[i];
  return missing;
}

VersionCache::VersionCache(const ModelInfo& info, VersionCacheOptions options, const MacKey& key,
                           std::shared_ptr<DiskStore> disk, MetricsRegistry& metrics)
    : info_(info),
      options_(std::move(options)),
      row_keys_(key, options_.identity),
      series_(metrics),
      hits_(series_.AddCounter(kRowsName, kRowsHelp, Labels(options_.id, "hit"))),
      disk_hits_(series_.AddCounter(kRowsName, kRowsHelp, Labels(options_.id, "disk_hit"))),
      misses_(series_.AddCounter(kRowsName, kRowsHelp, Labels(options_.id, "miss"))),
      joined_(series_.AddCounter(kRowsName, kRowsHelp, Labels(options_.id, "joined"))),
      hit_requests_(series_.AddCounter(kRequestsName, kRequestsHelp, Labels(options_.id, "hit"))),
      partial_requests_(
          series_.AddCounter(kRequestsName, kRequestsHelp, Labels(options_.id, "partial"))),
      miss_requests_(series_.AddCounter(kRequestsName, kRequestsHelp, Labels(options_.id, "miss"))),
      lookup_time_(series_.AddHistogram("penstock_row_cache_lookup_us",
                                        "Time to hash the rows of a request and to look for them "
                                        "in memory, microseconds.",
                                        kLookupBoundsUs, Labels(options_.id))),
      disk_(std::move(disk)),
      memory_(
          options_.settings.memory_bytes,
          {series_.AddGauge("penstock_row_cache_memory_bytes",
                            "Bytes of the rows that the cache has in memory.", Labels(options_.id)),
           series_.AddGauge("penstock_row_cache_memory_entries",
                            "Rows of outputs that the cache has in memory.", Labels(options_.id)),
           series_.AddCounter("penstock_row_cache_memory_evictions_total",
                              "Rows of outputs that were dropped to make room in memory.",
                              Labels(options_.id))}),
      states_(info.signatures.size()) {}

void VersionCache::TurnOn(uint32_t signature) {
  State& state = states_[signature];
  const std::vector<std::string>& wanted = options_.settings.outputs;
  const std::vector<TensorSpec>& outputs = info_.signatures[signature].outputs;
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (wanted.empty() || std::ranges::find(wanted, outputs[i].name) != wanted.end())
      state.kept |= OutputSet{1} << i;
  }
  state.is_on.store(true, std::memory_order_relaxed);
}

void VersionCache::TurnOff(uint32_t signature, const Status& why) {
  State& state = states_[signature];
  if (!state.is_on.exchange(false, std::memory_order_relaxed)) return;
  {
    MutexLock lock(mutex_);
    state.why_not = why;
  }
  PENSTOCK_LOG(kWarning, "{}: the answers of signature '{}' are no longer cached: {}",
               options_.id.ToString(), info_.signatures[signature].name, MessageOf(why));
}

bool VersionCache::Describe(const InferRequest& request, Lookup& lookup) const {
  const Signature* const signature = info_.FindSignature(request.signature_name);
  if (signature == nullptr) return false;
  lookup.signature = static_cast<uint32_t>(signature - info_.signatures.data());
  if (!IsOn(lookup.signature)) return false;
  lookup.rows = batch::RowsOf(*signature, request);
  if (lookup.rows == 0) return false;
  OutputSet wanted = 0;
  const std::vector<TensorSpec>& outputs = signature->outputs;
  const auto add = [&](size_t position) {
    lookup.outputs.push_back(static_cast<uint32_t>(position));
    wanted |= OutputSet{1} << position;
  };
  if (request.output_filter.empty()) {
    for (size_t i = 0; i < outputs.size(); ++i) add(i);
  } else {
    for (const std::string_view name : request.output_filter) {
      const TensorSpec* const spec = signature->FindOutput(name);
      if (spec == nullptr) return false;
      add(static_cast<size_t>(spec - outputs.data()));
    }
  }
  return (wanted & ~states_[lookup.signature].kept) == 0;
}

void VersionCache::Find(Lookup& lookup, SteadyTime now) {
  for (int64_t row = 0; row < lookup.rows; ++row) FindRow(lookup, row, now);
}

bool VersionCache::FindRow(Lookup& lookup, int64_t row, SteadyTime now) {
  bool is_complete = true;
  for (size_t i = 0; i < lookup.outputs.size(); ++i) {
    RowRef& value = lookup.value(row, i);
    if (value) continue;
    value = memory_.Find({lookup.keys[static_cast<size_t>(row)], lookup.outputs[i]}, now);
    if (value) {
      ++lookup.found;
    } else {
      is_complete = false;
    }
  }
  return is_complete;
}

bool VersionCache::MayBeOnDisk(const Lookup& lookup) const {
  if (!has_disk()) return false;
  // Each question takes some microseconds, so those of a large request are left to a slot.
  constexpr size_t kAskedMax = 8;
  if (lookup.values.size() - lookup.found > kAskedMax) return true;
  for (size_t i = 0; i < lookup.values.size(); ++i) {
    if (lookup.values[i]) continue;
    const size_t outputs = lookup.outputs.size();
    if (disk_->MayHave({lookup.keys[i / outputs], lookup.outputs[i % outputs]})) return true;
  }
  return false;
}

void VersionCache::FindOnDisk(Lookup& lookup, SteadyTime now) {
  const size_t outputs = lookup.outputs.size();
  for (size_t i = 0; i < lookup.values.size() && has_disk(); ++i) {
    RowRef& value = lookup.values[i];
    if (value) continue;
    const EntryKey key{lookup.keys[i / outputs], lookup.outputs[i % outputs]};
    const DiskStore::Found found = disk_->Find(key);
    if (!found.row) continue;
    value = found.row;
    ++lookup.found;
    memory_.Put(key, value, has_ttl() ? now + found.left : kNoDeadline);
  }
}

void VersionCache::Keep(const EntryKey& key, const RowRef& row, SteadyTime now) {
  memory_.Put(key, row, has_ttl() ? now + options_.settings.ttl : kNoDeadline);
  if (disk_ != nullptr) disk_->Put(key, row);
}

StatusOr<NamedTensors> VersionCache::Answer(const Lookup& lookup, RequestMemory& memory) const {
  const std::vector<TensorSpec>& specs = info_.signatures[lookup.signature].outputs;
  NamedTensors outputs;
  absl::InlinedVector<RowRef, 4> rows(static_cast<size_t>(lookup.rows));
  for (size_t i = 0; i < lookup.outputs.size(); ++i) {
    for (size_t row = 0; row < rows.size(); ++row)
      rows[row] = lookup.values[row * lookup.outputs.size() + i];
    NamedTensor& output = outputs.emplace_back();
    output.name = specs[lookup.outputs[i]].name;
    ASSIGN_OR_RETURN(output.tensor, JoinRows(rows, memory));
  }
  return outputs;
}

void VersionCache::CountRequest(CacheOutcome outcome) const {
  Counter& counter = outcome == CacheOutcome::kHit       ? hit_requests_
                     : outcome == CacheOutcome::kPartial ? partial_requests_
                                                         : miss_requests_;
  counter.Add();
}

std::string VersionCache::StateJson() const {
  std::vector<Status> why_not;
  {
    MutexLock lock(mutex_);
    for (const State& state : states_) why_not.push_back(state.why_not);
  }
  return fmt::format(
      "{{{},\"memory_bytes\":{},\"memory_bytes_max\":{},\"memory_entries\":{},"
      "\"row_hits\":{},\"row_disk_hits\":{},\"row_misses\":{}{}}}",
      SignaturesJson(info_, why_not), memory_.bytes(), memory_.bytes_max(), memory_.entries(),
      hits_.Value(), disk_hits_.Value(), misses_.Value(),
      disk_ == nullptr ? std::string() : ",\"disk\":" + disk_->StateJson());
}

}  // namespace penstock::cache
