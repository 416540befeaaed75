// SPDX-License-Identifier: Apache-2.0
// The first look at a TensorProto: what it says of itself, and where its elements are.
#pragma once

#include <cstdint>
#include <string_view>

#include "protocols/tfs/wire_reader.h"
#include "tensor/shape.h"

namespace penstock::tfs {

// What was found. Views into the message. One thread at a time.
struct TensorScan {
  int32_t dtype = 0;  // TensorFlow's number
  Shape shape;        // of at most kRankMax + 1 dimensions: one too many is kept, to be refused
  bool unknown_rank = false;
  std::string_view content;
  uint32_t value_fields = 0;  // bit f: field f of typed values has at least one piece
  uint32_t value_pieces = 0;  // packed runs and single values of all typed fields
  std::string_view packed;    // the last packed run, and its field
  uint32_t packed_field = 0;
};

// Reads the fields of a TensorProto up to its end. False, with the reader's error set, if they are
// malformed. Packed varints are not looked into: the fields that are not decoded afterwards must
// pass CheckVarints.
bool ScanTensor(WireReader& reader, int nesting_left, TensorScan& scan);

// Looks into the packed varints of all fields of the TensorProto `bytes` but those in the mask
// `fields_not_checked`. False if one is malformed.
bool CheckVarints(std::string_view bytes, uint32_t fields_not_checked, WireError& error);

}  // namespace penstock::tfs
