// SPDX-License-Identifier: Apache-2.0
// Tensor -> TensorProto, in two steps: sizes first, then bytes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/status.h"
#include "protocols/tfs/wire_writer.h"
#include "tensor/tensor.h"

namespace penstock::tfs {

struct TensorWriteOptions {
  // Elements as tensor_content rather than in typed fields. TensorFlow Serving's
  // --enable_serialization_as_tensor_content.
  bool as_tensor_content = false;
  // Runs of elements, and strings, of at least this many bytes are not copied.
  size_t gather_bytes_min = 4096;
};

// How a tensor will be written.
struct TensorPlan {
  uint32_t field = 0;           // that takes the elements
  uint64_t shape_bytes = 0;     // of the TensorShapeProto
  uint64_t payload_bytes = 0;   // of that field's content; for typed strings, of all its fields
  uint64_t message_bytes = 0;   // of the TensorProto
  uint64_t gathered_bytes = 0;  // of these, not copied
};

// Errors: INTERNAL if the type has no wire form.
StatusOr<TensorPlan> PlanTensor(const Tensor& tensor, const TensorWriteOptions& options);

// Writes what was planned with the same options.
void WriteTensor(const Tensor& tensor, const TensorPlan& plan, const TensorWriteOptions& options,
                 ChainWriter& out);

}  // namespace penstock::tfs
