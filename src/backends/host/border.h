// SPDX-License-Identifier: Apache-2.0
// Translation between our types and those of include/penstock/backend.h. No tensor is copied,
// unless a backend gives one without an owner.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/buffer.h"
#include "base/status.h"
#include "infer/signature.h"
#include "penstock/backend.h"
#include "tensor/tensor.h"

namespace penstock::border {

inline std::string_view View(PenstockString text) { return {text.data, text.size}; }
inline PenstockString ToC(std::string_view text) { return {text.data(), text.size()}; }

// What keeps a Buffer across the border. Does not take a reference.
PenstockOwner OwnerOf(Buffer* buffer);
// Memory that a backend fills, and `owner`, which carries the one reference to it. Null if there is
// none left.
void* Allocate(size_t bytes, PenstockOwner& owner);
// Drops the one reference that `owner` carries, if any.
void Release(const PenstockOwner& owner);

// Views into `tensor`, which lives as long as the result is used.
PenstockTensor ToC(const Tensor& tensor);

// Takes over the owners' references whatever happens. INTERNAL if the tensor makes no sense.
StatusOr<Tensor> FromC(const PenstockTensor& tensor);

// A canonical code and a text as a status; codes that are none become UNKNOWN.
Status ToStatus(int32_t code, std::string_view text);

// Collects the text of one call's error. One thread at a time.
struct ErrorSink final : PenstockError {
  ErrorSink();
  std::string text;
};

// A model's description, sorted by name, and where each input and output stood.
struct Description {
  // Positions of one signature's inputs and outputs, there and here. Immutable.
  struct Order {
    std::vector<uint32_t> inputs;       // of ours -> theirs
    std::vector<uint32_t> outputs;      // of ours -> theirs
    std::vector<uint32_t> our_outputs;  // of theirs -> ours
  };
  ModelInfo info;
  std::vector<Order> orders;  // as info.signatures
  uint32_t runs_max = 0;
};

// INTERNAL if it makes no sense: unknown types, repeated names, negative sizes but -1.
StatusOr<Description> FromC(std::string_view platform, const PenstockModelInfo* info);

}  // namespace penstock::border
