// SPDX-License-Identifier: Apache-2.0
// Writes the requests of GraphPipe.
//
// A message is one flatbuffer of few tables. The builder of the flatbuffers library works from the
// end to the front of one block, so it copies each tensor. Here the positions are computed first:
//
//   root offset | vtables | Request | InferRequest | config | names | list of tensors | Tensors |
//   shapes, strings and small tensors | padding, length, elements of each large tensor
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "penstock_client/tensor.h"

namespace penstock_client {

// flatbuffers' offsets have 31 usable bits.
inline constexpr uint64_t kMessageBytesMax = (uint64_t{1} << 31) - 1;

// A message as pieces that are sent one after the other. Large tensors are views of the caller's
// memory. One thread at a time.
class Message {
 public:
  Message() = default;
  Message(Message&&) = default;  // the parts of a deque stay where they are

  void AddCopy(std::string bytes) {
    const std::string& part = own_.emplace_back(std::move(bytes));
    AddView(std::as_bytes(std::span(part)));
  }
  void AddView(std::span<const std::byte> bytes) {
    pieces_.push_back(bytes);
    bytes_ += bytes.size();
  }

  const std::vector<std::span<const std::byte>>& pieces() const& { return pieces_; }
  void pieces() const&& = delete;
  uint64_t bytes() const { return bytes_; }

 private:
  std::deque<std::string> own_;
  std::vector<std::span<const std::byte>> pieces_;
  uint64_t bytes_ = 0;
};

// An InferRequest. Throws std::invalid_argument if some inputs have a name and others none, or if
// the message would have more than kMessageBytesMax.
Message WriteInferRequest(std::span<const Input> inputs, std::span<const std::string> outputs,
                          std::string_view config);

Message WriteMetadataRequest();

}  // namespace penstock_client
