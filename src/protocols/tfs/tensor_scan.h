// SPDX-License-Identifier: Apache-2.0
// The first pass over a TensorProto: finds its type and shape, and where its elements are.
#pragma once

#include <cstdint>
#include <string_view>

#include "protocols/tfs/wire_reader.h"
#include "tensor/shape.h"

namespace penstock::tfs {

// The results: where each form of the elements is, without knowing the type, which may come last in
// the message. Views into the message. One thread at a time.
struct TensorScan {
  int32_t dtype = 0;  // TensorFlow's number
  Shape shape;  // has at most kRankMax + 1 dimensions; a shape with that many is refused later
  bool unknown_rank = false;
  std::string_view content;
  uint32_t value_fields = 0;  // bit f: field f of typed values has at least one piece
  uint32_t value_pieces = 0;  // packed runs and single values in all typed fields
  std::string_view packed;    // the last packed run, and its field
  uint32_t packed_field = 0;
};

// Reads the fields of a TensorProto to its end. `scan` must be fresh. Returns false, and sets the
// reader's error, if they are malformed. Does not check packed varints: call CheckVarints for the
// fields that are not decoded later.
bool ScanTensor(WireReader& reader, int nesting_left, TensorScan& scan);

// Checks the packed varints of all fields of the TensorProto `bytes`, except those in the mask
// `fields_not_checked` (bit f: field f). Returns false if one is malformed. REQUIRES: ScanTensor
// has returned true for these bytes.
bool CheckVarints(std::string_view bytes, uint32_t fields_not_checked, WireError& error);

}  // namespace penstock::tfs
