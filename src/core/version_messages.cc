// SPDX-License-Identifier: Apache-2.0
#include "core/version_messages.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace penstock::core {

std::string ListVersions(const std::set<VersionNumber>& versions) {
  constexpr size_t kListedMax = 20;
  std::string text;
  size_t count = 0;
  for (const VersionNumber version : versions) {
    if (count++ == kListedMax) return text + ", ...";
    text += fmt::format("{}{}", text.empty() ? "" : ", ", version.value);
  }
  return text;
}

Status NoneSelected(std::string_view place, const VersionSelection& selection,
                    const std::set<VersionNumber>& there) {
  std::string wanted;
  if (const auto* specific = std::get_if<SpecificVersions>(&selection)) {
    if (specific->versions.empty()) {
      return Error(StatusCode::kNotFound,
                   "the configuration asks for no version; in {} there are: {}", place,
                   ListVersions(there));
    }
    wanted = "; wanted: " + ListVersions({specific->versions.begin(), specific->versions.end()});
  }
  return Error(StatusCode::kNotFound, "none of the wanted versions is in {}{}; there are: {}",
               place, wanted, ListVersions(there));
}

std::string Absent(std::string_view place, const VersionSelection& selection,
                   const std::set<VersionNumber>& there) {
  const auto* specific = std::get_if<SpecificVersions>(&selection);
  if (specific == nullptr) return "";
  std::set<VersionNumber> absent(specific->versions.begin(), specific->versions.end());
  std::erase_if(absent, [&](const VersionNumber version) { return there.contains(version); });
  if (absent.empty()) return "";
  const bool is_one = absent.size() == 1;
  return fmt::format("version{} {} {} wanted and {} not in {}; there are: {}", is_one ? "" : "s",
                     ListVersions(absent), is_one ? "is" : "are", is_one ? "is" : "are", place,
                     ListVersions(there));
}

std::string LeftOut(std::string_view place, const IncompleteVersions& versions) {
  // Versions often wait for the same reason, so name each reason once.
  std::vector<std::pair<std::string_view, std::set<VersionNumber>>> reasons;  // in order of version
  for (const auto& [version, reason] : versions) {
    auto found = std::ranges::find(reasons, std::string_view(reason),
                                   [](const auto& each) { return each.first; });
    if (found == reasons.end()) found = reasons.insert(found, {reason, {}});
    found->second.insert(version);
  }
  std::string text;
  for (const auto& [reason, numbers] : reasons) {
    const bool is_one = numbers.size() == 1;
    text += fmt::format("{}version{} {} in {} {} not complete and left out: {}",
                        text.empty() ? "" : "; ", is_one ? "" : "s", ListVersions(numbers), place,
                        is_one ? "is" : "are", reason);
  }
  return text;
}

}  // namespace penstock::core
