// SPDX-License-Identifier: Apache-2.0
// What a model's configuration says of its experiments: a split of its traffic, and shadows.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/servable.h"

namespace penstock {

// Which version of which model. Of version and label at most one; neither: the newest ready one.
struct ExperimentTarget {
  std::string model;
  std::optional<core::VersionNumber> version;
  std::string label;
  bool operator==(const ExperimentTarget&) const = default;
};

// Takes a share of the requests: its weight of the sum of all weights.
struct ArmOptions {
  std::string name;  // in metrics; and requests stick to names
  ExperimentTarget target;
  uint32_t weight = 1;  // 0: none
  bool operator==(const ArmOptions&) const = default;
};

// Gets a copy of some requests; its answers are dropped.
struct ShadowOptions {
  std::string name;  // in metrics
  ExperimentTarget target;
  double fraction = 1;     // of the requests: above 0, up to 1
  int in_flight_max = 16;  // copies at a time, with those that wait for a thread; at least 1
  bool operator==(const ShadowOptions&) const = default;
};

// Of one model. Names are unique among arms and among shadows.
struct ExperimentOptions {
  std::vector<ArmOptions> arms;  // none: no split; else one of them has a weight
  // What a request is known by, so that the same one always gets the same arm: the value of a
  // header, or the first element of an input. At most one; neither: each request is on its own.
  std::string sticky_header;
  std::string sticky_input;
  std::vector<ShadowOptions> shadows;

  bool empty() const { return arms.empty() && shadows.empty(); }
  bool operator==(const ExperimentOptions&) const = default;
};

}  // namespace penstock
