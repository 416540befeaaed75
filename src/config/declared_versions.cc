// SPDX-License-Identifier: Apache-2.0
#include "config/declared_versions.h"

#include "penstock/model_options.pb.h"

namespace penstock {

Status CheckNoRunOptions(const config::ModelOptions& options, std::string_view what,
                         std::string_view where) {
  const std::pair<std::string_view, bool> others[] = {
      {"scheduling", options.has_scheduling()},
      {"batching", options.has_batching()},
      {"cache", options.has_cache()},
      {"warm_up", options.has_warm_up()},
      {"memory_bytes", options.memory_bytes() != 0}};
  for (const auto& [name, is_set] : others) {
    if (is_set)
      return InvalidArgument("has {}, and {}, which has no effect on it; set it {}", what, name,
                             where);
  }
  return OkStatus();
}

}  // namespace penstock
