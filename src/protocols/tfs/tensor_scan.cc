// SPDX-License-Identifier: Apache-2.0
// The scan must not depend on the type of the tensor, because protobuf allows the fields in any
// order: the type may come last. So it only notes where each kind of value is. It checks everything
// that is cheap to check, and leaves the inside of packed varints to the decoder.
#include "protocols/tfs/tensor_scan.h"

#include "protocols/tfs/tensor_fields.h"

namespace penstock::tfs {
namespace {

bool ReadDim(std::string_view bytes, int nesting_left, Shape& shape, WireError& error) {
  WireReader reader(bytes, error);
  uint64_t size = 0;
  while (!reader.AtEnd()) {
    uint32_t tag = 0;
    if (!reader.ReadTag(tag)) return false;
    std::string_view name;
    const bool ok = tag == MakeTag(1, WireType::kVarint)   ? reader.ReadVarint(size)
                    : tag == MakeTag(2, WireType::kLength) ? reader.ReadString(name)
                                                           : reader.SkipField(tag, nesting_left);
    if (!ok) return false;
  }
  // One more dimension than allowed is kept, so that the shape is refused later; further ones would
  // only take memory.
  if (shape.rank() <= kRankMax) shape.Append(static_cast<int64_t>(size));
  return true;
}

bool ReadShape(std::string_view bytes, int nesting_left, TensorScan& scan, WireError& error) {
  WireReader reader(bytes, error);
  while (!reader.AtEnd()) {
    uint32_t tag = 0;
    if (!reader.ReadTag(tag)) return false;
    if (tag == MakeTag(2, WireType::kLength)) {
      std::string_view dim;
      if (!reader.ReadBytes(dim) || !ReadDim(dim, nesting_left - 1, scan.shape, error)) {
        return false;
      }
    } else if (tag == MakeTag(3, WireType::kVarint)) {
      uint64_t value = 0;
      if (!reader.ReadVarint(value)) return false;
      scan.unknown_rank = value != 0;
    } else if (!reader.SkipField(tag, nesting_left)) {
      return false;
    }
  }
  return true;
}

// Whether packed varints are valid needs a walk over all of them. The decoder does that, so that
// the usual message is walked once.
bool IsPackedSizeValid(ValueKind kind, size_t bytes) {
  if (kind == ValueKind::kFixed32) return bytes % 4 == 0;
  if (kind == ValueKind::kFixed64) return bytes % 8 == 0;
  return true;
}

// Notes where a field of typed values is, packed or not.
bool ScanValues(WireReader& reader, uint32_t tag, int nesting_left, TensorScan& scan) {
  const uint32_t field = tag >> 3;
  const ValueKind kind = ValueKindOf(field);
  if ((tag & 7) == static_cast<uint32_t>(WireType::kLength)) {
    std::string_view bytes;
    if (!reader.ReadBytes(bytes)) return false;
    if (!IsPackedSizeValid(kind, bytes.size())) {
      return reader.Fail("packed values end within a value");
    }
    scan.packed = bytes;
    scan.packed_field = field;
  } else {
    const bool is_value =
        (kind == ValueKind::kFixed32 && tag == MakeTag(field, WireType::kFixed32)) ||
        (kind == ValueKind::kFixed64 && tag == MakeTag(field, WireType::kFixed64)) ||
        (kind == ValueKind::kVarint && tag == MakeTag(field, WireType::kVarint));
    if (!reader.SkipField(tag, nesting_left)) return false;
    if (!is_value) return true;  // an unknown field with the number of a known one
  }
  scan.value_fields |= 1u << field;
  ++scan.value_pieces;
  return true;
}

}  // namespace

bool ScanTensor(WireReader& reader, int nesting_left, TensorScan& scan) {
  while (!reader.AtEnd()) {
    uint32_t tag = 0;
    if (!reader.ReadTag(tag)) return false;
    bool ok = true;
    if (tag == MakeTag(kDtypeField, WireType::kVarint)) {
      uint64_t value = 0;
      ok = reader.ReadVarint(value);
      scan.dtype = static_cast<int32_t>(value);
    } else if (tag == MakeTag(kShapeField, WireType::kLength)) {
      std::string_view shape;
      ok = reader.ReadBytes(shape) && ReadShape(shape, nesting_left - 1, scan, reader.error());
    } else if (tag == MakeTag(kContentField, WireType::kLength)) {
      // The last one wins: protobuf does not merge fields of bytes.
      ok = reader.ReadBytes(scan.content);
    } else if (ValueKindOf(tag >> 3) != ValueKind::kNone) {
      ok = ScanValues(reader, tag, nesting_left, scan);
    } else {
      ok = reader.SkipField(tag, nesting_left);
    }
    if (!ok) return false;
  }
  return true;
}

bool CheckVarints(std::string_view bytes, uint32_t fields_not_checked, WireError& error) {
  WireReader reader(bytes, error);
  while (!reader.AtEnd()) {
    uint32_t tag = 0;
    if (!reader.ReadTag(tag)) return false;
    const uint32_t field = tag >> 3;
    if (tag != MakeTag(field, WireType::kLength) || ValueKindOf(field) != ValueKind::kVarint ||
        (fields_not_checked >> field & 1) != 0) {
      if (!reader.SkipField(tag, kNestingMax)) return false;
      continue;
    }
    std::string_view packed;
    if (!reader.ReadBytes(packed)) return false;
    WireReader values(packed, error);
    for (uint64_t value = 0; !values.AtEnd();) {
      if (!values.ReadVarint(value)) return false;
    }
  }
  return true;
}

}  // namespace penstock::tfs
