// SPDX-License-Identifier: Apache-2.0
#include "core/name_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace penstock::core {
namespace {

constexpr size_t kNamedMax = 10;

// `omitted_before` and `omitted_after` stand for names that are not listed.
std::string Describe(std::string_view noun, const std::vector<std::string>& names,
                     std::string_view omitted_before, std::string_view omitted_after) {
  if (names.empty()) return fmt::format("the model has no {}", noun);
  return fmt::format("the model has {}{} {}{}{}", noun, names.size() == 1 ? "" : "s",
                     omitted_before, fmt::join(names, ", "), omitted_after);
}

}  // namespace

std::string DescribeVersions(std::vector<VersionNumber> versions) {
  std::sort(versions.begin(), versions.end());
  const bool has_more = versions.size() > kNamedMax;
  std::vector<std::string> names;
  for (size_t i = has_more ? versions.size() - kNamedMax : 0; i < versions.size(); ++i)
    names.push_back(std::to_string(versions[i].value));
  return Describe("version", names, has_more ? "..., " : "", "");
}

std::string DescribeLabels(const std::vector<std::string>& labels) {
  std::vector<std::string> names;
  for (size_t i = 0; i < std::min(labels.size(), kNamedMax); ++i)
    names.push_back(fmt::format("\"{}\"", labels[i]));
  return Describe("label", names, "", labels.size() > kNamedMax ? ", ..." : "");
}

}  // namespace penstock::core
