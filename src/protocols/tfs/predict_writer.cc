// SPDX-License-Identifier: Apache-2.0
// Protobuf puts the length of a nested message before its content. So a first pass plans all sizes,
// from the inside out. A second pass writes into one buffer of exactly the planned size, and refers
// to large runs of elements where they lie.
#include "protocols/tfs/predict_writer.h"

#include "absl/container/inlined_vector.h"

namespace penstock::tfs {
namespace {

using TensorPlans = absl::InlinedVector<TensorPlan, 2>;

uint64_t EntryBytes(const NamedTensor& output, const TensorPlan& plan) {
  return LengthFieldBytes(1, output.name.size()) + LengthFieldBytes(2, plan.message_bytes);
}

// Writes tensors as the map in the field kTensors, and a ModelSpec as the field kSpec.
template <uint32_t kTensors, uint32_t kSpec>
StatusOr<ByteChain> WriteMessage(std::span<const NamedTensor> outputs, const ModelSpecFields& model,
                                 const TensorWriteOptions& options, RequestMemory* memory) {
  TensorPlans plans;
  const ModelSpecPlan spec(model);
  uint64_t bytes = LengthFieldBytes(kSpec, spec.bytes);
  uint64_t gathered_bytes = 0;
  for (const NamedTensor& output : outputs) {
    StatusOr<TensorPlan> plan = PlanTensor(output.tensor, options);
    if (!plan.ok()) {
      return Error(plan.status().code(), "output {}: {}", output.name, MessageOf(plan.status()));
    }
    bytes += LengthFieldBytes(kTensors, EntryBytes(output, *plan));
    gathered_bytes += plan->gathered_bytes;
    plans.push_back(*plan);
  }
  // The protobuf libraries of clients cannot read a larger message.
  if (bytes > kLengthMax) {
    return Error(StatusCode::kResourceExhausted,
                 "the answer takes {} bytes; a PredictResponse holds at most {}", bytes,
                 kLengthMax);
  }
  RequestMemory uncounted(UINT64_MAX);
  RequestMemory& source = memory != nullptr ? *memory : uncounted;
  ASSIGN_OR_RETURN(BufferRef buffer, source.Allocate(bytes - gathered_bytes));
  ChainWriter out(std::move(buffer));
  for (size_t i = 0; i < outputs.size(); ++i) {
    out.wire().LengthHeader(kTensors, EntryBytes(outputs[i], plans[i]));
    out.wire().BytesField(1, outputs[i].name);
    out.wire().LengthHeader(2, plans[i].message_bytes);
    WriteTensor(outputs[i].tensor, plans[i], options, out);
  }
  WriteModelSpec(kSpec, model, spec, out.wire());
  return out.Finish();
}

}  // namespace

StatusOr<ByteChain> WritePredictResponse(std::span<const NamedTensor> outputs,
                                         const ModelSpecFields& model,
                                         const TensorWriteOptions& options, RequestMemory* memory) {
  return WriteMessage<1, 2>(outputs, model, options, memory);
}

StatusOr<ByteChain> WritePredictRequest(std::span<const NamedTensor> inputs,
                                        const ModelSpecFields& model,
                                        std::span<const std::string_view> output_filter,
                                        const TensorWriteOptions& options, RequestMemory* memory) {
  ASSIGN_OR_RETURN(ByteChain message, (WriteMessage<2, 1>(inputs, model, options, memory)));
  if (output_filter.empty()) return message;
  size_t bytes = 0;
  for (const std::string_view name : output_filter) bytes += LengthFieldBytes(3, name.size());
  BufferRef buffer = AllocateBuffer(bytes);
  WireWriter out(buffer->data());
  for (const std::string_view name : output_filter) out.BytesField(3, name);
  message.Append(WholeSlice(std::move(buffer)));
  return message;
}

}  // namespace penstock::tfs
