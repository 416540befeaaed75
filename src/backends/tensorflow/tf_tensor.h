// SPDX-License-Identifier: Apache-2.0
// Converts tensors to and from TensorFlow. Elements are not copied, except strings and inputs that
// TensorFlow would copy itself because they are not aligned to 64 bytes.
#pragma once

#include <optional>

#include "penstock/backend.hpp"
#include "tf_api.h"

namespace penstock::tensorflow {

// Returns a view of `tensor` if possible, or else a copy. A view keeps the owner of `tensor` until
// TensorFlow needs it no more, which can be after the request. Throws Error.
TensorPtr ToTensorFlow(const TfApi& api, const PenstockTensor& tensor);

// Memory for the shape of an output. Small ranks need no allocation. One thread at a time.
struct OutputSizes {
  static constexpr int kInline = 8;
  int64_t few[kInline];
  std::unique_ptr<int64_t[]> many;
};

// Takes over `value`: the owner of the result keeps it. The shape points into `sizes`, which must
// live as long as the result is used. Throws Error.
PenstockTensor FromTensorFlow(const TfApi& api, TensorPtr value, OutputSizes& sizes);

// Returns a copy of the tensor. None if it is larger than 64 KiB. The caller must know that
// requests can carry its type.
std::optional<plugin::Value> ToValue(const TfApi& api, const TF_Tensor* tensor);

// True if both hold the same: type, shape and elements.
bool SameValues(const PenstockTensor& a, const PenstockTensor& b);

}  // namespace penstock::tensorflow
