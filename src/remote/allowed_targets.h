// SPDX-License-Identifier: Apache-2.0
// Which servers a configuration may name as targets.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "config/remote_config.h"

namespace penstock::remote {

// The patterns of --remote_targets: HOST:PORT, separated by commas, in which '*' stands for any
// text. Nothing is looked up: a pattern fits the target as the configuration writes it. Immutable,
// thread-safe.
class AllowedTargets final {
 public:
  explicit AllowedTargets(std::string_view patterns);

  // PERMISSION_DENIED if no pattern fits.
  Status Check(const RemoteTarget& target) const;

 private:
  std::vector<std::string> patterns_;
};

}  // namespace penstock::remote
