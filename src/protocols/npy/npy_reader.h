// SPDX-License-Identifier: Apache-2.0
// Reads numpy's array files. Source: NEP 1, "A Simple File Format for NumPy Arrays", versions 1.0
// to 3.0.
#pragma once

#include "base/buffer.h"
#include "base/request_memory.h"
#include "base/status.h"
#include "tensor/tensor.h"

namespace penstock::npy {

// Reads an .npy file of one array. Elements in C order and little-endian are viewed in place, if
// they are aligned; all others are copied. numpy's byte strings ('S') and texts ('U') become
// strings without the zeros that pad them, texts in UTF-8. Raw elements of two bytes ('V2'), as
// which numpy saves bfloat16, become bfloat16. The memory of copies comes from `memory`. Errors:
// INVALID_ARGUMENT for a malformed file, and for types that no tensor has, which include Python
// objects: they are pickled code. RESOURCE_EXHAUSTED: `memory` is used up.
StatusOr<Tensor> ReadNpy(const Slice& file, RequestMemory& memory);

}  // namespace penstock::npy
