// SPDX-License-Identifier: Apache-2.0
// TensorProto -> Tensor, straight from the received bytes.
//
// The elements of tensor_content, and those of packed float, double and complex fields, are viewed
// where they lie if they are aligned for their type, else copied; strings are viewed. Other typed
// values are decoded in one pass. As in TensorFlow, tensor_content counts if it is not empty; of
// typed values, surplus ones are ignored, and the last one stands for those that are missing.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/buffer.h"
#include "base/status.h"
#include "tensor/tensor.h"

namespace penstock::tfs {

// Bytes that the tensors of one request may take beyond the message itself, by default: a message
// of a few bytes can ask for any number of equal elements.
inline constexpr uint64_t kDecodedTensorBytesMax = uint64_t{1} << 30;

// Reads one TensorProto from `bytes`, which `owner` keeps. What the tensor allocates is taken off
// `budget_bytes`. `nesting_left`: how deep messages may still nest (kNestingMax for a message of
// its own). Errors: INVALID_ARGUMENT, without the tensor's name: malformed bytes, a type that is
// not carried, a shape that is unknown, negative or too large, content of the wrong size, bools
// other than 0 and 1, more than the budget.
StatusOr<Tensor> ReadTensor(std::string_view bytes, const BufferRef& owner, uint64_t& budget_bytes,
                            int nesting_left);

}  // namespace penstock::tfs
