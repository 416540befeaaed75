// SPDX-License-Identifier: Apache-2.0
// gzip, both ways.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/buffer.h"
#include "base/status.h"

namespace penstock::net {

// Inflates one gzip stream (several members behind one another count as one) piece by piece. One
// thread at a time.
class Inflater final {
 public:
  Inflater();
  ~Inflater();
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  // Starts a new stream.
  void Reset();
  // Inflates from `input`, which is shortened by what was used, to `output`, and returns how many
  // bytes were written. Less than output.size() only when the input is used up.
  [[nodiscard]] StatusOr<size_t> Inflate(std::span<const std::byte>& input,
                                         std::span<std::byte> output);
  // True if the stream ended where a member ends.
  bool is_complete() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// `chain` as one gzip member, fast (level 1).
ByteChain GzipCompress(const ByteChain& chain);

}  // namespace penstock::net
