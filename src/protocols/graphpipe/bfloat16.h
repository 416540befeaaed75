// SPDX-License-Identifier: Apache-2.0
// bfloat16 as clients of GraphPipe see it: as float32.
#pragma once

#include "base/request_memory.h"
#include "base/status.h"
#include "tensor/tensor.h"

namespace penstock::graphpipe {

// Returns a copy of `tensor`, whose type is bfloat16, as float32. Exact. Errors:
// RESOURCE_EXHAUSTED.
StatusOr<Tensor> FloatsOfBfloat16(const Tensor& tensor, RequestMemory& memory);

// Returns a bfloat16 tensor of the float32 numbers in `bytes`, which need not be aligned, each
// rounded to the nearest one (ties to even). Errors: INVALID_ARGUMENT if they do not fit `shape`;
// RESOURCE_EXHAUSTED.
StatusOr<Tensor> Bfloat16OfFloats(const Shape& shape, const Slice& bytes, RequestMemory& memory);

}  // namespace penstock::graphpipe
