// SPDX-License-Identifier: Apache-2.0
#include "s3/retry_after.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <system_error>

namespace penstock {

Duration ParseRetryAfter(std::string_view text) {
  constexpr auto kMost = std::chrono::duration_cast<std::chrono::seconds>(kRetryAfterMax).count();
  const char* const end = text.data() + text.size();
  uint64_t seconds = 0;
  const auto [stop, error] = std::from_chars(text.data(), end, seconds);
  // The header may also be a date. Then the client's own pause is used.
  if (stop != end || text.empty()) return Duration::zero();
  if (error == std::errc::result_out_of_range) return kRetryAfterMax;
  return std::chrono::seconds(std::min<uint64_t>(seconds, kMost));
}

}  // namespace penstock
