// SPDX-License-Identifier: Apache-2.0
// Protobuf puts the length of a nested message before its content. So each level first computes its
// size. The sizes of classes are computed again when they are written, which is cheaper than to
// keep them. Fields with the value 0, and empty strings, are not written, as in proto3.
#include "protocols/tfs/result_writer.h"

#include <bit>

#include "absl/container/inlined_vector.h"
#include "protocols/tfs/wire_writer.h"

namespace penstock::tfs {
namespace {

// A float field with a one-byte tag. Only +0 is left out: -0 has another bit pattern.
uint64_t FloatBytes(float value) { return std::bit_cast<uint32_t>(value) == 0 ? 0 : 5; }

void WriteFloat(uint32_t field, float value, WireWriter& out) {
  if (FloatBytes(value) == 0) return;
  out.Varint(MakeTag(field, WireType::kFixed32));
  out.Bytes(&value, sizeof value);
}

uint64_t ClassBytes(const ExampleClasses& classes, int64_t row, int64_t column) {
  const std::string_view label = classes.Label(row, column);
  return (label.empty() ? 0 : LengthFieldBytes(1, label.size())) +
         FloatBytes(classes.Score(row, column));
}

uint64_t RowBytes(const ExampleClasses& classes, int64_t row) {
  uint64_t bytes = 0;
  for (int64_t column = 0; column < classes.columns; ++column) {
    bytes += LengthFieldBytes(1, ClassBytes(classes, row, column));
  }
  return bytes;
}

uint64_t ResultBytes(const ExampleClasses& classes) {
  uint64_t bytes = 0;
  for (int64_t row = 0; row < classes.rows; ++row) {
    bytes += LengthFieldBytes(1, RowBytes(classes, row));
  }
  return bytes;
}

void WriteResult(const ExampleClasses& classes, WireWriter& out) {
  for (int64_t row = 0; row < classes.rows; ++row) {
    out.LengthHeader(1, RowBytes(classes, row));
    for (int64_t column = 0; column < classes.columns; ++column) {
      out.LengthHeader(1, ClassBytes(classes, row, column));
      const std::string_view label = classes.Label(row, column);
      if (!label.empty()) out.BytesField(1, label);
      WriteFloat(2, classes.Score(row, column), out);
    }
  }
}

uint64_t ResultBytes(const ExampleValues& values) {
  uint64_t bytes = 0;
  for (int64_t row = 0; row < values.rows; ++row) {
    bytes += LengthFieldBytes(1, FloatBytes(values.Value(row)));
  }
  return bytes;
}

void WriteResult(const ExampleValues& values, WireWriter& out) {
  for (int64_t row = 0; row < values.rows; ++row) {
    out.LengthHeader(1, FloatBytes(values.Value(row)));
    WriteFloat(1, values.Value(row), out);
  }
}

// A string of protobuf must be UTF-8: clients could not read the answer.
Status CheckLabels(const ExampleResult& result) {
  const auto* const classes = std::get_if<ExampleClasses>(&result);
  if (classes == nullptr || classes->classes == nullptr) return OkStatus();
  for (int64_t row = 0; row < classes->rows; ++row) {
    for (int64_t column = 0; column < classes->columns; ++column) {
      if (IsUtf8(classes->Label(row, column))) continue;
      return InvalidArgument(
          "the label of class {} of example {} is not UTF-8, which an answer cannot carry", column,
          row);
    }
  }
  return OkStatus();
}

// The sizes for one result. Immutable.
struct ResultPlan {
  explicit ResultPlan(const TaskResult& result)
      : bytes(std::visit([](const auto& each) { return ResultBytes(each); }, result.result)),
        model(result.model) {}
  uint64_t bytes;
  ModelSpecPlan model;
};

StatusOr<BufferRef> AllocateAnswer(uint64_t bytes, RequestMemory& memory) {
  // The protobuf libraries of clients cannot read a larger message.
  if (bytes > kLengthMax) {
    return Error(StatusCode::kResourceExhausted,
                 "the answer takes {} bytes; a message holds at most {}", bytes, kLengthMax);
  }
  return memory.Allocate(bytes);
}

void WriteTask(uint32_t field, const TaskResult& result, const ResultPlan& plan, WireWriter& out) {
  out.LengthHeader(field, plan.bytes);
  std::visit([&](const auto& each) { WriteResult(each, out); }, result.result);
}

// The field of InferenceResult.
uint32_t FieldOf(const ExampleResult& result) {
  return std::holds_alternative<ExampleClasses>(result) ? 2 : 3;
}

}  // namespace

StatusOr<ByteChain> WriteResultResponse(const TaskResult& result, RequestMemory& memory) {
  TRY(CheckLabels(result.result));
  const ResultPlan plan(result);
  const uint64_t bytes = LengthFieldBytes(1, plan.bytes) + LengthFieldBytes(2, plan.model.bytes);
  ASSIGN_OR_RETURN(BufferRef buffer, AllocateAnswer(bytes, memory));
  WireWriter out(buffer->data());
  WriteTask(1, result, plan, out);
  WriteModelSpec(2, result.model, plan.model, out);
  return ByteChain(WholeSlice(std::move(buffer)));
}

StatusOr<ByteChain> WriteMultiInferenceResponse(std::span<const TaskResult> results,
                                                RequestMemory& memory) {
  absl::InlinedVector<ResultPlan, 2> plans;
  const auto task_bytes = [&](size_t i) {
    return LengthFieldBytes(1, plans[i].model.bytes) +
           LengthFieldBytes(FieldOf(results[i].result), plans[i].bytes);
  };
  uint64_t bytes = 0;
  for (size_t i = 0; i < results.size(); ++i) {
    TRY(CheckLabels(results[i].result));
    plans.emplace_back(results[i]);
    bytes += LengthFieldBytes(1, task_bytes(i));
  }
  ASSIGN_OR_RETURN(BufferRef buffer, AllocateAnswer(bytes, memory));
  WireWriter out(buffer->data());
  for (size_t i = 0; i < results.size(); ++i) {
    out.LengthHeader(1, task_bytes(i));
    WriteModelSpec(1, results[i].model, plans[i].model, out);
    WriteTask(FieldOf(results[i].result), results[i], plans[i], out);
  }
  return ByteChain(WholeSlice(std::move(buffer)));
}

}  // namespace penstock::tfs
