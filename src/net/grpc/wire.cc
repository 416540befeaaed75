// SPDX-License-Identifier: Apache-2.0
#include "net/grpc/wire.h"

#include <fmt/format.h>

#include <algorithm>

namespace penstock::net {
namespace {

// gRPC allows at most eight digits. So the number cannot overflow below.
constexpr size_t kTimeoutDigitsMax = 8;

std::optional<Duration> UnitOf(char unit) {
  switch (unit) {
    case 'H':
      return std::chrono::hours(1);
    case 'M':
      return std::chrono::minutes(1);
    case 'S':
      return std::chrono::seconds(1);
    case 'm':
      return std::chrono::milliseconds(1);
    case 'u':
      return std::chrono::microseconds(1);
    case 'n':
      return std::chrono::nanoseconds(1);
    default:
      return std::nullopt;
  }
}

bool IsPlain(unsigned char c) { return c >= 0x20 && c <= 0x7e && c != '%'; }

}  // namespace

std::optional<Duration> ParseGrpcTimeout(std::string_view text) {
  if (text.size() < 2 || text.size() > kTimeoutDigitsMax + 1) return std::nullopt;
  int64_t number = 0;
  for (const char c : text.substr(0, text.size() - 1)) {
    if (c < '0' || c > '9') return std::nullopt;
    number = number * 10 + (c - '0');
  }
  const std::optional<Duration> unit = UnitOf(text.back());
  if (!unit) return std::nullopt;
  // 99999999 hours do not fit into 64 bits of nanoseconds.
  if (number > kGrpcTimeoutMax / *unit) return kGrpcTimeoutMax;
  return number * *unit;
}

std::string FormatGrpcTimeout(Duration timeout) {
  constexpr int64_t kNumberMax = 99'999'999;
  const Duration cut = std::clamp<Duration>(timeout, Duration(1), kGrpcTimeoutMax);
  for (const char unit : {'n', 'u', 'm', 'S', 'M'}) {
    const int64_t number = cut / *UnitOf(unit);
    if (number <= kNumberMax) return fmt::format("{}{}", number, unit);
  }
  return fmt::format("{}H", cut / std::chrono::hours(1));
}

std::string DecodeGrpcMessage(std::string_view text) {
  const auto digit = [](char c) -> int {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
  };
  std::string decoded;
  decoded.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const bool has_digits =
        text[i] == '%' && i + 2 < text.size() && digit(text[i + 1]) >= 0 && digit(text[i + 2]) >= 0;
    if (!has_digits) {
      decoded += text[i];
      continue;
    }
    decoded += static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
    i += 2;
  }
  return decoded;
}

std::string EncodeGrpcMessage(std::string_view message) {
  constexpr std::string_view kCut = "...";
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string encoded;
  encoded.reserve(std::min(message.size() + 16, kGrpcMessageBytesMax));
  size_t last_character = 0;  // start of the encoded character that is being written
  for (const char c : message) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte & 0xc0) != 0x80) last_character = encoded.size();
    if (encoded.size() + 3 + kCut.size() > kGrpcMessageBytesMax) {
      // A character has at most four bytes. A longer run of continuation bytes is not UTF-8.
      if (encoded.size() - last_character <= 3 * 3) encoded.resize(last_character);
      encoded += kCut;
      break;
    }
    if (IsPlain(byte)) {
      encoded += c;
    } else {
      encoded += '%';
      encoded += kHex[byte >> 4];
      encoded += kHex[byte & 15];
    }
  }
  return encoded;
}

std::array<std::byte, kGrpcPrefixBytes> MakeGrpcPrefix(bool is_compressed, uint32_t bytes) {
  return {std::byte{is_compressed}, std::byte(bytes >> 24), std::byte(bytes >> 16),
          std::byte(bytes >> 8), std::byte(bytes)};
}

bool IsGrpcContentType(std::string_view content_type) {
  constexpr std::string_view kGrpc = "application/grpc";
  if (!content_type.starts_with(kGrpc)) return false;
  if (content_type.size() == kGrpc.size()) return true;
  // "application/grpc+proto" is gRPC, "application/grpc-web" is another protocol.
  const char next = content_type[kGrpc.size()];
  return next == '+' || next == ';' || next == ' ';
}

bool ListContains(std::string_view list, std::string_view name) {
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    std::string_view item = list.substr(0, comma);
    list.remove_prefix(std::min(comma + 1, list.size()));
    while (!item.empty() && item.front() == ' ') item.remove_prefix(1);
    while (!item.empty() && item.back() == ' ') item.remove_suffix(1);
    if (item == name) return true;
  }
  return false;
}

}  // namespace penstock::net
