// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace penstock_client {

// Throws the ServerError of the class that belongs to the status.
[[noreturn]] void ThrowServerError(int64_t status, std::string text,
                                   std::optional<std::chrono::seconds> retry_after = std::nullopt);

}  // namespace penstock_client
