// SPDX-License-Identifier: Apache-2.0
// Writes TFRecord files, for tests.
#pragma once

#include <cstring>
#include <string>
#include <string_view>

#include "base/encoding/crc32c.h"

namespace penstock {

// Formats the length of a record and its checksum.
inline std::string FakeRecordHead(uint64_t length) {
  std::string head(sizeof length, '\0');
  std::memcpy(head.data(), &length, sizeof length);
  const uint32_t sum = MaskedCrc32c(head);
  head.append(reinterpret_cast<const char*>(&sum), sizeof sum);
  return head;
}

inline std::string FakeRecord(std::string_view data) {
  const uint32_t sum = MaskedCrc32c(data);
  std::string record = FakeRecordHead(data.size());
  record.append(data).append(reinterpret_cast<const char*>(&sum), sizeof sum);
  return record;
}

}  // namespace penstock
