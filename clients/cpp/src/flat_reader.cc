// SPDX-License-Identifier: Apache-2.0
#include "flat_reader.h"

#include <string>

#include "penstock_client/errors.h"

namespace penstock_client {

void FlatReader::Fail(std::string_view what, size_t where) const {
  throw ProtocolError("the message is malformed: " + std::string(what) + " (byte " +
                      std::to_string(where) + " of " + std::to_string(message_.size()) + ")");
}

size_t FlatReader::FieldAt(const FlatTable& table, int slot) const {
  const auto entry = static_cast<size_t>(4 + 2 * slot);
  if (entry + 2 > table.vtable_bytes) return 0;
  const auto offset = Load<uint16_t>(table.vtable + entry);
  return offset == 0 ? 0 : table.at + offset;
}

size_t FlatReader::Target(size_t at) const {
  const auto offset = Load<uint32_t>(at);
  if (offset == 0) Fail("an offset leads to itself", at);
  return at + offset;
}

FlatTable FlatReader::TableBehind(size_t at) const {
  const size_t table = Target(at);
  const int64_t vtable = static_cast<int64_t>(table) - Load<int32_t>(table);
  if (vtable < 0) Fail("a vtable lies before the start", table);
  const auto place = static_cast<size_t>(vtable);
  return {table, place, Load<uint16_t>(place)};
}

FlatList FlatReader::ListBehind(size_t at, size_t width) const {
  const size_t start = Target(at);
  const auto count = Load<uint32_t>(start);
  if (count > (message_.size() - start - 4) / width)
    Fail("a list of " + std::to_string(count) + " elements is longer than the message", start);
  return {start + 4, count};
}

}  // namespace penstock_client
