// SPDX-License-Identifier: Apache-2.0
// Converts a Tensor to a TensorProto in two steps: first the sizes, then the bytes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/status.h"
#include "protocols/tfs/wire_writer.h"
#include "tensor/tensor.h"

namespace penstock::tfs {

// The form of the tensors in an answer.
struct TensorWriteOptions {
  // True: writes elements as tensor_content instead of typed fields. This is TensorFlow Serving's
  // --enable_serialization_as_tensor_content.
  bool as_tensor_content = false;
  // Runs of elements, and strings, with at least this many bytes are sent without a copy.
  size_t gather_bytes_min = 4096;
};

// The sizes of a tensor on the wire, in bytes. The buffer for the answer is allocated from them, so
// WriteTensor must write exactly as much:
//
//   ASSIGN_OR_RETURN(const TensorPlan plan, PlanTensor(tensor, options));
//   buffer_bytes += plan.message_bytes - plan.gathered_bytes;
//   ...
//   WriteTensor(tensor, plan, options, out);
//
// Plain data.
struct TensorPlan {
  uint32_t field = 0;           // the field for the elements
  uint64_t shape_bytes = 0;     // of the TensorShapeProto
  uint64_t payload_bytes = 0;   // of that field's content; for typed strings, of all its fields
  uint64_t message_bytes = 0;   // of the TensorProto
  uint64_t gathered_bytes = 0;  // the part of these that is not copied
};

// Computes the sizes. Walks over the elements of types that are varints on the wire. Errors:
// INTERNAL if the type has no wire form.
StatusOr<TensorPlan> PlanTensor(const Tensor& tensor, const TensorWriteOptions& options);

// Writes the fields of a TensorProto, without a tag and length around them. `plan` must come from
// the same tensor and options. Gathered parts refer to the tensor's buffers and keep them alive.
void WriteTensor(const Tensor& tensor, const TensorPlan& plan, const TensorWriteOptions& options,
                 ChainWriter& out);

}  // namespace penstock::tfs
