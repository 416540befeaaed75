// SPDX-License-Identifier: Apache-2.0
// Where a server and its models are.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "penstock_client/options.h"

namespace penstock_client {

// Checks the URL of a server, and returns it without a slash at its end. Throws
// std::invalid_argument. Sets `is_tls`.
std::string CheckUrl(const std::string& url, bool& is_tls);

// The path and query of a model behind the URL of its server. Without a name: `/`. Throws
// std::invalid_argument.
std::string TargetOf(std::optional<std::string_view> name, const ModelOptions& options);

}  // namespace penstock_client
