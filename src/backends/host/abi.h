// SPDX-License-Identifier: Apache-2.0
// Converts between our types and those of the ABI (include/penstock/backend.h). Tensors are not
// copied, unless a backend gives one without an owner.
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

namespace penstock::abi {

// Both are views. A PenstockString has no terminating zero and no owner.
inline std::string_view View(PenstockString text) { return {text.data, text.size}; }
inline PenstockString ToC(std::string_view text) { return {text.data(), text.size()}; }

// Wraps a Buffer for the ABI. Does not take a reference.
PenstockOwner OwnerOf(Buffer* buffer);
// Allocates memory for a backend to fill. `owner` gets the only reference. Returns null if there is
// no memory.
void* Allocate(size_t bytes, PenstockOwner& owner);
// Drops the reference of `owner`, if it has one.
void Release(const PenstockOwner& owner);

// Returns a view of `tensor`, which must outlive it.
PenstockTensor ToC(const Tensor& tensor);

// Takes over the owners' references, also on an error. A tensor without an owner is copied.
// INTERNAL if the tensor is not valid: a wrong size, an unknown type, a null pointer.
StatusOr<Tensor> FromC(const PenstockTensor& tensor);

// Converts a code and a text to a Status. An unknown code becomes UNKNOWN.
Status ToStatus(int32_t code, std::string_view text);

// Receives the error text of one call. One thread at a time.
struct ErrorSink final : PenstockError {
  ErrorSink();
  std::string text;
};

// A model's description for the server, and how its positions map to the backend's. Our inputs and
// outputs are sorted by name; the backend has its own order. Immutable after FromC.
struct Description {
  // Maps between our positions of one signature's inputs and outputs and those of the backend.
  // Immutable.
  struct Order {
    std::vector<uint32_t> inputs;       // from our position to theirs
    std::vector<uint32_t> outputs;      // from our position to theirs
    std::vector<uint32_t> our_outputs;  // from their position to ours
  };
  ModelInfo info;
  std::vector<Order> orders;  // in the order of info.signatures
  uint32_t runs_max = 0;
};

// INTERNAL if it is not valid: structs that are too short, unknown types, repeated names, negative
// sizes other than -1.
StatusOr<Description> FromC(std::string_view platform, const PenstockModelInfo* described);

}  // namespace penstock::abi
