// SPDX-License-Identifier: Apache-2.0
#include "batch/join.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>
#include <vector>

#include "base/check.h"

namespace penstock::batch {
namespace {

// Keeps the characters of the strings of several tensors alive. Thread-safe as every Buffer.
class JoinedStrings final : public Buffer {
 public:
  explicit JoinedStrings(std::vector<BufferRef> owners)
      : Buffer(nullptr, 0), owners_(std::move(owners)) {}

 private:
  const std::vector<BufferRef> owners_;
};

const NamedTensor* FindTensor(const NamedTensors& tensors, std::string_view name, size_t guess) {
  if (guess < tensors.size() && tensors[guess].name == name) [[likely]]
    return &tensors[guess];
  const auto found = std::ranges::find(tensors, name, &NamedTensor::name);
  return found == tensors.end() ? nullptr : &*found;
}

// True if the signature allows this shape, with any number of rows.
bool IsPromised(const TensorSpec& spec, const Shape& shape) {
  if (spec.unknown_rank) return true;
  if (spec.shape.rank() != shape.rank()) return false;
  for (size_t axis = 1; axis < shape.rank(); ++axis) {
    if (spec.shape.dim(axis) >= 0 && spec.shape.dim(axis) != shape.dim(axis)) return false;
  }
  return true;
}

// True if both have rows of the same type and shape.
bool HasSameRows(const Tensor& a, const Tensor& b) {
  const auto x = a.shape().dims(), y = b.shape().dims();
  return a.dtype() == b.dtype() && x.size() == y.size() &&
         std::equal(x.begin() + 1, x.end(), y.begin() + 1);
}

// Keeps the characters of the strings of all `tensors` alive.
BufferRef StringsOf(std::span<const Tensor* const> tensors) {
  std::vector<BufferRef> owners;
  for (const Tensor* tensor : tensors)
    owners.push_back(tensor->string_owner() ? tensor->string_owner() : tensor->elements().owner);
  return BufferRef(new JoinedStrings(std::move(owners)));
}

// Sets `to` to the rows of `tensors`, one after the other, and the first row of the last one
// `extra_rows` times.
Status GatherTensors(std::span<const Tensor* const> tensors, int64_t extra_rows,
                     RequestMemory& memory, Tensor& to) {
  Shape shape = tensors.front()->shape();
  int64_t rows = extra_rows;
  for (const Tensor* tensor : tensors) rows += tensor->shape().dim(0);
  shape.SetDim(0, rows);
  ASSIGN_OR_RETURN(to, Tensor::Allocate(tensors.front()->dtype(), std::move(shape), memory));
  std::byte* place = to.mutable_data();
  const auto append = [&place](const Tensor& part) {
    if (part.bytes() > 0) std::memcpy(place, part.data(), part.bytes());
    place += part.bytes();
  };
  for (const Tensor* tensor : tensors) append(*tensor);
  if (extra_rows > 0) {
    const Tensor row = tensors.back()->Rows(0, 1);
    for (int64_t i = 0; i < extra_rows; ++i) append(row);
  }
  PENSTOCK_CHECK(place == to.data() + to.bytes(), "rows of different sizes were joined");
  if (to.dtype() == DType::kString) to.set_string_owner(StringsOf(tensors));
  return OkStatus();
}

// How an input is padded.
struct PaddedInput {
  const PadPlan& plan;
  std::string_view name;
};

// As GatherTensors, for tensors whose rows have different sizes.
Status PadTensors(std::span<const Tensor* const> tensors, int64_t extra_rows,
                  const PaddedInput& input, RequestMemory& memory, Tensor& to) {
  Shape shape = tensors.front()->shape();
  for (const Tensor* tensor : tensors.subspan(1)) PadPlan::GrowTo(shape, *tensor);
  shape.SetDim(0, shape.dim(0) + extra_rows);
  ASSIGN_OR_RETURN(to, Tensor::Allocate(tensors.front()->dtype(), std::move(shape), memory));
  std::byte* place = to.mutable_data();
  for (const Tensor* tensor : tensors)
    place = input.plan.Copy(input.name, *tensor, to.shape(), place);
  if (extra_rows > 0) {
    const Tensor row = tensors.back()->Rows(0, 1);
    for (int64_t i = 0; i < extra_rows; ++i)
      place = input.plan.Copy(input.name, row, to.shape(), place);
  }
  PENSTOCK_CHECK(place == to.data() + to.bytes(), "the padded rows do not fill their tensor");
  if (to.dtype() == DType::kString) to.set_string_owner(StringsOf(tensors));
  return OkStatus();
}

}  // namespace

int64_t RowsOf(const Signature& signature, const InferRequest& request) {
  if (!request.further_signatures.empty() || request.flow != nullptr || request.inputs.empty())
    return 0;
  int64_t rows = 0;
  for (const NamedTensor& input : request.inputs) {
    const TensorSpec* const spec = signature.FindInput(input.name);
    const Shape& shape = input.tensor.shape();
    if (spec == nullptr || shape.rank() == 0 || !IsPromised(*spec, shape)) return 0;
    if (&input == &request.inputs.front()) rows = shape.dim(0);
    if (shape.dim(0) != rows) return 0;
  }
  return rows;
}

bool CanJoin(const InferRequest& a, const InferRequest& b, const PadPlan& pad) {
  if (a.inputs.size() != b.inputs.size() || a.options != b.options) return false;
  for (size_t i = 0; i < a.inputs.size(); ++i) {
    const NamedTensor* const other = FindTensor(b.inputs, a.inputs[i].name, i);
    if (other == nullptr) return false;
    if (!HasSameRows(a.inputs[i].tensor, other->tensor) &&
        !pad.CanJoin(a.inputs[i].name, a.inputs[i].tensor, other->tensor))
      return false;
  }
  return true;
}

Status GatherInputs(std::span<const InferRequest* const> members, int64_t extra_rows,
                    RequestMemory& memory, NamedTensors& inputs, const PadPlan& pad) {
  const NamedTensors& first = members.front()->inputs;
  std::vector<const Tensor*> tensors(members.size());
  for (size_t i = 0; i < first.size(); ++i) {
    std::ranges::transform(members, tensors.begin(), [&](const InferRequest* member) {
      const NamedTensor* const found = FindTensor(member->inputs, first[i].name, i);
      PENSTOCK_CHECK(found != nullptr, "requests with different inputs were joined");
      return &found->tensor;
    });
    NamedTensor& input = inputs.emplace_back();
    input.name = first[i].name;
    const bool have_same_rows = std::ranges::all_of(
        tensors, [&](const Tensor* each) { return HasSameRows(*tensors.front(), *each); });
    if (have_same_rows) {
      TRY(GatherTensors(tensors, extra_rows, memory, input.tensor));
    } else {
      TRY(PadTensors(tensors, extra_rows, {pad, input.name}, memory, input.tensor));
    }
  }
  return pad.fills() ? pad.FillBatch(members, extra_rows, memory, inputs) : OkStatus();
}

Status Scatter::Start(const Signature& signature, const NamedTensors& outputs, int64_t rows) {
  outputs_ = &outputs;
  names_.clear();
  first_ = 0;
  for (const NamedTensor& output : outputs) {
    const TensorSpec* const spec = signature.FindOutput(output.name);
    if (spec == nullptr)
      return Error(StatusCode::kInternal, "the signature has no output '{}'", output.name);
    const Shape& shape = output.tensor.shape();
    if (shape.rank() == 0 || shape.dim(0) != rows) {
      return Error(StatusCode::kInternal,
                   "the output '{}' of {} rows has the shape {}; its first dimension must be the "
                   "number of rows",
                   spec->name, rows, shape.ToString());
    }
    names_.push_back(spec->name);
  }
  return OkStatus();
}

void Scatter::Next(int64_t rows, const OutputFilter& filter, NamedTensors& part) {
  for (size_t i = 0; i < names_.size(); ++i) {
    if (filter.empty() || std::ranges::find(filter, names_[i]) != filter.end())
      part.push_back({names_[i], (*outputs_)[i].tensor.Rows(first_, rows)});
  }
  first_ += rows;
}

Status ScatterOutputs(const Signature& signature, const NamedTensors& outputs,
                      std::span<const int64_t> rows, int64_t extra_rows,
                      std::span<NamedTensors> parts) {
  Scatter scatter;
  TRY(scatter.Start(signature, outputs, std::reduce(rows.begin(), rows.end(), extra_rows)));
  for (size_t i = 0; i < parts.size(); ++i) scatter.Next(rows[i], {}, parts[i]);
  return OkStatus();
}

OutputFilter UnionOfFilters(std::span<const InferRequest* const> members) {
  OutputFilter all;
  for (const InferRequest* member : members) {
    if (member->output_filter.empty()) return {};
    for (const std::string_view name : member->output_filter)
      if (std::ranges::find(all, name) == all.end()) all.push_back(name);
  }
  return all;
}

}  // namespace penstock::batch
