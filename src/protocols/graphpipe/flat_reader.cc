// SPDX-License-Identifier: Apache-2.0
// The layout. An offset is 32 bits, and counts from its own position, forwards. A table begins with
// the distance back to its vtable, which is signed. A vtable has its own size, the size of the
// table, and for each slot the position of the field in the table, or 0; all of 16 bits. A vector
// has a count of 32 bits, and then its elements. A string is a vector of bytes.
//
// Nothing says that two offsets lead to different places, so the sizes of all parts together may
// exceed the message. Whoever copies parts must count them.
#include "protocols/graphpipe/flat_reader.h"

namespace penstock::graphpipe {
namespace {

// The size of the vtable, and that of the table.
constexpr size_t kVtableHeadBytes = 4;

}  // namespace

size_t FlatReader::FieldAt(const FlatTable& table, int slot) const {
  const size_t entry = kVtableHeadBytes + static_cast<size_t>(slot) * sizeof(uint16_t);
  if (entry + sizeof(uint16_t) > table.vtable_bytes) return 0;
  const auto offset = Load<uint16_t>(table.vtable + entry);
  return offset == 0 ? 0 : table.at + offset;
}

bool FlatReader::Target(size_t at, size_t& target) {
  if (!Has(at, sizeof(uint32_t))) return Fail("an offset lies behind the end", at);
  const auto offset = Load<uint32_t>(at);
  if (offset == 0) return Fail("an offset leads to itself", at);
  target = at + offset;
  if (target >= message_bytes_) return Fail("an offset leads behind the end", at);
  return true;
}

bool FlatReader::Follow(size_t at, FlatTable& table) {
  size_t target = 0;
  if (!Target(at, target)) return false;
  if (!Has(target, sizeof(int32_t))) return Fail("a table begins behind the end", target);
  const int64_t vtable = static_cast<int64_t>(target) - Load<int32_t>(target);
  if (vtable < 0 || !Has(static_cast<size_t>(vtable), sizeof(uint16_t)))
    return Fail("the vtable of a table lies outside", target);
  table.at = target;
  table.vtable = static_cast<size_t>(vtable);
  table.vtable_bytes = Load<uint16_t>(table.vtable);
  if (table.vtable_bytes % 2 != 0) return Fail("the size of a vtable is odd", table.vtable);
  if (!Has(table.vtable, table.vtable_bytes))
    return Fail("a vtable reaches behind the end", table.vtable);
  return true;
}

bool FlatReader::Follow(size_t at, size_t element_bytes, FlatVector& vector) {
  size_t target = 0;
  if (!Target(at, target)) return false;
  if (!Has(target, sizeof(uint32_t))) return Fail("a vector begins behind the end", target);
  vector.at = target + sizeof(uint32_t);
  vector.count = Load<uint32_t>(target);
  if (vector.count > (message_bytes_ - vector.at) / element_bytes)
    return Fail("a vector or string is longer than the rest of the message", target);
  return true;
}

bool FlatReader::ReadByte(const FlatTable& table, int slot, uint8_t& value) {
  const size_t at = FieldAt(table, slot);
  if (at == 0) return true;
  if (!Has(at, 1)) return Fail("a field lies behind the end", table.at);
  value = Load<uint8_t>(at);
  return true;
}

bool FlatReader::ReadTable(const FlatTable& table, int slot, FlatTable& found, bool& is_present) {
  const size_t at = FieldAt(table, slot);
  is_present = at != 0;
  return at == 0 || Follow(at, found);
}

bool FlatReader::ReadVector(const FlatTable& table, int slot, size_t element_bytes,
                            FlatVector& vector) {
  vector = {};
  const size_t at = FieldAt(table, slot);
  return at == 0 || Follow(at, element_bytes, vector);
}

bool FlatReader::ReadBytes(const FlatTable& table, int slot, std::string_view& bytes) {
  FlatVector vector;
  if (!ReadVector(table, slot, 1, vector)) return false;
  bytes = View(vector);
  return true;
}

bool FlatReader::BytesAt(const FlatVector& vector, uint32_t index, std::string_view& bytes) {
  FlatVector found;
  if (!Follow(vector.at + size_t{index} * sizeof(uint32_t), 1, found)) return false;
  bytes = View(found);
  return true;
}

}  // namespace penstock::graphpipe
