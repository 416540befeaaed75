// SPDX-License-Identifier: Apache-2.0
// Reads flatbuffers that a stranger has sent: each offset and count is checked before it is used.
//
// The verifier that flatc generates is not used for requests. It refuses messages of real clients:
// strings without a zero byte behind them (Go's), and values that are not aligned (Python's).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace penstock::graphpipe {

// Offsets have 32 bits, of which flatbuffers uses 31.
inline constexpr uint64_t kMessageBytesMax = (uint64_t{1} << 31) - 1;

// A table whose beginning and whose vtable lie within the message. Plain data.
struct FlatTable {
  size_t at = 0;
  size_t vtable = 0;
  uint16_t vtable_bytes = 0;
};

// The elements of a vector, all of which lie within the message. An absent vector has none. Plain
// data.
struct FlatVector {
  size_t at = 0;  // of the first element
  uint32_t count = 0;
};

// The first thing that is wrong in a message. Plain data.
struct FlatError {
  const char* what = nullptr;  // null: nothing is wrong so far
  size_t where = 0;            // in the message
};

// Walks a message from its root:
//
//   FlatReader reader(bytes);
//   FlatTable root;
//   FlatVector names;
//   if (!reader.ReadRoot(root) || !reader.ReadVector(root, 1, sizeof(uint32_t), names))
//     return Malformed(reader.error());
//
// Functions that return false have set the error. A function that is given a table or a vector
// wants one that this reader has read. One thread at a time.
class FlatReader final {
 public:
  explicit FlatReader(std::string_view message) : FlatReader(message, message.size()) {}
  // Reads only the first bytes of a message of `message_bytes`. What lies behind them cannot be
  // read, but offsets may lead there.
  FlatReader(std::string_view prefix, uint64_t message_bytes)
      : bytes_(prefix), message_bytes_(message_bytes) {}

  bool ReadRoot(FlatTable& table) { return Follow(0, table); }
  // The value of a field of one byte. `value` stays as it is if the field is absent.
  bool ReadByte(const FlatTable& table, int slot, uint8_t& value);
  // `is_present` says whether there is such a field.
  bool ReadTable(const FlatTable& table, int slot, FlatTable& found, bool& is_present);
  // Finds a vector of elements of `element_bytes` each.
  bool ReadVector(const FlatTable& table, int slot, size_t element_bytes, FlatVector& vector);
  // A string, or a vector of bytes, as a view of the message. Empty if it is absent. Unlike the
  // others it wants the whole message, no prefix.
  bool ReadBytes(const FlatTable& table, int slot, std::string_view& bytes);
  // Element `index` of a vector of tables, and of a vector of strings. REQUIRES: index < count.
  bool TableAt(const FlatVector& vector, uint32_t index, FlatTable& table) {
    return Follow(vector.at + size_t{index} * sizeof(uint32_t), table);
  }
  bool BytesAt(const FlatVector& vector, uint32_t index, std::string_view& bytes);
  // Element `index` of a vector of int64. REQUIRES: index < count, and a whole message.
  int64_t Int64At(const FlatVector& vector, uint32_t index) const {
    return Load<int64_t>(vector.at + size_t{index} * sizeof(int64_t));
  }
  std::string_view View(const FlatVector& bytes) const {
    return bytes.count == 0 ? std::string_view() : bytes_.substr(bytes.at, bytes.count);
  }

  // For a guess at what lies at element `index` of a vector of offsets: where it leads, and the
  // vector of bytes to which an offset at `at` leads, if there is one.
  bool TargetAt(const FlatVector& vector, uint32_t index, size_t& target) {
    return Target(vector.at + size_t{index} * sizeof(uint32_t), target);
  }
  bool BytesBehind(size_t at, FlatVector& bytes) { return Follow(at, 1, bytes); }

  const FlatError& error() const { return error_; }
  uint64_t message_bytes() const { return message_bytes_; }

 private:
  // REQUIRES: the bytes are there. They need not be aligned.
  template <typename T>
  T Load(size_t at) const {
    T value;
    std::memcpy(&value, bytes_.data() + at, sizeof(value));
    return value;
  }
  bool Has(size_t at, size_t count) const {
    return at <= bytes_.size() && count <= bytes_.size() - at;
  }
  bool Fail(const char* what, size_t where) {
    error_ = {what, where};
    return false;
  }

  // Returns where the field is; 0: the field is absent.
  size_t FieldAt(const FlatTable& table, int slot) const;
  // Sets `target` to where the offset at `at` leads.
  bool Target(size_t at, size_t& target);
  // Follows the offset at `at` to a table, or to a vector.
  bool Follow(size_t at, FlatTable& table);
  bool Follow(size_t at, size_t element_bytes, FlatVector& vector);

  const std::string_view bytes_;
  const uint64_t message_bytes_;
  FlatError error_;
};

}  // namespace penstock::graphpipe
