// SPDX-License-Identifier: Apache-2.0
// The slow paths for numbers. The header reads numbers of up to 15 characters and converts those
// that a double represents exactly, which is nearly all of them. Here are the rest: long numbers,
// exponents, and results that are hard to round. Those go to std::from_chars, which always rounds
// correctly.
#include "protocols/tfs_json/json_number.h"

#include <charconv>
#include <cmath>
#include <limits>

namespace penstock::tfs_json {
namespace number_internal {
namespace {

constexpr int kDigitsMax = 19;  // any 19 digits fit in 64 bits
// A larger exponent makes any number that fits in memory infinite or zero.
constexpr int64_t kExponentMax = int64_t{1} << 40;

bool IsDigit(char c) { return static_cast<unsigned char>(c - '0') < 10; }

// Appends the digits at `at` to `digits` (modulo 2^64), and returns their end.
const char* ReadDigits(const char* at, const char* end, uint64_t& digits) {
  while (end - at >= 8) {
    uint64_t bytes;
    std::memcpy(&bytes, at, 8);
    // EightDigits expects the first digit in the lowest byte.
    if constexpr (std::endian::native != std::endian::little) break;
    const uint64_t values = bytes ^ 0x3030303030303030;
    // A byte above 9 is no digit. Adding 0x76 sets its high bit, unless it is so large that it has
    // that bit itself. Only such a byte carries into the next one, so no byte is missed.
    if (((values + 0x7676767676767676) | values) & 0x8080808080808080) break;
    digits = digits * 100000000 + EightDigits(values);
    at += 8;
  }
  for (; at < end && IsDigit(*at); ++at) digits = digits * 10 + static_cast<uint64_t>(*at - '0');
  return at;
}

// Counts the digits between `begin` and `end` without leading zeros.
int64_t SignificantDigits(const char* begin, const char* end) {
  int64_t count = end - begin;
  bool has_point = false;
  for (const char* at = begin; at < end && (*at == '0' || *at == '.'); ++at) {
    has_point |= *at == '.';
    --count;
  }
  if (!has_point && std::memchr(begin, '.', static_cast<size_t>(end - begin)) != nullptr) --count;
  return count;
}

// Reads the text after an 'e'. Returns null if it is not an exponent.
const char* ReadExponent(const char* at, const char* end, int64_t& exponent) {
  const bool negative = at < end && *at == '-';
  if (at < end && (*at == '-' || *at == '+')) ++at;
  if (at >= end || !IsDigit(*at)) return nullptr;
  int64_t value = 0;
  for (; at < end && IsDigit(*at); ++at) {
    // Further digits are skipped, so that the value cannot overflow.
    if (value < kExponentMax) value = value * 10 + (*at - '0');
  }
  exponent += negative ? -value : value;
  return at;
}

// True if the first digit that is not 0 has a positive power of ten. Decides between infinity and
// zero.
bool IsLarge(const Decimal& decimal) {
  int64_t power = 0;
  bool behind_point = false;
  bool seen = false;
  const char* at = decimal.begin + decimal.negative;
  for (; at < decimal.end && (*at | 0x20) != 'e'; ++at) {
    if (*at == '.') {
      behind_point = true;
      continue;
    }
    seen |= *at != '0';
    if (seen && !behind_point) ++power;
    if (!seen && behind_point) --power;
  }
  int64_t exponent = 0;
  if (at < decimal.end) ReadExponent(at + 1, decimal.end, exponent);
  return seen && power + exponent > 0;
}

template <typename Float>
Float FromText(const Decimal& decimal) {
  Float value = 0;
  const auto result = std::from_chars(decimal.begin, decimal.end, value);
  // from_chars does not say whether the number is too large or too small.
  if (result.ec != std::errc::result_out_of_range) return value;
  value = IsLarge(decimal) ? std::numeric_limits<Float>::infinity() : Float{0};
  return decimal.negative ? -value : value;
}

}  // namespace

bool ReadAnyDecimal(const char* at, const char* end, Decimal& out) {
  out.begin = at;
  out.negative = *at == '-';
  const char* const first = at + out.negative;
  out.digits = 0;
  at = ReadDigits(first, end, out.digits);
  // JSON forbids a leading zero.
  if (at == first || (*first == '0' && at - first > 1)) return false;
  int64_t exponent = 0;
  out.integer = true;
  if (at < end && *at == '.') {
    const char* const fraction = ++at;
    at = ReadDigits(fraction, end, out.digits);
    if (at == fraction) return false;
    exponent = -(at - fraction);
    out.integer = false;
  }
  // The first test is cheap and enough for nearly all numbers. The second one is for numbers with
  // many zeros in front, such as 0.0000000000000000000012.
  out.exact = at - first <= kDigitsMax || SignificantDigits(first, at) <= kDigitsMax;
  if (at < end && (*at | 0x20) == 'e') {
    at = ReadExponent(at + 1, end, exponent);
    if (at == nullptr) return false;
    out.integer = false;
  }
  out.end = at;
  constexpr int64_t kIntMax = std::numeric_limits<int>::max();
  out.exact = out.exact && exponent >= -kIntMax && exponent <= kIntMax;
  out.exponent = out.exact ? static_cast<int>(exponent) : 0;
  return true;
}

float ToFloat32Slow(const Decimal& decimal) { return FromText<float>(decimal); }
double ToFloat64Slow(const Decimal& decimal) { return FromText<double>(decimal); }

}  // namespace number_internal

bool ToInt64(const Decimal& decimal, int64_t& out) {
  if (!decimal.integer || !decimal.exact) return false;
  constexpr uint64_t kMax = std::numeric_limits<int64_t>::max();
  // The smallest int64 has no positive counterpart.
  if (decimal.digits > kMax + (decimal.negative ? 1 : 0)) return false;
  out = static_cast<int64_t>(decimal.negative ? -decimal.digits : decimal.digits);
  return true;
}

bool ToUint64(const Decimal& decimal, uint64_t& out) {
  if (!decimal.integer) return false;
  if (decimal.exact) {
    out = decimal.digits;
    // -0 is a whole number that fits.
    return !decimal.negative || decimal.digits == 0;
  }
  // The largest uint64 has 20 digits, one more than an exact Decimal holds.
  return std::from_chars(decimal.begin, decimal.end, out).ec == std::errc{};
}

uint16_t Float16FromDouble(double value) {
  const uint64_t bits = std::bit_cast<uint64_t>(value);
  const uint16_t sign = static_cast<uint16_t>(bits >> 48 & 0x8000);
  if (std::isnan(value)) return sign | 0x7E00;
  const double magnitude = std::fabs(value);
  // Such numbers round beyond the largest half, 65504.
  if (magnitude >= 65520) return sign | 0x7C00;
  // nearbyint rounds ties to even. Below 2^-14 the steps stay the same size.
  const int exponent = magnitude < 0x1p-14 ? -14 : std::ilogb(magnitude);
  const int steps = static_cast<int>(std::nearbyint(std::ldexp(magnitude, 10 - exponent)));
  // 1024 steps are the hidden bit. So the addition carries into the exponent if the rounding did.
  return static_cast<uint16_t>(sign + ((exponent + 14) << 10) + steps);
}

uint16_t Bfloat16FromDouble(double value) {
  if (std::isnan(value)) return std::signbit(value) ? 0xFFC0 : 0x7FC0;
  const double magnitude = std::fabs(value);
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  // Halfway between the largest bfloat16 and 2^128.
  if (magnitude >= 0x1.FFp127) return sign | 0x7F80;
  const int exponent = magnitude < 0x1p-126 ? -126 : std::ilogb(magnitude);
  const int steps = static_cast<int>(std::nearbyint(std::ldexp(magnitude, 7 - exponent)));
  return static_cast<uint16_t>(sign + ((exponent + 126) << 7) + steps);
}

}  // namespace penstock::tfs_json
