// SPDX-License-Identifier: Apache-2.0
// How the answers of a model are cached, as it is configured.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"

namespace penstock::cache {

// The settings of one model. Plain data.
struct CacheSettings {
  bool enabled = false;
  uint64_t memory_bytes = uint64_t{64} << 20;  // the most bytes of answers in memory
  uint64_t disk_bytes = uint64_t{1} << 30;     // the same on disk; 0: none
  Duration ttl{0};                             // how long an answer is used; 0: for ever
  std::string folder = {};  // of the disk tier; empty: there is none. As a default: those of models
  uint64_t queue_bytes_max = uint64_t{16} << 20;  // rows that wait to be written
  std::vector<std::string> outputs = {};          // those that are kept; empty: all

  bool operator==(const CacheSettings&) const = default;
};

}  // namespace penstock::cache
