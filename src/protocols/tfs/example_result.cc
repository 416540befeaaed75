// SPDX-License-Identifier: Apache-2.0
// The declared shapes and types of outputs are only a promise of the model's file, and a run may
// break it. So each result is checked before its elements are read. The checks and their texts are
// those of TensorFlow Serving.
#include "protocols/tfs/example_result.h"

namespace penstock::tfs {
namespace {

const Tensor* FindOutput(const NamedTensors& outputs, uint32_t signature, const TensorSpec* spec) {
  if (spec == nullptr) return nullptr;
  for (const NamedTensor& output : outputs) {
    if (output.signature == signature && output.name == spec->name) return &output.tensor;
  }
  return nullptr;
}

Status NoOutput(const TensorSpec& spec) {
  return InvalidArgument("Could not find output tensor '{}'", spec.name);
}

bool IsFloat(const Tensor& tensor) {
  return tensor.dtype() == DType::kFloat32 || tensor.dtype() == DType::kFloat64;
}

// Checks the output `what`, which is "classes" or "scores".
Status CheckMatrix(const Tensor& tensor, std::string_view what, bool is_type, std::string_view type,
                   int64_t rows) {
  const Shape& shape = tensor.shape();
  if (shape.rank() != 2) {
    return InvalidArgument("Expected Tensor shape: [batch_size num_classes] but got {}",
                           shape.ToString());
  }
  if (!is_type) {
    return InvalidArgument("Expected {} Tensor of {}. Got: {}", what, type,
                           TensorFlowTypeName(tensor.dtype()));
  }
  if (shape.dim(0) != rows) {
    return InvalidArgument("Expected {} output batch size of {}. Got: {}", what, rows,
                           shape.dim(0));
  }
  return OkStatus();
}

StatusOr<ExampleResult> ViewClasses(const ExamplePlan& plan, const NamedTensors& outputs,
                                    uint32_t signature, int64_t rows) {
  ExampleClasses result{.rows = rows};
  result.classes = FindOutput(outputs, signature, plan.classes);
  result.scores = FindOutput(outputs, signature, plan.scores);
  if (plan.classes != nullptr && result.classes == nullptr) return NoOutput(*plan.classes);
  if (plan.scores != nullptr && result.scores == nullptr) return NoOutput(*plan.scores);
  if (result.classes != nullptr) {
    const bool is_string = result.classes->dtype() == DType::kString;
    TRY(CheckMatrix(*result.classes, "classes", is_string, "DT_STRING", rows));
    result.columns = result.classes->shape().dim(1);
  }
  if (result.scores != nullptr) {
    TRY(CheckMatrix(*result.scores, "scores", IsFloat(*result.scores), "DT_FLOAT", rows));
    const int64_t columns = result.scores->shape().dim(1);
    // The classes come from an output, or from the labels in the model's settings or file, or there
    // are only scores.
    const int64_t labels = result.classes != nullptr ? result.columns
                           : plan.labels.empty()     ? columns
                                                     : static_cast<int64_t>(plan.labels.size());
    if (labels != columns) {
      return InvalidArgument("Tensors class and score should match in dim_size(1). Got {} vs. {}",
                             labels, columns);
    }
    result.columns = columns;
    if (result.classes == nullptr) result.labels = plan.labels;
  }
  return result;
}

StatusOr<ExampleResult> ViewValues(const ExamplePlan& plan, const NamedTensors& outputs,
                                   uint32_t signature, int64_t rows) {
  const Tensor* const values = FindOutput(outputs, signature, plan.values);
  if (values == nullptr) return NoOutput(*plan.values);
  const Shape& shape = values->shape();
  if (shape.rank() != 1 && !(shape.rank() == 2 && shape.dim(1) == 1)) {
    return InvalidArgument(
        "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got {}",
        shape.ToString());
  }
  if (shape.dim(0) != rows) {
    return InvalidArgument("Input batch size did not match output batch size: {} vs. {}", rows,
                           shape.dim(0));
  }
  if (!IsFloat(*values)) {
    return InvalidArgument("Expected output Tensor of DT_FLOAT.  Got: {}",
                           TensorFlowTypeName(values->dtype()));
  }
  return ExampleValues{rows, values};
}

}  // namespace

StatusOr<ExampleResult> ViewResult(const ExamplePlan& plan, const NamedTensors& outputs,
                                   uint32_t signature, int64_t rows) {
  return plan.method == ExampleMethod::kClassify ? ViewClasses(plan, outputs, signature, rows)
                                                 : ViewValues(plan, outputs, signature, rows);
}

}  // namespace penstock::tfs
