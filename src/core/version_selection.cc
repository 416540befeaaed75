// SPDX-License-Identifier: Apache-2.0
#include "core/version_selection.h"

#include <algorithm>
#include <charconv>
#include <system_error>

namespace penstock::core {
namespace {

template <typename... Functions>
struct Overloaded : Functions... {
  using Functions::operator()...;
};
// clang 16 needs this deduction guide.
template <typename... Functions>
Overloaded(Functions...) -> Overloaded<Functions...>;

}  // namespace

Status CheckSelection(std::string_view model, const VersionSelection& selection) {
  const auto* latest = std::get_if<LatestVersions>(&selection);
  if (latest != nullptr && latest->count < 1) {
    return InvalidArgument(
        "the model \"{}\" shall serve the latest {} versions; at least 1 is needed", model,
        latest->count);
  }
  if (const auto* specific = std::get_if<SpecificVersions>(&selection)) {
    for (const VersionNumber version : specific->versions) {
      if (version.value >= 0) continue;
      return InvalidArgument(
          "the model \"{}\" shall serve version {}, but versions are not negative", model,
          version.value);
    }
  }
  return OkStatus();
}

std::set<VersionNumber> SelectVersions(const VersionSelection& selection,
                                       std::set<VersionNumber> there) {
  std::visit(Overloaded{[&](const LatestVersions& latest) {
                          while (there.size() > static_cast<size_t>(latest.count)) {
                            there.erase(there.begin());
                          }
                        },
                        [](const AllVersions&) {},
                        [&](const SpecificVersions& specific) {
                          const auto& wanted = specific.versions;
                          std::erase_if(there, [&](VersionNumber version) {
                            return std::find(wanted.begin(), wanted.end(), version) == wanted.end();
                          });
                        }},
             selection);
  return there;
}

std::optional<VersionNumber> ParseVersion(std::string_view name) {
  // from_chars would accept a minus sign, but "-1" is no name of a version.
  if (name.empty() || name.front() == '-') return std::nullopt;
  VersionNumber version;
  const char* const end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data(), end, version.value);
  if (error != std::errc() || stop != end) return std::nullopt;
  return version;
}

}  // namespace penstock::core
