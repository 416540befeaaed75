// SPDX-License-Identifier: Apache-2.0
// Answers are mostly floats, so WriteFloat decides how long they take. fmt's Dragonbox gives the
// shortest digits; the text around them is written with copies of fixed size, which need no loops.
// Therefore a caller must reserve more space (kNumberBytesMax) than the text can have.
#include "protocols/tfs_json/json_writer.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdlib>

#include "protocols/tfs_json/json_number.h"
#include "tensor/half.h"

namespace penstock::tfs_json {
namespace {

// Numbers from 10^kPlainMin up to below 10^kPlainMax are written without an exponent.
constexpr int kPlainMin = -5;
constexpr int kPlainMax = 17;

// The texts of 00 to 99. Two digits for each division halve the number of divisions.
constexpr std::array<char, 200> MakePairs() {
  std::array<char, 200> pairs{};
  for (size_t i = 0; i < 100; ++i) {
    pairs[2 * i] = static_cast<char>('0' + i / 10);
    pairs[2 * i + 1] = static_cast<char>('0' + i % 10);
  }
  return pairs;
}
constexpr std::array<char, 200> kPairs = MakePairs();

void EightDigits(char* to, uint32_t value) {
  const uint32_t high = value / 10000;
  const uint32_t low = value % 10000;
  std::memcpy(to, &kPairs[2 * (high / 100)], 2);
  std::memcpy(to + 2, &kPairs[2 * (high % 100)], 2);
  std::memcpy(to + 4, &kPairs[2 * (low / 100)], 2);
  std::memcpy(to + 6, &kPairs[2 * (low % 100)], 2);
}

// The digits of a number from the left. The array is long enough to copy whole blocks from it.
struct Digits {
  static constexpr int kWidth = 24;
  char text[kWidth + 16];
  const char* first;
  int count;
};

int CountDigits(uint64_t value) {
  static constexpr uint64_t kPowers[] = {0,
                                         10,
                                         100,
                                         1000,
                                         10000,
                                         100000,
                                         1000000,
                                         10000000,
                                         100000000,
                                         1000000000,
                                         10000000000,
                                         100000000000,
                                         1000000000000,
                                         10000000000000,
                                         100000000000000,
                                         1000000000000000,
                                         10000000000000000,
                                         100000000000000000};
  const int bits = 64 - std::countl_zero(value | 1);
  const int low = bits * 1233 >> 12;  // log10(2), rounded down: at most one too small
  return std::max(low + (value >= kPowers[low] ? 1 : 0), 1);
}

template <typename Significand>
void MakeDigits(Significand value, Digits& out) {
  out.count = CountDigits(value);
  // Space for 24 digits; there are at most 17, or 9 of a float.
  EightDigits(out.text + 16, static_cast<uint32_t>(value % 100000000));
  const Significand upper = value / 100000000;
  if constexpr (sizeof(Significand) > 4) {
    EightDigits(out.text + 8, static_cast<uint32_t>(upper % 100000000));
    out.text[7] = static_cast<char>('0' + upper / 100000000);
  } else {
    out.text[15] = static_cast<char>('0' + upper);
  }
  out.first = out.text + Digits::kWidth - out.count;
}

char* WriteExponent(char* to, int exponent) {
  *to++ = 'e';
  *to++ = exponent < 0 ? '-' : '+';
  const uint32_t magnitude = static_cast<uint32_t>(std::abs(exponent));
  if (magnitude >= 100) *to++ = static_cast<char>('0' + magnitude / 100);
  std::memcpy(to, &kPairs[2 * (magnitude % 100)], 2);
  return to + 2;
}

// `point` is the number of digits before the point; it may be negative, or larger than the number
// of digits. Copies have fixed sizes, because those are cheaper than exact ones, and there is
// enough space.
char* WriteDigits(char* to, const Digits& digits, int point) {
  if (point > kPlainMin && point <= 0) {
    std::memcpy(to, "0.000000", 8);
    to += 2 - point;
    std::memcpy(to, digits.first, 17);
    return to + digits.count;
  }
  if (point > 0 && point < digits.count) {
    std::memcpy(to, digits.first, 17);
    std::memcpy(to + point + 1, digits.first + point, 17);
    to[point] = '.';
    return to + digits.count + 1;
  }
  if (point > 0 && point <= kPlainMax) {
    std::memset(to, '0', static_cast<size_t>(point));
    std::memcpy(to, digits.first, static_cast<size_t>(digits.count));
    std::memcpy(to + point, ".0", 2);
    return to + point + 2;
  }
  *to++ = digits.first[0];
  if (digits.count > 1) {
    *to++ = '.';
    std::memcpy(to, digits.first + 1, 16);
    to += digits.count - 1;
  }
  return WriteExponent(to, point - 1);
}

char* WriteText(char* to, std::string_view text) { return std::copy(text.begin(), text.end(), to); }

template <typename Float>
char* Write(char* to, Float value) {
  if (std::isnan(value)) [[unlikely]]
    return WriteText(to, "NaN");
  // signbit and not `< 0`, so that -0.0 keeps its sign.
  if (std::signbit(value)) {
    *to++ = '-';
    value = -value;
  }
  if (std::isinf(value)) [[unlikely]]
    return WriteText(to, "Infinity");
  if (value == 0) return WriteText(to, "0.0");
  // The fastest available algorithm for the shortest digits (see bench/json_bench.cc). It is
  // internal to fmt, behind fmt::format("{}", value).
  const auto decimal = fmt::detail::dragonbox::to_decimal(value);
  Digits digits;
  MakeDigits(decimal.significand, digits);
  return WriteDigits(to, digits, digits.count + decimal.exponent);
}

// A number of up to ten digits.
struct ShortDecimal {
  uint32_t significand;
  int exponent;
};

// Returns the value, rounded once or twice. That is exact enough: if the value of a few digits lies
// between two 16-bit floats, right in the middle, then it has few bits and nothing is rounded.
double ValueOf(ShortDecimal decimal) {
  static constexpr double kPowers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                       1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                       1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
  double value = decimal.significand;
  for (; decimal.exponent < -22; decimal.exponent += 22) value /= 1e22;
  for (; decimal.exponent > 22; decimal.exponent -= 22) value *= 1e22;
  return decimal.exponent < 0 ? value / kPowers[-decimal.exponent]
                              : value * kPowers[decimal.exponent];
}

// Returns the shortest decimal for which `is_same`, near `full`. Of two it is the nearer one.
template <typename IsSame>
ShortDecimal Shorten(ShortDecimal full, IsSame is_same) {
  uint32_t power = 1;
  int dropped = 0;
  for (; full.significand / power >= 10; power *= 10) ++dropped;
  for (; dropped > 0; --dropped, power /= 10) {
    const uint32_t below = full.significand / power;
    const bool is_above_nearer = full.significand % power > power / 2;
    for (const bool above : {is_above_nearer, !is_above_nearer}) {
      ShortDecimal decimal{below + (above ? 1 : 0), full.exponent + dropped};
      if (!is_same(ValueOf(decimal))) continue;
      for (; decimal.significand % 10 == 0; decimal.significand /= 10) ++decimal.exponent;
      return decimal;
    }
  }
  return full;
}

// `value` is the value of `bits`, which `to_bits` makes of it.
template <typename ToBits>
char* WriteSmall(char* to, uint16_t bits, float value, ToBits to_bits) {
  constexpr uint16_t kSign = 0x8000;
  if (!std::isfinite(value) || value == 0) return WriteFloat(to, value);
  if ((bits & kSign) != 0) *to++ = '-';
  const auto full = fmt::detail::dragonbox::to_decimal(std::abs(value));
  const ShortDecimal decimal = Shorten({full.significand, full.exponent}, [&](double shorter) {
    return to_bits(shorter) == (bits & ~kSign);
  });
  Digits digits;
  MakeDigits(decimal.significand, digits);
  return WriteDigits(to, digits, digits.count + decimal.exponent);
}

// How to escape each character of a string: 0 for not, 'u' for \u00XX, else the letter after the
// backslash.
constexpr std::array<char, 256> MakeEscapes() {
  std::array<char, 256> escapes{};
  for (size_t i = 0; i < 0x20; ++i) escapes[i] = 'u';
  escapes['"'] = '"';
  escapes['\\'] = '\\';
  escapes['\b'] = 'b';
  escapes['\f'] = 'f';
  escapes['\n'] = 'n';
  escapes['\r'] = 'r';
  escapes['\t'] = 't';
  return escapes;
}
constexpr std::array<char, 256> kEscapes = MakeEscapes();

// Appends one to three `bytes` as four characters.
char* WriteBase64Group(char* to, const unsigned char* bytes, size_t count) {
  static constexpr char kAlphabet[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const uint32_t second = count > 1 ? bytes[1] : 0;
  const uint32_t third = count > 2 ? bytes[2] : 0;
  const uint32_t group = uint32_t{bytes[0]} << 16 | second << 8 | third;
  *to++ = kAlphabet[group >> 18];
  *to++ = kAlphabet[group >> 12 & 63];
  *to++ = count > 1 ? kAlphabet[group >> 6 & 63] : '=';
  *to++ = count > 2 ? kAlphabet[group & 63] : '=';
  return to;
}

}  // namespace

char* WriteFloat(char* to, float value) { return Write(to, value); }
char* WriteFloat(char* to, double value) { return Write(to, value); }

char* WriteFloat16(char* to, uint16_t bits) {
  return WriteSmall(to, bits, Float16ToFloat(bits), Float16FromDouble);
}
char* WriteBfloat16(char* to, uint16_t bits) {
  return WriteSmall(to, bits, Bfloat16ToFloat(bits), Bfloat16FromDouble);
}

void JsonWriter::StartBlock() {
  if (block_) {
    const size_t used = static_cast<size_t>(next_ - reinterpret_cast<char*>(block_->data()));
    chain_.Append(Slice{block_->data(), used, std::move(block_)});
  }
  const size_t bytes = std::clamp(next_block_bytes_, kBlockBytesMin, kBlockBytesMax);
  if (memory_ == nullptr) {
    block_ = AllocateBuffer(bytes);
  } else {
    StatusOr<BufferRef> block = memory_->Allocate(bytes);
    if (!block.ok()) throw NoMemory{block.status()};
    block_ = *std::move(block);
  }
  // The first block has the expected size. If that is not enough, the estimate was wrong, and large
  // blocks are safer.
  next_block_bytes_ = kBlockBytesMax;
  next_ = reinterpret_cast<char*>(block_->data());
  limit_ = next_ + block_->size();
}

void JsonWriter::Raw(std::string_view text) {
  while (!text.empty()) {
    char* const to = Reserve(1);
    // A text may be longer than any block, so it is written in parts.
    const size_t count = std::min(text.size(), static_cast<size_t>(limit_ - to));
    std::memcpy(to, text.data(), count);
    next_ += count;
    text.remove_prefix(count);
  }
}

void JsonWriter::Escaped(std::string_view text) {
  Raw('"');
  while (!text.empty()) {
    size_t plain = 0;
    while (plain < text.size() && kEscapes[static_cast<unsigned char>(text[plain])] == 0) ++plain;
    Raw(text.substr(0, plain));
    if (plain == text.size()) break;
    const unsigned char c = static_cast<unsigned char>(text[plain]);
    char* to = Reserve(6);
    *to++ = '\\';
    *to++ = kEscapes[c];
    if (kEscapes[c] == 'u') {
      to = WriteText(to, c < 0x10 ? "000" : "001");
      *to++ = "0123456789abcdef"[c & 15];
    }
    Commit(to);
    text.remove_prefix(plain + 1);
  }
  Raw('"');
}

bool JsonWriter::String(std::string_view text) {
  if (!simdjson::validate_utf8(text.data(), text.size())) return false;
  Escaped(text);
  return true;
}

void JsonWriter::LossyString(std::string_view text) {
  // A model's names may have any bytes. An answer must be valid JSON all the same.
  if (String(text)) return;
  std::string ascii(text);
  for (char& c : ascii) {
    if ((c & 0x80) != 0) c = '?';
  }
  Escaped(ascii);
}

void JsonWriter::Base64Object(std::string_view bytes) {
  Raw("{\"b64\":\"");
  const auto* from = reinterpret_cast<const unsigned char*>(bytes.data());
  for (size_t left = bytes.size(); left > 0;) {
    const size_t count = std::min<size_t>(left, 3);
    Commit(WriteBase64Group(Reserve(4), from, count));
    from += count;
    left -= count;
  }
  Raw("\"}");
}

ByteChain JsonWriter::Finish() {
  if (block_) {
    const size_t used = static_cast<size_t>(next_ - reinterpret_cast<char*>(block_->data()));
    chain_.Append(Slice{block_->data(), used, std::move(block_)});
  }
  next_ = limit_ = nullptr;
  return std::move(chain_);
}

}  // namespace penstock::tfs_json
