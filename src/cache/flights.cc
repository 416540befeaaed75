// SPDX-License-Identifier: Apache-2.0
#include "cache/flights.h"

namespace penstock::cache {

Flights::Claimed Flights::Claim(const RowKey& key, OutputSet outputs,
                                const std::shared_ptr<FlightRun>& run, uint32_t row,
                                absl::FunctionRef<bool()> is_there) {
  Shard& shard = shards_[key.high % kShards];
  MutexLock lock(shard.mutex);
  const auto [flight, is_new] = shard.flights.try_emplace(key);
  if (is_new) {
    // A flight that has landed before this lock was taken has left its rows where they are found.
    if (is_there()) {
      shard.flights.erase(flight);
      return Claimed::kFound;
    }
    flight->second.outputs = outputs;
    return Claimed::kOwn;
  }
  if ((outputs & ~flight->second.outputs) != 0) return Claimed::kAlone;
  run->OnFollow();
  flight->second.followers.push_back({run, row});
  return Claimed::kFollowed;
}

std::vector<Flights::Follower> Flights::End(const RowKey& key) {
  Shard& shard = shards_[key.high % kShards];
  MutexLock lock(shard.mutex);
  const auto flight = shard.flights.find(key);
  if (flight == shard.flights.end()) return {};
  std::vector<Follower> followers = std::move(flight->second.followers);
  shard.flights.erase(flight);
  return followers;
}

void Flights::Land(const RowKey& key, const std::vector<RowRef>& values) {
  for (const Follower& follower : End(key))
    follower.run->OnFlight(follower.row, &values, /*was_stopped=*/false);
}

void Flights::Fail(const RowKey& key, bool was_stopped) {
  for (const Follower& follower : End(key))
    follower.run->OnFlight(follower.row, nullptr, was_stopped);
}

}  // namespace penstock::cache
