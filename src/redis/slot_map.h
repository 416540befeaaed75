// SPDX-License-Identifier: Apache-2.0
// Which nodes of a cluster have a key: keys belong to slots, and slots to shards.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "redis/resp.h"

namespace penstock::redis {

inline constexpr size_t kSlots = 16384;
inline constexpr size_t kNodesMax = 4096;

// Where a node listens.
struct Address {
  std::string host;
  uint16_t port = 0;

  auto operator<=>(const Address&) const = default;
  std::string ToString() const;  // as "host:port", or "[::1]:port"
};

// Parses "host:port", "[::1]:port", or as a node writes it, "::1:port". An empty host becomes
// `own_host`. Errors: INVALID_ARGUMENT.
StatusOr<Address> ParseAddress(std::string_view text, std::string_view own_host = {});

// The slot of a key. Of "a{b}c", only the part in braces counts.
uint16_t SlotOf(std::string_view key);

// A range of slots, and the nodes that have it.
struct SlotRange {
  uint16_t first = 0;
  uint16_t last = 0;
  std::vector<Address> nodes;  // the master, then its replicas
};

// Reads the answer to CLUSTER SLOTS. A node without a name of its own is at `own_host`. Errors:
// INVALID_ARGUMENT, with what is wrong.
StatusOr<std::vector<SlotRange>> ParseSlots(const Value& answer, std::string_view own_host);

// A node that has another place: MOVED or ASK.
struct Redirect {
  bool is_ask = false;
  uint16_t slot = 0;
  Address to;
};

// Reads an error such as "MOVED 3999 127.0.0.1:6381". NOT_FOUND: it is another error.
StatusOr<Redirect> ParseRedirect(std::string_view error, std::string_view own_host);

}  // namespace penstock::redis
