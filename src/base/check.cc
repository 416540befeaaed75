// SPDX-License-Identifier: Apache-2.0
#include "base/check.h"

#include <cstdlib>

#include "base/log.h"

namespace penstock {

void CheckFailed(std::string_view file, int line, std::string_view message) {
  log_internal::Write(LogLevel::kError, fmt::format("{}:{}: {}", file, line, message));
  // Not exit: a core dump shows how the invariant broke, and no destructor runs on broken state.
  std::abort();
}

}  // namespace penstock
