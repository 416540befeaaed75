// SPDX-License-Identifier: Apache-2.0
// What the flags say about remote models.
#pragma once

#include <cstdint>
#include <string>

#include "base/clock.h"

namespace penstock::remote {

// The limits and times of all remote models. Plain data.
struct RemoteSettings {
  std::string targets;        // which ones are allowed; see AllowedTargets
  int64_t loops = 1;          // threads with connections to targets
  uint64_t calls_max = 1000;  // to one target, from one loop
  uint64_t answer_bytes_max = uint64_t{1} << 30;
  Duration connect_timeout = std::chrono::seconds(5);
  Duration keepalive_time = std::chrono::seconds(10);
  Duration keepalive_timeout = std::chrono::seconds(5);
  Duration health_interval = std::chrono::seconds(5);  // 0: no checks
  // Between two questions to a target which versions it has.
  Duration version_interval = std::chrono::seconds(2);
  Duration dns_interval = std::chrono::seconds(10);   // between two look-ups of a name
  Duration ejection_time = std::chrono::seconds(10);  // of a target that fails; 0: never
  int64_t retry_percent = 10;                         // of the requests; 0: no second tries
  int64_t hedge_percent = 5;  // of the requests; 0: none is sent twice because it is slow
  int64_t hops_max = 4;       // servers that pass a request on, one after the other
};

}  // namespace penstock::remote
