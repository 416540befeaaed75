// SPDX-License-Identifier: Apache-2.0
#include "schedule/retry_hint.h"

#include <charconv>
#include <cstdint>
#include <string>

#include "absl/strings/cord.h"

namespace penstock::schedule {
namespace {

constexpr char kKey[] = "penstock/retry-after-seconds";

}  // namespace

void SetRetryHint(Status& status, std::chrono::seconds after) {
  status.SetPayload(kKey, absl::Cord(std::to_string(after.count())));
}

std::optional<std::chrono::seconds> RetryHintOf(const Status& status) {
  const auto payload = status.GetPayload(kKey);
  if (!payload) return std::nullopt;
  const std::string text(*payload);
  int64_t seconds = 1;
  std::from_chars(text.data(), text.data() + text.size(), seconds);
  return std::chrono::seconds(seconds);
}

}  // namespace penstock::schedule
