// SPDX-License-Identifier: Apache-2.0
// Where the rows of a table come from.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "absl/functional/any_invocable.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/status.h"
#include "core/servable.h"
#include "tables/manifest.h"
#include "tensor/dtype.h"
#include "tensor/tensor.h"

namespace penstock::tables {

// What a store holds. Immutable.
struct StoreInfo {
  KeyType key_type = KeyType::kInt64;
  DType dtype = DType::kFloat32;
  uint64_t dimension = 0;
  size_t row_bytes = 0;
  uint64_t rows = 0;
  Shard shard;
  std::optional<DType> indices = {};  // Manifest::indices
  bool asks_servers = false;          // Find computes nothing: other servers do
  bool may_lack_rows = false;         // Find may leave keys without an answer; see Lookup::answered
};

// The keys of one batch, and the memory for their rows. The caller keeps all of it until the store
// has answered.
struct Lookup {
  std::span<const int64_t> numbers;        // the keys of tables with int64 or dense keys
  std::span<const StringElement> strings;  // those of tables with string keys
  std::byte* rows = nullptr;               // row_bytes for each key
  bool* found = nullptr;                   // one for each key
  // One for each key: false says that nobody can tell now whether the table has it. All are true
  // before. Null: the store does not need it.
  bool* answered = nullptr;
  SteadyTime deadline = kNoDeadline;
  CancelToken* cancel = nullptr;
  uint32_t hops = 0;  // InferRequest::hops
};

// Finds rows by their keys. Thread-safe.
class Store {
 public:
  virtual ~Store() = default;

  virtual const StoreInfo& info() const = 0;
  // True if Find always calls `done` before it returns.
  virtual bool answers_in_find() const = 0;
  // How many keys may be looked up on an event loop now, as ModelTraits::inline_elements_max. Null:
  // the times of runs decide.
  virtual const std::atomic<int64_t>* inline_keys_max() const { return nullptr; }
  // As core::Servable::SetBrokenCallback. The store calls it once if it can give no right rows any
  // more.
  virtual void SetBrokenCallback([[maybe_unused]] core::BrokenCallback callback) {}
  // Writes the rows that it finds straight to lookup.rows, each at the position of its key, and
  // sets all of lookup.found. The memory of keys that are missing stays as it is. `done` is called
  // once, on any thread; an error leaves the memory undefined.
  virtual void Find(const Lookup& lookup, absl::AnyInvocable<void(Status)> done) = 0;
};

}  // namespace penstock::tables
