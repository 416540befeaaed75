// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "block.h"

namespace penstock_client {

// Collects the body of an answer. One whose length is told goes into one block at once. Another
// grows block by block, and is joined at its end: larger copies on the way would take twice its
// memory. One thread at a time.
class AnswerBody {
 public:
  explicit AnswerBody(uint64_t bytes_max) : bytes_max_(bytes_max) {}

  // The whole body will have this length. REQUIRES: nothing was added. Throws ProtocolError if it
  // is too long, as Add() does.
  void Expect(uint64_t bytes);
  void Add(std::span<const std::byte> bytes);
  // The whole body, which this gives away.
  Block Take();

 private:
  void CheckLength(uint64_t bytes) const;

  const uint64_t bytes_max_;
  std::vector<Block> full_;  // before `last_`
  Block last_;
  size_t last_used_ = 0;  // bytes of `last_`
  uint64_t bytes_ = 0;    // of all
};

}  // namespace penstock_client
