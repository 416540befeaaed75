// SPDX-License-Identifier: Apache-2.0
// The keys of rows: a keyed hash, so that clients, who choose the bytes, cannot make two rows meet.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/container/inlined_vector.h"
#include "infer/request.h"

namespace penstock::cache {

// Names one row of a request, with all that its answer depends on. Plain data.
struct RowKey {
  uint64_t high = 0;
  uint64_t low = 0;

  bool operator==(const RowKey&) const = default;
  template <typename H>
  friend H AbslHashValue(H state, const RowKey& key) {
    return H::combine(std::move(state), key.low);  // its bits are random
  }
};

// The secret of a cache. Who knows it can make two rows meet.
using MacKey = std::array<uint8_t, 48>;
// Returns a new one, from the system's random numbers.
MacKey RandomMacKey();

// A message authentication code of 128 bits: Poly1305, a universal hash, and SipHash of its result.
// docs/decisions/0035 says why. One thread at a time; there may be one at a time on each thread.
//
//   RowMac mac(key);
//   mac.AddText("x");        // its length, and its bytes
//   mac.AddNumber(7);
//   mac.AddBytes(row);       // without a length: what was added before says how many there are
//   const RowKey key = mac.Finish();
class RowMac final {
 public:
  // `key` must outlive it.
  explicit RowMac(const MacKey& key);
  RowMac(const RowMac&) = delete;
  RowMac& operator=(const RowMac&) = delete;

  void AddNumber(uint64_t number);
  void AddText(std::string_view text);
  void AddBytes(const void* data, size_t size);
  RowKey Finish();

 private:
  void Flush();

  const MacKey& key_;
  size_t held_ = 0;
  std::array<unsigned char, 256> small_;  // short pieces are hashed together
};

// Computes the keys of the rows of requests. A key covers the identity of the version, the
// signature, the options of the request, the names, types and inner shapes of its inputs, and the
// bytes of that row. All lengths are covered too, before what they measure. Immutable.
class RowKeys final {
 public:
  // `identity` names the version, its files and whatever else its answers depend on.
  RowKeys(const MacKey& key, std::string_view identity);

  // Sets `keys` to those of all rows. REQUIRES: each input has `rows` rows.
  void Compute(std::string_view signature, const InferRequest& request, int64_t rows,
               absl::InlinedVector<RowKey, 4>& keys) const;
  const MacKey& key() const { return key_; }

 private:
  const MacKey key_;
  RowKey identity_;
};

}  // namespace penstock::cache
