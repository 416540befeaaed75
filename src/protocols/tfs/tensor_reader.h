// SPDX-License-Identifier: Apache-2.0
// TensorProto -> Tensor, straight from the received bytes.
//
// The elements of tensor_content, and those of packed float, double and complex fields, are viewed
// where they lie if they are aligned for their type, else copied; strings are viewed. Other typed
// values are decoded in one pass. As in TensorFlow, tensor_content counts if it is not empty; of
// typed values, surplus ones are ignored, and the last one stands for those that are missing.
#pragma once

#include <string_view>

#include "base/buffer.h"
#include "base/request_memory.h"
#include "base/status.h"
#include "tensor/tensor.h"

namespace penstock::tfs {

// Reads one TensorProto from `bytes`, which `owner` keeps. What the tensor allocates is taken off
// `memory`, but for copies of what lies unaligned in the message. `nesting_left`: how deep messages
// may still nest (kNestingMax for a message of its own). Errors, without the tensor's name:
// INVALID_ARGUMENT: malformed bytes, a type that is not carried, a shape that is unknown, negative
// or too large, content of the wrong size, bools other than 0 and 1. RESOURCE_EXHAUSTED: `memory`
// does not have it.
StatusOr<Tensor> ReadTensor(std::string_view bytes, const BufferRef& owner, RequestMemory& memory,
                            int nesting_left);

}  // namespace penstock::tfs
