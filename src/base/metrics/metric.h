// SPDX-License-Identifier: Apache-2.0
// The metrics beside Counter, and their labels.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace penstock {

// Label names and values, in the order in which they are printed.
using MetricLabels = std::vector<std::pair<std::string, std::string>>;

// A number that goes up and down. Thread-safe; one shared cell, so not for the hot path.
class Gauge {
 public:
  virtual ~Gauge() = default;
  virtual void Set(double value) = 0;
  virtual void Add(double change) = 0;
  virtual double Value() const = 0;
};

// Counts observations by size. Thread-safe: each thread adds to its own cells.
class Histogram {
 public:
  virtual ~Histogram() = default;
  virtual void Record(double value) = 0;
  virtual uint64_t Count() const = 0;
};

}  // namespace penstock
