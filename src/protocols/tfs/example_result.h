// SPDX-License-Identifier: Apache-2.0
// The outputs of a model as classes or as values of Examples.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "base/status.h"
#include "infer/example_plan.h"
#include "infer/request.h"
#include "tensor/tensor.h"

namespace penstock::tfs {

// A float32 or float64 tensor whose elements are read as floats. It refers to the tensor. One
// thread at a time.
class FloatView final {
 public:
  explicit FloatView(const Tensor& tensor)
      : data_(tensor.data()), is_double_(tensor.dtype() == DType::kFloat64) {}
  float operator[](size_t index) const {
    return is_double_ ? static_cast<float>(reinterpret_cast<const double*>(data_)[index])
                      : reinterpret_cast<const float*>(data_)[index];
  }

 private:
  const std::byte* data_;
  bool is_double_;
};

// The classes of each Example: a matrix of `rows` Examples by `columns` classes, each with a label
// and a score. Refers to the outputs and to the plan, which must outlive it. One thread at a time.
struct ExampleClasses {
  int64_t rows = 0;
  int64_t columns = 0;
  const Tensor* classes = nullptr;           // null: the labels below
  const Tensor* scores = nullptr;            // null: every score is 0
  std::span<const std::string> labels = {};  // one for each column, or none

  std::string_view Label(int64_t row, int64_t column) const {
    if (classes != nullptr) {
      return classes->strings()[static_cast<size_t>(row * columns + column)].view();
    }
    return labels.empty() ? std::string_view() : labels[static_cast<size_t>(column)];
  }
  float Score(int64_t row, int64_t column) const {
    return scores == nullptr ? 0 : FloatView(*scores)[static_cast<size_t>(row * columns + column)];
  }
};

// The value of each Example. Refers to the outputs. One thread at a time.
struct ExampleValues {
  int64_t rows = 0;
  const Tensor* values = nullptr;

  float Value(int64_t row) const { return FloatView(*values)[static_cast<size_t>(row)]; }
};

// The result of one task: classes for Classify, values for Regress.
using ExampleResult = std::variant<ExampleClasses, ExampleValues>;

// Checks the outputs that a run for `rows` Examples has given, by the rules of TensorFlow Serving:
// shapes [rows, classes] for Classify, [rows] or [rows, 1] for Regress. The shapes that the model's
// file declares are no proof, so the tensors themselves are checked. `signature` is the position of
// the plan's signature in the request. Copies nothing. Errors: INVALID_ARGUMENT, with TensorFlow
// Serving's texts.
StatusOr<ExampleResult> ViewResult(const ExamplePlan& plan, const NamedTensors& outputs,
                                   uint32_t signature, int64_t rows);

}  // namespace penstock::tfs
