// SPDX-License-Identifier: Apache-2.0
// The entries of a protobuf map whose values are messages.
#pragma once

#include <string_view>

#include "protocols/tfs/wire_reader.h"

namespace penstock::tfs {

// Calls `visit` with each piece of the value in a map entry (field 2). A usual entry has one piece;
// protobuf merges several. REQUIRES: the entry is well-formed, since a first scan has read it.
// Returns false if `visit` does.
template <typename Visitor>
bool VisitPieces(std::string_view entry, WireError& error, Visitor visit) {
  WireReader reader(entry, error);
  while (!reader.AtEnd()) {
    uint32_t tag = 0;
    if (!reader.ReadTag(tag)) return false;
    if (tag != MakeTag(2, WireType::kLength)) {
      if (!reader.SkipField(tag, kNestingMax)) return false;
      continue;
    }
    std::string_view piece;
    if (!reader.ReadBytes(piece) || !visit(piece)) return false;
  }
  return true;
}

}  // namespace penstock::tfs
