// SPDX-License-Identifier: Apache-2.0
#include "cells/sequence_request.h"

#include <algorithm>
#include <cstring>
#include <string_view>

namespace penstock::cells {
namespace {

const Tensor* Find(const InferRequest& request, std::string_view name) {
  const auto found = std::ranges::find(request.inputs, name, &NamedTensor::name);
  return found == request.inputs.end() ? nullptr : &found->tensor;
}

// The shape of one row, without the steps of a kStep input.
Shape RowShape(const Tensor& tensor, size_t first_dim) {
  return Shape(tensor.shape().dims().subspan(first_dim));
}

std::span<const int64_t> RowDims(const Tensor& tensor) { return tensor.shape().dims().subspan(1); }

// What a row has if no step tells: open dimensions are empty.
Shape RowShape(const TensorSpec& spec) {
  Shape shape;
  if (spec.unknown_rank) return shape;
  for (const int64_t dim : spec.shape.dims().subspan(1)) shape.Append(std::max<int64_t>(dim, 0));
  return shape;
}

}  // namespace

Status SequenceRequest::FindInputs(int64_t steps_max) {
  const NamedTensor* first = nullptr;  // whose rows all others must have
  const NamedTensor* timed = nullptr;  // and whose steps
  for (const NamedTensor& input : request_.inputs) {
    if (input.tensor.shape().rank() == 0)
      return InvalidArgument("the input '{}' is a scalar; it must have a row for each sequence",
                             input.name);
    const int64_t rows = input.tensor.shape().dim(0);
    if (first == nullptr) {
      first = &input;
      rows_ = rows;
    } else if (rows != rows_) {
      return InvalidArgument(
          "the inputs '{}' and '{}' have {} and {} rows; each row is a sequence, so the numbers "
          "must be equal",
          first->name, input.name, rows_, rows);
    }
  }
  for (const CellInput& input : plan_.inputs) {
    const Tensor* const tensor = Find(request_, input.spec->name);
    inputs_.push_back(tensor);
    const bool is_step = input.role == InputRole::kStep;
    if (is_step && tensor->shape().rank() < 2)
      return InvalidArgument(
          "the input '{}' has the shape {}; it must have a row for each sequence, "
          "and in it an element for each step",
          input.spec->name, tensor->shape().ToString());
    // A state that may be left out has the same shape in all requests.
    const bool is_fixed = input.role == InputRole::kState &&
                          plan_.states[input.state].start.dtype() != DType::kInvalid;
    if (plan_.rows_differ && !is_fixed)
      shapes_.push_back(tensor == nullptr ? Shape{-1} : RowShape(*tensor, is_step ? 2 : 1));
    if (!is_step) continue;
    const int64_t steps = tensor->shape().dim(1);
    if (timed != nullptr && steps != steps_) {
      return InvalidArgument(
          "the inputs '{}' and '{}' have {} and {} steps; the numbers must be "
          "equal",
          timed->name, input.spec->name, steps_, steps);
    }
    timed = &*std::ranges::find(request_.inputs, input.spec->name, &NamedTensor::name);
    steps_ = steps;
  }
  if (steps_ > steps_max)
    return InvalidArgument("the input '{}' has {} steps; at most {} are allowed (steps_max)",
                           timed->name, steps_, steps_max);
  return OkStatus();
}

Status SequenceRequest::ReadLengths(int64_t steps_max) {
  const Tensor* const lengths = Find(request_, plan_.lengths_input);
  if (lengths == nullptr) {
    lengths_.assign(static_cast<size_t>(rows_), steps_);
    return OkStatus();
  }
  const int64_t most = plan_.has_steps ? steps_ : steps_max;
  for (const int64_t length : lengths->as<int64_t>()) {
    if (length < 0 || length > most)
      return InvalidArgument("the input '{}' has the length {}; it must be 0 to {}{}",
                             plan_.lengths_input, length, most,
                             plan_.has_steps ? ", the steps of the other inputs" : " (steps_max)");
    lengths_.push_back(length);
    if (!plan_.has_steps) steps_ = std::max(steps_, length);
  }
  return OkStatus();
}

StateRow SequenceRequest::StartOf(size_t state, int64_t row) const {
  const Tensor* const given = inputs_[plan_.states[state].input];
  if (given == nullptr) return {plan_.states[state].start, 0};
  return {*given, row};
}

Status SequenceRequest::Begin(int64_t steps_max) {
  TRY(FindInputs(steps_max));
  TRY(ReadLengths(steps_max));
  const auto open = std::ranges::count_if(lengths_, [](int64_t length) { return length > 0; });
  sequences_.reserve(static_cast<size_t>(open));
  for (int64_t row = 0; row < rows_; ++row) {
    const int64_t length = lengths_[static_cast<size_t>(row)];
    if (length == 0) continue;
    Sequence& sequence = sequences_.emplace_back();
    sequence.deadline = request_.deadline;
    sequence.steps_left = length;
    sequence.shapes = plan_.rows_differ ? &shapes_ : nullptr;
    sequence.request = this;
    sequence.row = row;
    for (size_t i = 0; i < plan_.states.size(); ++i) sequence.states.push_back(StartOf(i, row));
  }
  open_.store(open, std::memory_order_relaxed);
  if (open > 0) return OkStatus();
  std::vector<Shape> shapes;
  for (const CellOutput& output : plan_.outputs) shapes.push_back(RowShape(*output.spec));
  MutexLock lock(mutex_);
  return Allocate(shapes);
}

Status SequenceRequest::Allocate(std::span<const Shape> row_shapes) {
  std::vector<Tensor> outputs;
  for (size_t i = 0; i < plan_.outputs.size(); ++i) {
    const CellOutput& output = plan_.outputs[i];
    Tensor& tensor = outputs.emplace_back();
    if (output.is_stop) continue;
    Shape shape{rows_};
    if (output.each_step) shape.Append(steps_);
    for (const int64_t dim : row_shapes[i].dims()) shape.Append(dim);
    ASSIGN_OR_RETURN(tensor, Tensor::Allocate(output.spec->dtype, std::move(shape), memory_));
  }
  if (plan_.has_stop) {
    ASSIGN_OR_RETURN(counts_, Tensor::Allocate(DType::kInt64, Shape{rows_}, memory_));
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    const int64_t elements = row_shapes[i].ElementCount().value_or(0);
    row_bytes_.push_back(static_cast<size_t>(elements) * DTypeBytes(plan_.outputs[i].spec->dtype));
  }
  row_shapes_.assign(row_shapes.begin(), row_shapes.end());
  outputs_ = std::move(outputs);
  for (int64_t row = 0; row < rows_; ++row) {
    if (lengths_[static_cast<size_t>(row)] > 0) continue;
    absl::InlinedVector<StateRow, 2> states;
    for (size_t i = 0; i < plan_.states.size(); ++i) states.push_back(StartOf(i, row));
    EndRow(row, 0, states);
  }
  has_outputs_.store(true, std::memory_order_release);
  return OkStatus();
}

Status SequenceRequest::HaveRoomFor(std::span<const Tensor> outputs) {
  if (!has_outputs_.load(std::memory_order_acquire)) {
    MutexLock lock(mutex_);
    if (!has_outputs_.load(std::memory_order_relaxed)) {
      std::vector<Shape> shapes;
      for (const Tensor& output : outputs) shapes.push_back(RowShape(output, 1));
      TRY(Allocate(shapes));
    }
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (!std::ranges::equal(RowDims(outputs[i]), row_shapes_[i].dims()))
      return Error(StatusCode::kInternal,
                   "the output '{}' has rows of the shape {} in one step and of {} in another",
                   plan_.outputs[i].spec->name, row_shapes_[i].ToString(),
                   RowShape(outputs[i], 1).ToString());
  }
  return OkStatus();
}

std::byte* SequenceRequest::PlaceOf(size_t output, int64_t row, int64_t step) {
  const int64_t steps = plan_.outputs[output].each_step ? steps_ : 1;
  return outputs_[output].mutable_data() +
         static_cast<size_t>(row * steps + step) * row_bytes_[output];
}

StatusOr<bool> SequenceRequest::TakeStep(Sequence& sequence, std::span<const Tensor> outputs,
                                         int64_t from) {
  TRY(HaveRoomFor(outputs));
  bool stops = false;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const CellOutput& output = plan_.outputs[i];
    const std::byte* const row = outputs[i].data() + static_cast<size_t>(from) * row_bytes_[i];
    if (output.is_stop) stops = *row != std::byte{0};
    if (output.each_step && row_bytes_[i] > 0)
      std::memcpy(PlaceOf(i, sequence.row, sequence.steps_done), row, row_bytes_[i]);
    if (output.state >= 0) sequence.states[static_cast<size_t>(output.state)] = {outputs[i], from};
  }
  ++sequence.steps_done;
  if (--sequence.steps_left > 0 && !stops) return false;
  EndRow(sequence.row, sequence.steps_done, sequence.states);
  sequence.states.clear();
  return true;
}

