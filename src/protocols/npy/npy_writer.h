// SPDX-License-Identifier: Apache-2.0
// Writes numpy's array files (NEP 1, version 1.0).
#pragma once

#include "base/buffer.h"
#include "base/request_memory.h"
#include "base/status.h"
#include "tensor/tensor.h"

namespace penstock::npy {

// Returns `tensor` as an .npy file. Numbers are sent from the tensor's own memory. Strings become
// numpy's byte strings, padded to the longest one. bfloat16 has no numpy type: its elements are raw
// ones of two bytes ('V2'), as the package ml_dtypes saves them. The memory for strings comes from
// `memory`, which may be null.
// Errors: INVALID_ARGUMENT for a string that ends in a zero byte, which numpy would drop.
// RESOURCE_EXHAUSTED: `memory` is used up, or the padded strings take more than 16 MiB and more
// than 16 times the bytes of the strings.
StatusOr<ByteChain> WriteNpy(const Tensor& tensor, RequestMemory* memory);

}  // namespace penstock::npy
