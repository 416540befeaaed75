// SPDX-License-Identifier: Apache-2.0
// Reads JSON values into a TensorBuilder. The innermost lists hold nearly all of the elements, so
// each type has its own tight loop for them (ReadInnermost). A walk over the outer lists surrounds
// it (ReadLists). It keeps a count for each open list instead of recursing, because the text is
// untrusted. The first element fixes the rank, and the first list that ends at a depth fixes that
// dimension; the builder compares all later lists with them.
#include <limits>
#include <type_traits>

#include "protocols/tfs_json/tensor_builder.h"

namespace penstock::tfs_json {
namespace {

enum class Read { kOk, kFailed, kTypeChanged };

// The error for a value that is none of `type`. A list among values is an error of the shape.
bool FailElement(JsonCursor& cursor, const TensorBuilder& builder, std::string_view type) {
  return cursor.Peek() == '[' ? builder.FailList(cursor) : cursor.FailType(type);
}

// Each of these structs reads one element of one type. `to` has space for it.
struct Float32Element {
  using Type = float;
  static Read Take(JsonCursor& cursor, TensorBuilder& builder, std::byte* to) {
    Decimal decimal;
    float value;
    if (cursor.ReadNumber(decimal)) [[likely]] {
      value = ToFloat32(decimal);
    } else if (double special; cursor.ReadNonFinite(special)) {
      value = static_cast<float>(special);
    } else {
      FailElement(cursor, builder, "float");
      return Read::kFailed;
    }
    std::memcpy(to, &value, sizeof(value));
    return Read::kOk;
  }
};

bool TakeDouble(JsonCursor& cursor, const TensorBuilder& builder, std::string_view type,
                double& value) {
  Decimal decimal;
  if (cursor.ReadNumber(decimal)) [[likely]] {
    value = ToFloat64(decimal);
    return true;
  }
  return cursor.ReadNonFinite(value) || FailElement(cursor, builder, type);
}

struct Float64Element {
  using Type = double;
  static Read Take(JsonCursor& cursor, TensorBuilder& builder, std::byte* to) {
    double value;
    if (!TakeDouble(cursor, builder, "double", value)) return Read::kFailed;
    std::memcpy(to, &value, sizeof(value));
    return Read::kOk;
  }
};

template <DType kType>
struct HalfElement {
  using Type = uint16_t;
  static Read Take(JsonCursor& cursor, TensorBuilder& builder, std::byte* to) {
    constexpr bool kIsHalf = kType == DType::kFloat16;
    double value;
    if (!TakeDouble(cursor, builder, kIsHalf ? "half" : "bfloat16", value)) return Read::kFailed;
    const uint16_t bits = kIsHalf ? Float16FromDouble(value) : Bfloat16FromDouble(value);
    std::memcpy(to, &bits, sizeof(bits));
    return Read::kOk;
  }
};

template <typename T>
constexpr std::string_view IntName() {
  constexpr std::string_view kSigned[] = {"int8", "int16", "int32", "int64"};
  constexpr std::string_view kUnsigned[] = {"uint8", "uint16", "uint32", "uint64"};
  return (std::is_signed_v<T> ? kSigned : kUnsigned)[std::countr_zero(sizeof(T))];
}

template <typename T>
bool ToInteger(const Decimal& decimal, T& out) {
  std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t> wide;
  if constexpr (std::is_signed_v<T>) {
    if (!ToInt64(decimal, wide)) return false;
  } else {
    if (!ToUint64(decimal, wide)) return false;
  }
  out = static_cast<T>(wide);
  return wide == out;
}

template <typename T>
bool FailInteger(JsonCursor& cursor, const Decimal& decimal) {
  cursor.set_at(decimal.begin);
  if (!decimal.integer) {
    return cursor.Fail(fmt::format(
        "JSON Value: {:.256} Type: Number is not of expected type: {} (a whole number is written "
        "without point and exponent: 1, not 1.0 or 1e0)",
        decimal.text(), IntName<T>()));
  }
  return cursor.Fail(fmt::format(
      "JSON Value: {:.256} Type: Number is not of expected type: {} (its range is {} to {})",
      decimal.text(), IntName<T>(), +std::numeric_limits<T>::min(),
      +std::numeric_limits<T>::max()));
}

template <typename T>
struct IntElement {
  using Type = T;
  static Read Take(JsonCursor& cursor, TensorBuilder& builder, std::byte* to) {
    Decimal decimal;
    T value;
    if (!cursor.ReadNumber(decimal)) {
      const char* const start = cursor.at();
      double special;
      if (!builder.is_inferred() || !cursor.ReadNonFinite(special)) {
        FailElement(cursor, builder, IntName<T>());
        return Read::kFailed;
      }
      // The float loop reads this element again.
      cursor.set_at(start);
      return Read::kTypeChanged;
    }
    if (!ToInteger(decimal, value)) {
      if (builder.is_inferred()) {
        cursor.set_at(decimal.begin);
        return Read::kTypeChanged;
      }
      FailInteger<T>(cursor, decimal);
      return Read::kFailed;
    }
    std::memcpy(to, &value, sizeof(value));
    return Read::kOk;
  }
};

struct BoolElement {
  using Type = bool;
  static Read Take(JsonCursor& cursor, TensorBuilder& builder, std::byte* to) {
    bool value;
    if (!cursor.ReadBool(value)) {
      FailElement(cursor, builder, "bool");
      return Read::kFailed;
    }
    std::memcpy(to, &value, sizeof(value));
    return Read::kOk;
  }
};

struct StringItem {
  using Type = StringElement;
  static Read Take(JsonCursor& cursor, TensorBuilder& builder, std::byte* to) {
    std::string_view text;
    const char first = cursor.Peek();
    if (first == '"') {
      if (!cursor.ReadString(text)) return Read::kFailed;
    } else if (std::string_view encoded; first == '{' && cursor.ReadBase64Object(encoded)) {
      if (!cursor.DecodeBase64(encoded, text)) return Read::kFailed;
    } else if (first == '{') {
      cursor.FailValue("not formatted correctly for base64 data");
      return Read::kFailed;
    } else {
      FailElement(cursor, builder, "string");
      return Read::kFailed;
    }
    const StringElement element{text.data(), text.size()};
    std::memcpy(to, &element, sizeof(element));
    return Read::kOk;
  }
};

// Reads elements until something other than a comma follows one. Starts at the first character of
// an element.
template <typename Element>
Read ReadElements(JsonCursor& cursor, TensorBuilder& builder, int64_t& count, bool only_one) {
  for (;;) {
    std::byte* const to = builder.Next(cursor);
    if (to == nullptr) return Read::kFailed;
    const Read result = Element::Take(cursor, builder, to);
    if (result != Read::kOk) [[unlikely]]
      return result;
    builder.Commit(sizeof(typename Element::Type));
    ++count;
    // After a scalar, a comma belongs to the object around it.
    if (only_one || cursor.Peek() != ',') return Read::kOk;
    cursor.Advance();
    cursor.Peek();
  }
}

// Chooses the type of a tensor from the first character of its first element.
DType InferType(char first) {
  if (first == '"' || first == '{') return DType::kString;
  if (first == 't' || first == 'f') return DType::kBool;
  // Numbers begin as integers. The first one that is none changes the type of the whole tensor.
  return DType::kInt64;
}

Read ReadTyped(JsonCursor& cursor, TensorBuilder& builder, int64_t& count, bool only_one) {
  const auto read = [&]<typename Element>(Element) {
    return ReadElements<Element>(cursor, builder, count, only_one);
  };
  switch (builder.dtype()) {
    case DType::kFloat32:
      return read(Float32Element());
    case DType::kFloat64:
      return read(Float64Element());
    // The pairs of a complex tensor are its innermost lists.
    case DType::kComplex64:
      return read(Float32Element());
    case DType::kComplex128:
      return read(Float64Element());
    case DType::kFloat16:
      return read(HalfElement<DType::kFloat16>());
    case DType::kBfloat16:
      return read(HalfElement<DType::kBfloat16>());
    case DType::kInt8:
    case DType::kQint8:
      return read(IntElement<int8_t>());
    case DType::kInt16:
    case DType::kQint16:
      return read(IntElement<int16_t>());
    case DType::kInt32:
    case DType::kQint32:
      return read(IntElement<int32_t>());
    case DType::kInt64:
      return read(IntElement<int64_t>());
    case DType::kUint8:
    case DType::kQuint8:
      return read(IntElement<uint8_t>());
    case DType::kUint16:
    case DType::kQuint16:
      return read(IntElement<uint16_t>());
    case DType::kUint32:
      return read(IntElement<uint32_t>());
    case DType::kUint64:
      return read(IntElement<uint64_t>());
    case DType::kBool:
      return read(BoolElement());
    case DType::kString:
      return read(StringItem());
    default:
      break;
  }
  if (const std::optional<std::string> value = cursor.QuoteValue()) {
    cursor.Fail(StatusCode::kUnimplemented,
                fmt::format("Conversion of JSON Value: {} to type: {} is not possible: use gRPC",
                            *value, DTypeName(builder.dtype())));
  }
  return Read::kFailed;
}

// Reads the elements of the innermost list, or the only element if there is no list.
bool ReadInnermost(JsonCursor& cursor, TensorBuilder& builder, int64_t& count, bool only_one) {
  if (builder.dtype() == DType::kInvalid) builder.SetType(InferType(cursor.Peek()));
  Read result = ReadTyped(cursor, builder, count, only_one);
  // All elements before this one were integers. So they are converted, and the loop for floats goes
  // on from here.
  if (result == Read::kTypeChanged) {
    builder.ConvertInt64ToFloat32();
    result = ReadTyped(cursor, builder, count, only_one);
  }
  return result == Read::kOk;
}

// The state of the walk over the lists.
struct Walk {
  int depth = 0;
  int64_t counts[kRankMax + 1];  // elements of each open list so far
};

// Consumes a '['. If the list is empty, sets `is_empty` and fixes the rank.
bool EnterList(JsonCursor& cursor, TensorBuilder& builder, Walk& walk, bool& is_empty) {
  if (!builder.OpenList(cursor, walk.depth)) return false;
  cursor.Advance();
  walk.counts[walk.depth++] = 0;
  is_empty = cursor.Peek() == ']';
  return !is_empty || builder.SetRank(cursor, walk.depth);
}

// Called after a complete value. Closes the lists that end here, and consumes the comma if a list
// stays open.
bool LeaveLists(JsonCursor& cursor, TensorBuilder& builder, Walk& walk) {
  while (walk.depth > 0) {
    const char next = cursor.Peek();
    if (next == ',') {
      cursor.Advance();
      return true;
    }
    if (next != ']') return cursor.FailSyntax("expected ',' or ']'");
    const int depth = walk.depth - 1;
    if (!builder.CloseList(cursor, depth, walk.counts[depth])) return false;
    cursor.Advance();
    walk.depth = depth;
    // The list that has ended is one element of the list around it.
    if (depth > 0) ++walk.counts[depth - 1];
  }
  return true;
}

bool ReadLists(JsonCursor& cursor, TensorBuilder& builder, Walk& walk) {
  do {
    if (cursor.Peek() == '[') {
      bool is_empty = false;
      if (!EnterList(cursor, builder, walk, is_empty)) return false;
      if (!is_empty) continue;
    } else {
      int64_t lone = 0;
      const bool only_one = walk.depth == 0;
      // Not the end of an empty list: EnterList sees that one.
      if (cursor.Peek() == ']') [[unlikely]]
        return cursor.FailSyntax("Invalid value.");
      int64_t& count = only_one ? lone : walk.counts[walk.depth - 1];
      if (!builder.SetRank(cursor, walk.depth) ||
          !ReadInnermost(cursor, builder, count, only_one)) {
        return false;
      }
    }
    if (!LeaveLists(cursor, builder, walk)) return false;
  } while (walk.depth > 0);
  return true;
}

}  // namespace

bool ReadValue(JsonCursor& cursor, TensorBuilder& builder, int64_t* row) {
  Walk walk;
  walk.counts[0] = 0;
  const bool ok = ReadLists(cursor, builder, walk);
  if (row != nullptr) *row = walk.counts[0];
  return ok;
}

}  // namespace penstock::tfs_json
