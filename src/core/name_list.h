// SPDX-License-Identifier: Apache-2.0
// Lists versions and labels in messages.
#pragma once

#include <string>
#include <vector>

#include "core/servable.h"

namespace penstock::core {

// Returns "the model has versions 2, 3", with the newest ten versions, ascending; or "the model has
// no version".
std::string DescribeVersions(std::vector<VersionNumber> versions);

// Returns "the model has labels \"canary\", \"stable\"", with the first ten; or "the model has no
// label".
std::string DescribeLabels(const std::vector<std::string>& labels);

}  // namespace penstock::core
