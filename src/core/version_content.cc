// SPDX-License-Identifier: Apache-2.0
#include "core/version_content.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace penstock::core {
namespace {

// The files beside saved_model.pb. An upload may write them before it.
constexpr std::array<std::string_view, 6> kSavedModelParts = {
    "variables", "assets", "assets.extra", "debug", "fingerprint.pb", "keras_metadata.pb"};

}  // namespace

void VersionContent::Add(std::string_view name, uint64_t bytes) {
  if (bytes == 0) return;
  const std::string_view top = name.substr(0, name.find('/'));
  if (std::find(kSavedModelParts.begin(), kSavedModelParts.end(), top) == kSavedModelParts.end()) {
    has_model_ = true;
  } else {
    part_ = top;
  }
}

std::string VersionContent::Missing() const {
  if (has_model_) return "";
  if (part_.empty()) return "it has no files, or only empty ones";
  return fmt::format("it has {} and no saved_model.pb", part_);
}

}  // namespace penstock::core
