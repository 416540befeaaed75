// SPDX-License-Identifier: Apache-2.0
// The interface of a counter, for parts of the server that do not know the registry of metrics.
#pragma once

#include <cstdint>

namespace penstock {

// A number that only grows. Thread-safe: an implementation costs the hot path no shared cache line.
// MetricsRegistry makes them.
class Counter {
 public:
  virtual ~Counter() = default;
  virtual void Add(uint64_t count = 1) = 0;
  virtual uint64_t Value() const = 0;
};

}  // namespace penstock
