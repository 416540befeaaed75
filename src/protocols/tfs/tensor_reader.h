// SPDX-License-Identifier: Apache-2.0
// Converts a TensorProto to a Tensor, directly from the received bytes. The elements of
// tensor_content, and of packed float, double and complex fields, are viewed in place if they are
// aligned for their type, else copied. Strings are viewed. Other typed values are decoded in one
// pass. The rules are TensorFlow's: if tensor_content is not empty, it counts. Of typed values,
// surplus ones are ignored, and the last one is repeated for missing ones.
#pragma once

#include <string_view>

#include "base/buffer.h"
#include "base/request_memory.h"
#include "base/status.h"
#include "tensor/tensor.h"

namespace penstock::tfs {

// Reads one TensorProto from `bytes`, which `owner` keeps alive. The tensor shares `owner` where it
// views the message. Takes the tensor's memory off `memory`, except for copies of elements that are
// unaligned in the message. `nesting_left` limits how deep messages may nest (kNestingMax for a
// top-level message).
//
// Memory is allocated once, with its final size, and only after the shape has been checked against
// what the message can hold. But one value may be repeated for all elements, so the tensor may be
// much larger than the message: `memory` is the limit.
//
// Errors, without the tensor's name: INVALID_ARGUMENT: malformed bytes, an unsupported type, a
// shape that is unknown, negative or too large, content of the wrong size, bools other than 0 and
// 1. RESOURCE_EXHAUSTED: `memory` is used up.
StatusOr<Tensor> ReadTensor(std::string_view bytes, const BufferRef& owner, RequestMemory& memory,
                            int nesting_left);

}  // namespace penstock::tfs
