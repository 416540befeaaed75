// SPDX-License-Identifier: Apache-2.0
#include "answer_body.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "penstock_client/errors.h"

namespace penstock_client {
namespace {

// Blocks double what there is, between these sizes. When they are joined, each is freed after its
// copy; so beside the body itself at most one block takes memory.
constexpr uint64_t kBlockBytesLeast = 64 << 10;
constexpr uint64_t kBlockBytesMax = 64 << 20;

}  // namespace

void AnswerBody::CheckLength(uint64_t bytes) const {
  if (bytes > bytes_max_)
    throw ProtocolError("the answer has " + std::to_string(bytes) +
                        " bytes or more, but answer_bytes_max is " + std::to_string(bytes_max_));
}

void AnswerBody::Expect(uint64_t bytes) {
  CheckLength(bytes);
  last_ = Block(static_cast<size_t>(bytes));
}

void AnswerBody::Add(std::span<const std::byte> bytes) {
  CheckLength(bytes_ + bytes.size());
  while (!bytes.empty()) {
    if (last_used_ == last_.size()) {
      if (last_used_ != 0) full_.push_back(std::move(last_));
      last_used_ = 0;
      last_ = Block(static_cast<size_t>(
          std::min(std::clamp(bytes_, kBlockBytesLeast, kBlockBytesMax), bytes_max_ - bytes_)));
    }
    const size_t part = std::min(bytes.size(), last_.size() - last_used_);
    std::memcpy(last_.data() + last_used_, bytes.data(), part);
    last_used_ += part;
    bytes_ += part;
    bytes = bytes.subspan(part);
  }
}

Block AnswerBody::Take() {
  last_.Shrink(last_used_);
  if (full_.empty()) return std::move(last_);
  Block all(static_cast<size_t>(bytes_));
  size_t at = 0;
  full_.push_back(std::move(last_));
  for (Block& each : full_) {
    std::memcpy(all.data() + at, each.data(), each.size());
    at += each.size();
    each = Block();
  }
  full_.clear();
  return all;
}

}  // namespace penstock_client
