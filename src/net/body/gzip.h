// SPDX-License-Identifier: Apache-2.0
// Compresses and inflates gzip.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/buffer.h"
#include "base/status.h"

namespace penstock::net {

// Inflates one gzip stream piece by piece. Several members in a row count as one stream. One thread
// at a time.
class Inflater final {
 public:
  Inflater();
  ~Inflater();
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  // Starts a new stream.
  void Reset();
  // Inflates from `input` to `output`, and removes the used bytes from `input`. Returns how many
  // bytes were written. This is less than output.size() only if the input is used up.
  [[nodiscard]] StatusOr<size_t> Inflate(std::span<const std::byte>& input,
                                         std::span<std::byte> output);
  // True if the input ended at the end of a member.
  bool is_complete() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Compresses `chain` to one gzip member, at the fast level 1.
ByteChain GzipCompress(const ByteChain& chain);

}  // namespace penstock::net
