// SPDX-License-Identifier: Apache-2.0
// Checks for mistakes in this program. Never for errors of input, network, disk or plug-ins.
#pragma once

#include <string_view>

namespace penstock {

// Logs `message` and aborts.
[[noreturn]] void CheckFailed(std::string_view file, int line, std::string_view message);

}  // namespace penstock

// Aborts the program with `message` if `condition` is false.
#define PENSTOCK_CHECK(condition, message)                                                \
  do {                                                                                    \
    if (!(condition)) [[unlikely]]                                                        \
      ::penstock::CheckFailed(__FILE__, __LINE__, "'" #condition "' is false: " message); \
  } while (false)
