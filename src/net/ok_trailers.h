// SPDX-License-Identifier: Apache-2.0
// The trailers of gRPC answers that succeed, encoded once for many answers.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace penstock::net {

// "grpc-status: 0" and further fields, as an HPACK block. Its fields are literals that leave the
// dynamic table alone (RFC 7541, section 6.2.2), so it is valid on every connection, unless a new
// size of the table must be announced first. Immutable.
class OkTrailers final {
 public:
  using Field = std::pair<std::string_view, std::string_view>;

  // Names are in lower case. Fields with an empty value are left out. The block must fit into one
  // frame, which has at least 16 KiB.
  explicit OkTrailers(std::initializer_list<Field> fields);

  // Without further fields.
  static const OkTrailers& Plain();

  std::string_view block() const { return block_; }

  // The fields of `block`, which must come from block(). They point into it. For connections on
  // which the block is not valid.
  static std::vector<Field> FieldsOf(std::string_view block);

 private:
  std::string block_;
};

}  // namespace penstock::net
