// SPDX-License-Identifier: Apache-2.0
#include "ort_file.h"

#include <algorithm>
#include <optional>

#include "proto_file.h"

namespace penstock::onnxruntime {
namespace {

// Positions of fields in the tables of the format (ort.fbs), which never change.
enum : uint32_t { kSessionModel = 1, kModelGraphField = 7, kGraphNodeArgs = 1 };
enum : uint32_t { kInfoName = 0, kInfoType = 2 };
enum : uint32_t { kTypeKind = 1, kTypeValue = 2, kTypeKindTensor = 1 };
enum : uint32_t { kTensorShape = 1, kShapeDims = 0 };

using Place = std::optional<uint64_t>;  // in the file; none: not there, or the file is malformed

// Reads a FlatBuffer. All numbers are little-endian. One thread at a time.
class FlatFile final {
 public:
  explicit FlatFile(const std::string& path) : file_(path), text_left_(file_.size()) {}

  // The outermost table, if the file has the identifier "ORTM".
  Place Root() {
    constexpr uint64_t kIdentifier = 0x4d54524f;
    if (Number(sizeof(uint32_t), sizeof(uint32_t)) != kIdentifier) return std::nullopt;
    return Follow(0);
  }
  // Where the value of a table's field lies.
  Place Field(Place table, uint32_t index) {
    if (!table) return std::nullopt;
    const Place back = Number(*table, sizeof(uint32_t));
    if (!back) return std::nullopt;
    const int64_t description =
        static_cast<int64_t>(*table) - static_cast<int32_t>(static_cast<uint32_t>(*back));
    if (description < 0) return std::nullopt;
    const auto start = static_cast<uint64_t>(description);
    const uint64_t entry = sizeof(uint16_t) * (2 + uint64_t{index});
    const Place size = Number(start, sizeof(uint16_t));
    if (!size || entry >= *size) return std::nullopt;
    const Place offset = Number(start + entry, sizeof(uint16_t));
    if (!offset || *offset == 0) return std::nullopt;
    return *table + *offset;
  }
  // The table, vector or text that a field refers to.
  Place Inner(Place table, uint32_t index) { return Follow(Field(table, index)); }
  Place Follow(Place place) {
    if (!place) return std::nullopt;
    const Place offset = Number(*place, sizeof(uint32_t));
    if (!offset) return std::nullopt;
    return *place + *offset;
  }
  // Bytes from one place on.
  Place Number(uint64_t at, uint64_t bytes) {
    uint64_t value = 0;
    for (uint64_t i = 0; i < bytes; ++i) {
      uint8_t byte = 0;
      if (at + i >= file_.size() || !file_.Get(at + i, byte)) return std::nullopt;
      value |= uint64_t{byte} << (8 * i);
    }
    return value;
  }
  uint64_t Size(Place vector) { return vector ? Number(*vector, sizeof(uint32_t)).value_or(0) : 0; }
  // The table at a place in a vector of tables.
  Place Element(uint64_t vector, uint64_t index) {
    return Follow(vector + sizeof(uint32_t) * (1 + index));
  }
  // All texts together have no more bytes than the file: that many may be one and the same.
  std::string Text(Place place) {
    const uint64_t size = std::min(Size(place), text_left_);
    text_left_ -= size;
    std::string text;
    for (uint64_t i = 0; i < size; ++i) {
      const Place byte = Number(*place + sizeof(uint32_t) + i, 1);
      if (!byte) break;
      text.push_back(static_cast<char>(*byte));
    }
    return text;
  }
  uint64_t bytes() const { return file_.size(); }

 private:
  FileBytes file_;
  uint64_t text_left_;
};

// True if the value has a shape, and that no dimension.
bool IsScalar(FlatFile& file, Place value) {
  const Place type = file.Inner(value, kInfoType);
  const Place kind = file.Field(type, kTypeKind);
  if (!kind || file.Number(*kind, 1) != kTypeKindTensor) return false;
  const Place shape = file.Inner(file.Inner(type, kTypeValue), kTensorShape);
  return shape && file.Size(file.Inner(shape, kShapeDims)) == 0;
}

}  // namespace

Names ReadOrtScalars(const std::string& path) {
  FlatFile file(path);
  const Place graph = file.Inner(file.Inner(file.Root(), kSessionModel), kModelGraphField);
  const Place values = file.Inner(graph, kGraphNodeArgs);
  const uint64_t count = std::min(file.Size(values), file.bytes() / sizeof(uint32_t));
  Names scalars;
  for (uint64_t i = 0; i < count; ++i) {
    const Place value = file.Element(*values, i);
    if (IsScalar(file, value)) scalars.insert(file.Text(file.Inner(value, kInfoName)));
  }
  return scalars;
}

}  // namespace penstock::onnxruntime
