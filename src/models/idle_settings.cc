// SPDX-License-Identifier: Apache-2.0
#include "models/idle_settings.h"

#include <fmt/format.h>

#include <string_view>

#include "core/model_config.h"

namespace penstock {

std::vector<std::string> IdleSettings(const std::vector<ConfiguredModel>& models) {
  std::vector<std::string> sentences;
  for (const ConfiguredModel& model : models) {
    if (model.load_mode == core::LoadMode::kOnDemand) continue;
    const auto add = [&](std::string_view setting) {
      sentences.push_back(
          fmt::format("model {}: {} has no effect without load: ON_DEMAND", model.name, setting));
    };
    if (model.unload_after_idle.count() > 0) add("unload_after_idle_ms");
    if (model.keep_loaded) add("keep_loaded");
  }
  return sentences;
}

}  // namespace penstock
