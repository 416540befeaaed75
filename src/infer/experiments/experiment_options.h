// SPDX-License-Identifier: Apache-2.0
// The experiment options in the configuration of a model: a split of its traffic, and shadows.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/servable.h"

namespace penstock {

// A model and one of its versions. At most one of version and label is set. If none is, the newest
// ready version is used.
struct ExperimentTarget {
  std::string model;
  std::optional<core::VersionNumber> version;
  std::string label;
  bool operator==(const ExperimentTarget&) const = default;
};

// An arm gets a part of the requests: its weight divided by the sum of all weights.
struct ArmOptions {
  std::string name;  // the label in metrics. Assignments depend on it, so a new name moves requests
  ExperimentTarget target;
  uint32_t weight = 1;  // 0: it gets no requests
  bool operator==(const ArmOptions&) const = default;
};

// A shadow gets copies of some requests. Its answers are dropped.
struct ShadowOptions {
  std::string name;  // the label in metrics
  ExperimentTarget target;
  double fraction = 1;     // the part of the requests that is copied: above 0, at most 1
  int in_flight_max = 16;  // copies at a time that run or wait for a thread; at least 1
  bool operator==(const ShadowOptions&) const = default;
};

// The experiment of one model. Names are unique among the arms, and among the shadows.
struct ExperimentOptions {
  std::vector<ArmOptions> arms;  // empty: no split; otherwise at least one arm has a weight
  // The sticky key: requests with equal keys always get the same arm. The key is the value of a
  // header, or the first element of an input. At most one of these is set. If none is, each request
  // gets a random arm.
  std::string sticky_header;
  std::string sticky_input;
  std::vector<ShadowOptions> shadows;

  bool empty() const { return arms.empty() && shadows.empty(); }
  bool operator==(const ExperimentOptions&) const = default;
};

}  // namespace penstock
