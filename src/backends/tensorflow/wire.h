// SPDX-License-Identifier: Apache-2.0
// Reads and writes the few protocol buffer fields that the plugin needs, because no protobuf
// library may be loaded beside TensorFlow's own.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace penstock::tensorflow {

// Iterates over the fields of one message. The views point into `bytes`.
//
//   for (WireReader reader(graph); reader.Next();)
//     if (reader.field() == kGraphNode) ReadNode(reader.bytes());
//
// Malformed bytes end the iteration early and are no error: TensorFlow parses the same bytes, and
// it reports what is wrong. One thread at a time.
class WireReader final {
 public:
  explicit WireReader(std::string_view bytes) : rest_(bytes) {}

  // Moves to the next field; false at the end.
  bool Next() {
    uint64_t key = 0;
    if (!Varint(key)) return false;
    field_ = static_cast<uint32_t>(key >> 3);
    bytes_ = {};
    number_ = 0;
    switch (key & 7) {
      case 0:
        return Varint(number_);
      case 1:
        return Skip(8);
      case 2: {
        uint64_t length = 0;
        if (!Varint(length) || length > rest_.size()) return Fail();
        bytes_ = rest_.substr(0, length);
        rest_.remove_prefix(length);
        return true;
      }
      case 5:
        return Skip(4);
      default:
        return Fail();
    }
  }
  uint32_t field() const { return field_; }
  uint64_t number() const { return number_; }        // of a varint field
  std::string_view bytes() const { return bytes_; }  // of a length-delimited field

 private:
  bool Fail() {
    rest_ = {};
    return false;
  }
  bool Skip(size_t count) {
    if (rest_.size() < count) return Fail();
    rest_.remove_prefix(count);
    return true;
  }
  bool Varint(uint64_t& value) {
    value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (rest_.empty()) return Fail();
      const auto byte = static_cast<uint8_t>(rest_.front());
      rest_.remove_prefix(1);
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return true;
    }
    return Fail();
  }

  std::string_view rest_;
  uint32_t field_ = 0;
  uint64_t number_ = 0;
  std::string_view bytes_;
};

// Appends an unsigned varint without a key.
inline void AppendVarint(std::string& to, uint64_t rest) {
  for (; rest >= 0x80; rest >>= 7) to.push_back(static_cast<char>(rest | 0x80));
  to.push_back(static_cast<char>(rest));
}

// Appends a varint field. A negative number takes ten bytes, as in an int64 field of protobuf.
inline void AppendVarintField(std::string& to, uint32_t field, int64_t value) {
  AppendVarint(to, field << 3);
  AppendVarint(to, static_cast<uint64_t>(value));
}

// Appends a length-delimited field.
inline void AppendBytesField(std::string& to, uint32_t field, std::string_view bytes) {
  AppendVarint(to, field << 3 | 2);
  AppendVarint(to, bytes.size());
  to += bytes;
}

}  // namespace penstock::tensorflow
