// SPDX-License-Identifier: Apache-2.0
// Equal rows that several requests lack at the same time are computed once.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "base/mutex.h"
#include "cache/cached_row.h"
#include "cache/row_mac.h"

namespace penstock::cache {

// A set of outputs of a signature: bit n stands for the output at position n.
using OutputSet = uint64_t;
inline constexpr size_t kOutputsMax = 64;

// A request that lacks rows. Shared by the flights that it follows. Thread-safe.
class FlightRun {
 public:
  virtual ~FlightRun() = default;

  // Called within Flights::Claim, under a lock: OnFlight will be called for one more row.
  virtual void OnFollow() = 0;
  // The row has been computed: `values` has a row for each output that the flight has, by position.
  // Null: it has not, and the request must get it in another way. `was_stopped`: that is no fault
  // of the row, so another request may try.
  virtual void OnFlight(uint32_t row, const std::vector<RowRef>* values, bool was_stopped) = 0;
};

// The rows that are being computed, and the requests that wait for them. Thread-safe.
class Flights final {
 public:
  enum class Claimed : uint8_t {
    kOwn,       // the caller must compute the row, and then call Land or Fail
    kFollowed,  // another request computes it
    kFound,     // it has been computed meanwhile
    kAlone,     // another request computes other outputs of it: the caller must not call Land
  };

  // Claims a row, of which the caller lacks `outputs`. `is_there` looks for it again, under a lock,
  // so that a row which has just landed is not computed twice.
  Claimed Claim(const RowKey& key, OutputSet outputs, const std::shared_ptr<FlightRun>& run,
                uint32_t row, absl::FunctionRef<bool()> is_there);

  // The row of the caller's kOwn is there. Call it after it can be found.
  void Land(const RowKey& key, const std::vector<RowRef>& values);
  void Fail(const RowKey& key, bool was_stopped);

 private:
  static constexpr size_t kShards = 16;

  struct Follower {
    std::shared_ptr<FlightRun> run;
    uint32_t row = 0;
  };
  struct Flight {
    OutputSet outputs = 0;
    std::vector<Follower> followers;
  };
  struct alignas(64) Shard {
    Mutex mutex;
    absl::flat_hash_map<RowKey, Flight> flights GUARDED_BY(mutex);
  };

  std::vector<Follower> End(const RowKey& key);

  std::array<Shard, kShards> shards_;
};

}  // namespace penstock::cache
