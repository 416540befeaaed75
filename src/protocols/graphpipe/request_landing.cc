// SPDX-License-Identifier: Apache-2.0
// The server can place a body in memory so that one chosen byte is aligned. This function chooses
// the first element of the largest tensor that it can see. Clients write the tables first, so the
// position of the first tensor's elements is known from a few hundred bytes. Where the elements of
// a second one begin is known only if the first is small. A wrong choice only costs a copy later,
// so it stops at anything unusual.
//
// Builders write equal vtables only once, so that of a first tensor may lie behind its elements.
// Then the place of the field `data` is not known, and GuessData looks for it.
#include <algorithm>

#include "protocols/graphpipe/message_fields.h"
#include "protocols/graphpipe/request_reader.h"

namespace penstock::graphpipe {
namespace {

// Smaller tensors are cheap to copy.
constexpr uint32_t kBigBytes = 1024;
// More tensors than this are not looked at.
constexpr uint32_t kTensorsMax = 16;

// Looks for the offset of the elements in the first words of the table at `at`. Only they are so
// many: a shape has few dimensions, and a type is a small number.
bool GuessData(FlatReader& reader, size_t at, FlatVector& data) {
  constexpr size_t kWord = sizeof(uint32_t);
  for (size_t word = 1; word <= 4; ++word)
    if (reader.BytesBehind(at + word * kWord, data) && data.count >= kBigBytes) return true;
  return false;
}

bool FindData(FlatReader& reader, const FlatVector& tensors, uint32_t index, FlatVector& data) {
  FlatTable table;
  if (reader.TableAt(tensors, index, table)) return ReadData(reader, table, data);
  size_t at = 0;
  return reader.TargetAt(tensors, index, at) && GuessData(reader, at, data);
}

}  // namespace

size_t RequestLanding(std::span<const std::byte> prefix, uint64_t body_bytes) {
  if (body_bytes < kBigBytes || body_bytes > kMessageBytesMax) return 0;
  FlatReader reader({reinterpret_cast<const char*>(prefix.data()), prefix.size()}, body_bytes);
  // Only the fields on the way to the elements are read: the others may lie at the end.
  RequestFields head;
  FlatVector tensors, largest;
  if (!head.Read(reader) || head.type != kInferRequestType || !head.has_content ||
      !ReadTensorList(reader, head.content, tensors)) {
    return 0;
  }
  for (uint32_t i = 0; i < std::min(tensors.count, kTensorsMax); ++i) {
    FlatVector data;
    if (FindData(reader, tensors, i, data) && data.count > largest.count) largest = data;
  }
  return largest.count < kBigBytes ? 0 : largest.at;
}

}  // namespace penstock::graphpipe
