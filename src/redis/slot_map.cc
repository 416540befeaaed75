// SPDX-License-Identifier: Apache-2.0
#include "redis/slot_map.h"

#include <array>
#include <charconv>

namespace penstock::redis {
namespace {

// CRC16 of XMODEM: polynomial 0x1021, begins with 0.
constexpr std::array<uint16_t, 256> MakeCrcTable() {
  std::array<uint16_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte << 8;
    for (int bit = 0; bit < 8; ++bit) crc = (crc << 1) ^ ((crc & 0x8000) != 0 ? 0x1021 : 0);
    table[byte] = static_cast<uint16_t>(crc);
  }
  return table;
}
constexpr std::array<uint16_t, 256> kCrcTable = MakeCrcTable();

bool ParsePort(std::string_view text, uint16_t& port) {
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, port);
  return error == std::errc{} && stop == end && port > 0;
}

StatusOr<Address> ReadNode(const Value& node, std::string_view own_host) {
  if (node.kind != TokenKind::kArray || node.elements.size() < 2)
    return InvalidArgument("a node has no host and port");
  const Value& host = node.elements[0];
  const int64_t port = node.elements[1].number;
  if (node.elements[1].kind != TokenKind::kInteger || port < 1 || port > UINT16_MAX)
    return InvalidArgument("the port {} of a node is none", port);
  Address address{host.text, static_cast<uint16_t>(port)};
  if (address.host.empty()) address.host = own_host;
  if (address.host.size() > 255 || address.host == "?")
    return InvalidArgument("the name of a node is not known, or too long");
  return address;
}

}  // namespace

std::string Address::ToString() const {
  return host.find(':') == host.npos ? fmt::format("{}:{}", host, port)
                                     : fmt::format("[{}]:{}", host, port);
}

StatusOr<Address> ParseAddress(std::string_view text, std::string_view own_host) {
  Address address;
  const size_t colon = text.rfind(':');
  if (colon == text.npos || text.size() > 300 || !ParsePort(text.substr(colon + 1), address.port))
    return InvalidArgument("'{:.80}' must be an address with a port, as 10.0.0.1:6379", text);
  std::string_view host = text.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  address.host = host.empty() ? own_host : host;
  if (address.host.empty())
    return InvalidArgument("'{:.80}' must have a host before its port, as 10.0.0.1:6379", text);
  return address;
}

uint16_t SlotOf(std::string_view key) {
  const size_t open = key.find('{');
  if (open != key.npos) {
    const size_t close = key.find('}', open + 1);
    if (close != key.npos && close > open + 1) key = key.substr(open + 1, close - open - 1);
  }
  uint32_t crc = 0;
  for (const char c : key)
    crc = (crc << 8 & 0xFFFF) ^ kCrcTable[(crc >> 8 ^ static_cast<unsigned char>(c)) & 0xFF];
  return static_cast<uint16_t>(crc % kSlots);
}

StatusOr<std::vector<SlotRange>> ParseSlots(const Value& answer, std::string_view own_host) {
  if (answer.kind == TokenKind::kError) return InvalidArgument("{}", answer.text);
  if (answer.kind != TokenKind::kArray) return InvalidArgument("the answer is no list of slots");
  std::vector<SlotRange> ranges;
  for (const Value& part : answer.elements) {
    if (part.kind != TokenKind::kArray || part.elements.size() < 3)
      return InvalidArgument("a range of slots has no master");
    const int64_t first = part.elements[0].number;
    const int64_t last = part.elements[1].number;
    if (first < 0 || last < first || last >= static_cast<int64_t>(kSlots))
      return InvalidArgument("there is no range of slots from {} to {}", first, last);
    SlotRange range{static_cast<uint16_t>(first), static_cast<uint16_t>(last), {}};
    for (size_t i = 2; i < part.elements.size(); ++i) {
      StatusOr<Address> node = ReadNode(part.elements[i], own_host);
      if (node.ok()) range.nodes.push_back(*std::move(node));
      // A replica that is not known yet can be left out, a master cannot.
      else if (i == 2)
        return node.status();
    }
    ranges.push_back(std::move(range));
  }
  return ranges;
}

StatusOr<Redirect> ParseRedirect(std::string_view error, std::string_view own_host) {
  Redirect redirect;
  constexpr std::string_view kMoved = "MOVED ", kAsk = "ASK ";
  if (error.starts_with(kMoved)) {
    error.remove_prefix(kMoved.size());
  } else if (error.starts_with(kAsk)) {
    redirect.is_ask = true;
    error.remove_prefix(kAsk.size());
  } else {
    return Error(StatusCode::kNotFound, "it is no redirect");
  }
  const size_t space = error.find(' ');
  if (space == error.npos) return InvalidArgument("a redirect has no address");
  const std::string_view slot = error.substr(0, space);
  const auto [stop, failure] =
      std::from_chars(slot.data(), slot.data() + slot.size(), redirect.slot);
  if (failure != std::errc{} || stop != slot.data() + slot.size() || redirect.slot >= kSlots)
    return InvalidArgument("a redirect has the slot '{:.20}'", slot);
  ASSIGN_OR_RETURN(redirect.to, ParseAddress(error.substr(space + 1), own_host));
  return redirect;
}

}  // namespace penstock::redis
