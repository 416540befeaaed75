// SPDX-License-Identifier: Apache-2.0
// Converts tensors to and from TensorFlow. Elements are not copied, except strings and inputs that
// are not aligned as TensorFlow wants them.
#pragma once

#include <optional>

#include "penstock/backend.hpp"
#include "tf_api.h"

namespace penstock::tensorflow {

// Keeps the owner of `tensor` as long as TensorFlow wants it. Throws Error.
TensorPtr ToTensorFlow(const TfApi& api, const PenstockTensor& tensor);

// Room for the sizes of an output. One thread at a time.
struct OutputSizes {
  static constexpr int kInline = 8;
  int64_t few[kInline];
  std::unique_ptr<int64_t[]> many;
};

// Takes over `value`: the result's owner keeps it. `sizes` keeps the shape. Throws Error.
PenstockTensor FromTensorFlow(const TfApi& api, TensorPtr value, OutputSizes& sizes);

// Returns a copy of the tensor. None if it is too large for a description, or of a type that
// requests cannot carry.
std::optional<plugin::Value> ToValue(const TfApi& api, const TF_Tensor* tensor);

// True if both hold the same: type, shape and elements.
bool SameValues(const PenstockTensor& a, const PenstockTensor& b);

}  // namespace penstock::tensorflow
