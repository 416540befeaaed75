// SPDX-License-Identifier: Apache-2.0
// What the lifecycle core manages, without knowing what it does.
#pragma once

#include <compare>
#include <cstdint>
#include <string>

namespace penstock::core {

// A version of a model: the number that its folder is named by. Higher is newer. Not negative.
struct VersionNumber {
  int64_t value = 0;
  auto operator<=>(const VersionNumber&) const = default;
};

// One version of one model.
struct ServableId {
  std::string name;
  VersionNumber version;
  auto operator<=>(const ServableId&) const = default;
  std::string ToString() const { return name + " version " + std::to_string(version.value); }
};

// Something that was loaded and can be used by many threads at once until its last handle is gone.
// Thread-safe. Destroyed on the manager's unload thread, never in a request.
class Servable {
 public:
  virtual ~Servable() = default;
};

}  // namespace penstock::core