void SequenceRequest::EndRow(int64_t row, int64_t steps_done, std::span<const StateRow> states) {
  for (size_t i = 0; i < plan_.outputs.size(); ++i) {
    const CellOutput& output = plan_.outputs[i];
    if (output.is_stop || row_bytes_[i] == 0) continue;
    if (output.each_step) {
      if (steps_done < steps_)
        std::memset(PlaceOf(i, row, steps_done), 0,
                    static_cast<size_t>(steps_ - steps_done) * row_bytes_[i]);
    } else {
      const StateRow& state = states[static_cast<size_t>(output.state)];
      std::memcpy(PlaceOf(i, row, 0),
                  state.tensor.data() + static_cast<size_t>(state.row) * row_bytes_[i],
                  row_bytes_[i]);
    }
  }
  if (plan_.has_stop) counts_.mutable_as<int64_t>()[static_cast<size_t>(row)] = steps_done;
}

void SequenceRequest::Fail(Status why) {
  MutexLock lock(mutex_);
  if (has_failed_.load(std::memory_order_relaxed)) return;
  failure_ = std::move(why);
  has_failed_.store(true, std::memory_order_release);
}

NamedTensors SequenceRequest::TakeOutputs() {
  NamedTensors answer;
  const auto is_wanted = [this](const std::string& name) {
    return request_.output_filter.empty() ||
           std::ranges::find(request_.output_filter, name) != request_.output_filter.end();
  };
  for (const TensorSpec& spec : plan_.info.signatures.front().outputs) {
    if (!is_wanted(spec.name)) continue;
    NamedTensor& output = answer.emplace_back();
    output.name = spec.name;
    const auto found = std::ranges::find_if(plan_.outputs, [&](const CellOutput& each) {
      return !each.is_stop && each.spec->name == spec.name;
    });
    // The only output that the cell lacks is the number of steps.
    output.tensor = found == plan_.outputs.end()
                        ? std::move(counts_)
                        : std::move(outputs_[static_cast<size_t>(found - plan_.outputs.begin())]);
  }
  return answer;
}

void SequenceRequest::Answer(std::unique_ptr<SequenceRequest> request) {
  ResponseCallback done = std::move(request->done_);
  InferResponse response;
  {
    MutexLock lock(request->mutex_);
    response.status = std::move(request->failure_);
  }
  if (response.status.ok()) response.outputs = request->TakeOutputs();
  request.reset();
  done(std::move(response));
}

}  // namespace penstock::cells
