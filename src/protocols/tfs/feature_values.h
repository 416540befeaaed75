// SPDX-License-Identifier: Apache-2.0
// The values of one Feature of an Example, read from the wire and written as the elements of a
// tensor.
//
// ReadFeature walks over the bytes and gives each value to a sink, which has the functions of
// ValueCounter. The two sinks must agree about which values count, since the counter decides the
// size of the row that the writer fills. Both are classes without virtual functions, so that the
// compiler can put them into the loop over the bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string_view>

#include "protocols/tfs/wire_reader.h"
#include "tensor/dtype.h"
#include "tensor/tensor.h"

namespace penstock::tfs {

// The numbers are those of the fields of Feature.
enum class FeatureKind : uint8_t { kNone = 0, kBytes = 1, kFloat = 2, kInt64 = 3 };

// The nesting limit inside a list of values. It lies in a Feature, in a map entry, in Features, in
// an Example, in a list of Examples, in an Input, in a request.
inline constexpr int kValuesNesting = kNestingMax - 7;

std::string_view FeatureKindName(FeatureKind kind);

// True if values of this kind can become elements of this type.
bool IsAccepted(FeatureKind kind, DType type);

// Counts values. As protobuf does, it merges lists of one kind, and a list of another kind replaces
// those before.
//
//   ValueCounter counter;
//   if (!ReadFeature(feature, counter, error)) return false;
//   if (!IsAccepted(counter.kind(), type)) return Wrong();
//   ValueWriter writer(type, row, counter.count());
//   ReadFeature(feature, writer, error);  // writer.is_whole() unless a value is out of range
//
// One thread at a time.
class ValueCounter {
 public:
  // A list of `kind` begins. The lists are a oneof in the Feature, so a list of another kind
  // forgets the values so far.
  void Start(FeatureKind kind) {
    if (kind != kind_) count_ = 0;
    kind_ = kind;
  }
  void Bytes(std::string_view) { ++count_; }
  // `packed` holds whole little-endian floats: one, or all of a packed list.
  void Floats(std::string_view packed) {
    count_ += static_cast<int64_t>(packed.size() / sizeof(float));
  }
  void Int64(int64_t) { ++count_; }

  FeatureKind kind() const { return kind_; }
  int64_t count() const { return count_; }

 private:
  FeatureKind kind_ = FeatureKind::kNone;
  int64_t count_ = 0;
};

// Writes values as elements, and merges lists as ValueCounter does. One thread at a time.
class ValueWriter final {
 public:
  // `to` has space for `capacity` elements of `type`, and is aligned for it. Strings are stored as
  // StringElement views of the message.
  ValueWriter(DType type, std::byte* to, int64_t capacity)
      : type_(type), to_(to), capacity_(capacity) {}

  void Start(FeatureKind kind) {
    if (kind == kind_) return;
    kind_ = kind;
    count_ = 0;
    is_out_of_range_ = false;
    // Values of a wrong kind, or beyond the capacity, are counted and not stored. The error message
    // names how many came.
    room_ = IsAccepted(kind, type_) ? capacity_ : 0;
  }
  void Bytes(std::string_view bytes) {
    if (count_ < room_) Store(StringElement{bytes.data(), bytes.size()});
    ++count_;
  }
  void Floats(std::string_view packed);
  void Int64(int64_t value) {
    if (count_ < room_) StoreInt64(value);
    ++count_;
  }

  FeatureKind kind() const { return kind_; }
  int64_t count() const { return count_; }
  // A value that its type cannot hold. Valid if is_out_of_range().
  int64_t bad_value() const { return bad_value_; }
  bool is_out_of_range() const { return is_out_of_range_; }
  // True if all elements are written.
  bool is_whole() const { return count_ == capacity_ && room_ == capacity_ && !is_out_of_range_; }

 private:
  template <typename T>
  void Store(T value) {
    std::memcpy(to_ + static_cast<size_t>(count_) * sizeof(T), &value, sizeof(T));
  }
  // Stores the value even if it does not fit, since a later list may replace it. The error comes at
  // the end of the Example.
  template <typename T>
  void StoreInteger(int64_t value) {
    // Only uint64 has a maximum above that of int64. For it, any value of the wire that is not
    // negative fits.
    const bool fits = std::numeric_limits<T>::is_signed || sizeof(T) < sizeof(value)
                          ? value >= static_cast<int64_t>(std::numeric_limits<T>::min()) &&
                                value <= static_cast<int64_t>(std::numeric_limits<T>::max())
                          : value >= 0;
    if (!fits) {
      is_out_of_range_ = true;
      bad_value_ = value;
    }
    Store(static_cast<T>(value));
  }
  void StoreInt64(int64_t value) {
    if (type_ == DType::kInt64) [[likely]]
      return Store(value);
    StoreConverted(value);
  }
  void StoreConverted(int64_t value);

  const DType type_;
  std::byte* const to_;
  const int64_t capacity_;
  FeatureKind kind_ = FeatureKind::kNone;
  int64_t room_ = 0;  // 0 if the kind is not accepted
  int64_t count_ = 0;
  bool is_out_of_range_ = false;
  int64_t bad_value_ = 0;
};

// Implementation below.

// Reads a BytesList, a FloatList or an Int64List.
template <typename Sink>
bool ReadValues(std::string_view list, FeatureKind kind, Sink& sink, WireError& error) {
  WireReader reader(list, error);
  while (!reader.AtEnd()) {
    uint32_t tag = 0;
    if (!reader.ReadTag(tag)) return false;
    std::string_view bytes;
    if (tag == MakeTag(1, WireType::kLength)) {
      if (!reader.ReadBytes(bytes)) return false;
      if (kind == FeatureKind::kBytes) {
        sink.Bytes(bytes);
      } else if (kind == FeatureKind::kFloat) {
        if (bytes.size() % sizeof(float) != 0) {
          return reader.Fail("packed values end within a value");
        }
        sink.Floats(bytes);
      } else {
        WireReader values(bytes, error);
        while (!values.AtEnd()) {
          uint64_t value = 0;
          if (!values.ReadVarint(value)) return false;
          sink.Int64(static_cast<int64_t>(value));
        }
      }
    } else if (kind == FeatureKind::kInt64 && tag == MakeTag(1, WireType::kVarint)) {
      uint64_t value = 0;
      if (!reader.ReadVarint(value)) return false;
      sink.Int64(static_cast<int64_t>(value));
    } else if (kind == FeatureKind::kFloat && tag == MakeTag(1, WireType::kFixed32)) {
      const char* const at = reader.cursor();
      uint32_t bits = 0;
      if (!reader.ReadFixed(bits)) return false;
      sink.Floats({at, sizeof bits});
    } else if (!reader.SkipField(tag, kValuesNesting)) {
      return false;
    }
  }
  return true;
}

// Gives the values of one piece of a Feature to `sink`. Returns false, and sets `error`, if it is
// malformed.
template <typename Sink>
bool ReadFeature(std::string_view feature, Sink& sink, WireError& error) {
  WireReader reader(feature, error);
  while (!reader.AtEnd()) {
    uint32_t tag = 0;
    if (!reader.ReadTag(tag)) return false;
    const uint32_t field = tag >> 3;
    std::string_view list;
    if (tag != MakeTag(field, WireType::kLength) || field > 3) {
      if (!reader.SkipField(tag, kValuesNesting + 1)) return false;
      continue;
    }
    const auto kind = static_cast<FeatureKind>(field);
    sink.Start(kind);
    if (!reader.ReadBytes(list) || !ReadValues(list, kind, sink, error)) return false;
  }
  return true;
}

}  // namespace penstock::tfs
