// SPDX-License-Identifier: Apache-2.0
#include "remote/allowed_targets.h"

#include <algorithm>

namespace penstock::remote {
namespace {

bool Fits(std::string_view pattern, std::string_view text) {
  const size_t star = pattern.find('*');
  if (star == std::string_view::npos) return pattern == text;
  if (!text.starts_with(pattern.substr(0, star))) return false;
  const std::string_view rest = pattern.substr(star + 1);
  for (size_t at = star; at <= text.size(); ++at) {
    if (Fits(rest, text.substr(at))) return true;
  }
  return false;
}

std::string LowerCase(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c; });
  return lower;
}

}  // namespace

AllowedTargets::AllowedTargets(std::string_view patterns) {
  while (!patterns.empty()) {
    const size_t comma = std::min(patterns.find(','), patterns.size());
    std::string_view pattern = patterns.substr(0, comma);
    patterns.remove_prefix(std::min(comma + 1, patterns.size()));
    while (pattern.starts_with(' ')) pattern.remove_prefix(1);
    while (pattern.ends_with(' ')) pattern.remove_suffix(1);
    if (!pattern.empty()) patterns_.push_back(LowerCase(pattern));
  }
}

Status AllowedTargets::Check(const RemoteTarget& target) const {
  const std::string text = LowerCase(target.ToString());
  if (std::ranges::any_of(patterns_, [&](const std::string& each) { return Fits(each, text); }))
    return OkStatus();
  return Error(StatusCode::kPermissionDenied,
               "the target '{:.200}' is not allowed: start the server with --remote_targets, and a "
               "pattern that fits it",
               text);
}

}  // namespace penstock::remote
