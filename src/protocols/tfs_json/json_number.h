// SPDX-License-Identifier: Apache-2.0
// Parses the numbers of a JSON text to digits and a power of ten, and converts them to the wanted
// type with correct rounding. The first part of a number is read 16 bytes at a time, without a
// branch for each digit: a CPU cannot predict the number of digits.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace penstock::tfs_json {

// A number in its written form: digits * 10^exponent. One thread at a time.
struct Decimal {
  const char* begin = nullptr;  // the sign or the first digit
  const char* end = nullptr;    // after the last character
  uint64_t digits = 0;          // all digits as one number; only valid if `exact`
  int exponent = 0;
  bool negative = false;
  bool integer = false;  // has neither a point nor an exponent
  bool exact = false;    // the digits fit in 64 bits

  std::string_view text() const { return {begin, static_cast<size_t>(end - begin)}; }
};

namespace number_internal {

// 10^0 .. 10^22, the powers that a double represents exactly.
inline constexpr int kExactPowers = 22;
inline constexpr double kPowersOfTen[kExactPowers + 1] = {
    1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

// The value of eight digits (0 to 9, not '0' to '9'). The first digit is in the lowest byte.
inline uint64_t EightDigits(uint64_t bytes) {
  bytes = bytes * 10 + (bytes >> 8);  // pairs, in the even bytes
  constexpr uint64_t kPair = 0x000000FF000000FF;
  return ((bytes & kPair) * (100 + (1000000ULL << 32)) +
          ((bytes >> 16) & kPair) * (1 + (10000ULL << 32))) >>
         32;
}

// Closes the gap of the point, which is the byte at `whole`: the bytes before it move up by one,
// and the lowest byte becomes 0. The point is not the last byte of the word.
template <typename Word>
Word WithoutPoint(Word digits, int whole) {
  const Word unit = Word{1} << (8 * whole);
  return (digits & (unit - 1)) << 8 | (digits & ~((unit << 8) - 1));
}

// Reads any number. Returns false if it is not a JSON number.
bool ReadAnyDecimal(const char* at, const char* end, Decimal& out);

// These convert the numbers that the fast paths below cannot decide.
float ToFloat32Slow(const Decimal& decimal);
double ToFloat64Slow(const Decimal& decimal);

}  // namespace number_internal

// Reads the JSON number at `at`, which is before `end`; 32 bytes after `end` must be readable.
// Returns false if there is no number (NaN and Infinity are none), or if JSON does not allow its
// form. The number may extend beyond `end`: compare Decimal::end. It reads 16 bytes at a time with
// SSE2, which is what makes bodies of many floats fast. Inlined, it keeps the parts of `out` in
// registers.
[[gnu::always_inline]] inline bool ReadDecimal(const char* at, const char* end, Decimal& out) {
#if defined(__SSE2__)
  using number_internal::EightDigits;
  using number_internal::WithoutPoint;
  const bool negative = *at == '-';
  const char* const first = at + negative;
  // A byte is a digit if it is at most 9 after '0' was subtracted. Bytes below '0' wrap around to
  // large values.
  const __m128i values =
      _mm_sub_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(first)), _mm_set1_epi8('0'));
  const __m128i is_digit = _mm_cmpeq_epi8(_mm_min_epu8(values, _mm_set1_epi8(9)), values);
  // A bit for each byte that is no digit. Bit 16 stands for the end of the 16 bytes.
  const uint32_t others = (~static_cast<uint32_t>(_mm_movemask_epi8(is_digit)) & 0xFFFF) | 0x10000;
  const int whole = std::countr_zero(others);
  int length = whole;
  int fraction = 0;
  const bool has_point = first[whole] == '.';
  if (has_point) {
    if (whole >= 15) [[unlikely]]
      return number_internal::ReadAnyDecimal(at, end, out);
    // The first byte that is no digit is the point. So the number ends at the second one.
    length = std::countr_zero(others & (others - 1));
    fraction = length - whole - 1;
    if (fraction == 0) return false;
  }
  // A longer number or one with an exponent is rare, and is read byte by byte.
  const bool plain = length < 16 && (first[length] | 0x20) != 'e';
  if (!plain) [[unlikely]]
    return number_internal::ReadAnyDecimal(at, end, out);
  if (whole == 0 || (*first == '0' && whole > 1)) [[unlikely]]
    return false;
  out.begin = at;
  out.end = first + length;
  // The shifts put zeros before the digits, because EightDigits wants exactly eight.
  if (length <= 8) {
    uint64_t digits;
    std::memcpy(&digits, &values, sizeof(digits));
    if (has_point) digits = WithoutPoint(digits, whole);
    out.digits = EightDigits(digits << (8 * (8 - length)));
  } else {
    unsigned __int128 digits;
    std::memcpy(&digits, &values, sizeof(digits));
    if (has_point) digits = WithoutPoint(digits, whole);
    digits <<= 8 * (16 - length);
    out.digits = EightDigits(static_cast<uint64_t>(digits)) * 100000000 +
                 EightDigits(static_cast<uint64_t>(digits >> 64));
  }
  out.exponent = -fraction;
  out.negative = negative;
  out.integer = length == whole;
  out.exact = true;
  return true;
#else
  return number_internal::ReadAnyDecimal(at, end, out);
#endif
}

// Rounds to the nearest float. Out of range: infinity or zero.
inline float ToFloat32(const Decimal& decimal) {
  using namespace number_internal;
  // A fast path for whole numbers that a float represents exactly, such as pixels.
  if (decimal.integer && decimal.exact && decimal.digits <= uint64_t{1} << 24) {
    const auto value = static_cast<float>(static_cast<int32_t>(decimal.digits));
    return decimal.negative ? -value : value;
  }
  if (decimal.exact && static_cast<int64_t>(decimal.digits) >= 0 && decimal.exponent <= 0 &&
      decimal.exponent >= -kExactPowers) [[likely]] {
    // The double has two roundings, so it is within 2 units of its last place. It is right unless
    // it is about halfway between two floats.
    const double value =
        static_cast<double>(static_cast<int64_t>(decimal.digits)) / kPowersOfTen[-decimal.exponent];
    // A float cuts off the lower 29 bits of a double. Halfway is 0x10000000.
    const uint64_t cut_bits = std::bit_cast<uint64_t>(value) & 0x1FFFFFFF;
    if (cut_bits - (0x10000000 - 4) > 8) [[likely]] {
      return static_cast<float>(decimal.negative ? -value : value);
    }
  }
  return ToFloat32Slow(decimal);
}

// Rounds to the nearest double. Out of range: infinity or zero. The fast path divides two numbers
// that a double holds exactly, so there is only one rounding, and it is right (Clinger, 1990).
inline double ToFloat64(const Decimal& decimal) {
  using namespace number_internal;
  if (decimal.exact && decimal.digits <= uint64_t{1} << 53 && decimal.exponent <= 0 &&
      decimal.exponent >= -kExactPowers) [[likely]] {
    const double value =
        static_cast<double>(static_cast<int64_t>(decimal.digits)) / kPowersOfTen[-decimal.exponent];
    return decimal.negative ? -value : value;
  }
  return ToFloat64Slow(decimal);
}

// Returns false if it is not an integer, or does not fit.
bool ToInt64(const Decimal& decimal, int64_t& out);
bool ToUint64(const Decimal& decimal, uint64_t& out);

// Convert a double to the bits of IEEE half precision and of bfloat16 (tensor/half.h converts
// back). They round to the nearest, ties to even; overflow gives infinity.
uint16_t Float16FromDouble(double value);
uint16_t Bfloat16FromDouble(double value);

}  // namespace penstock::tfs_json
