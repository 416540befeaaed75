// SPDX-License-Identifier: Apache-2.0
#include "convert/caffe2/operation.h"

#include <utility>

#include "convert/caffe2/shown.h"

namespace penstock::convert {
namespace {

using onnx::TensorProto;

// The name of a type of elements, for messages.
std::string TypeName(int type) {
  std::string name = TensorProto::DataType_Name(static_cast<TensorProto::DataType>(type));
  for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return name;
}

bool IsFloat(int type) {
  return type == TensorProto::FLOAT || type == TensorProto::DOUBLE || type == TensorProto::FLOAT16;
}

bool IsNumber(int type) {
  return IsFloat(type) || type == TensorProto::INT32 || type == TensorProto::INT64;
}

}  // namespace

Status Operation::CheckTypes(InputTypes types) const {
  if (types == InputTypes::kAny) return OkStatus();
  const Blob* first = nullptr;
  size_t first_index = 0;
  for (size_t index = 0; index < input_count(); ++index) {
    const Blob* const blob = blobs_.Find(input_name(index));
    if (blob == nullptr || !blob->unreadable.empty()) continue;  // Input says so
    const auto wrong = [&](std::string_view right) {
      return InvalidArgument("its input '{}' has the type {}; right would be {}",
                             Shown(input_name(index)), TypeName(blob->type), right);
    };
    if (types == InputTypes::kFloats && !IsFloat(blob->type))
      return wrong("float, double or float16");
    if (types == InputTypes::kNumbers && !IsNumber(blob->type))
      return wrong("float, double, float16, or an integer of 32 or 64 bits");
    if (first == nullptr) {
      first = blob;
      first_index = index;
    }
    if (blob->type != first->type)
      return wrong(
          fmt::format("{}, as '{}' has", TypeName(first->type), Shown(input_name(first_index))));
  }
  return OkStatus();
}

Status Operation::CheckCounts(size_t inputs_min, size_t inputs_max, size_t outputs_max) const {
  if (input_count() < inputs_min || input_count() > inputs_max) {
    return InvalidArgument("it has {} inputs; right would be {}", input_count(),
                           inputs_min == inputs_max ? std::to_string(inputs_min)
                           : inputs_max == SIZE_MAX ? fmt::format("{} or more", inputs_min)
                           : inputs_max == inputs_min + 1
                               ? fmt::format("{} or {}", inputs_min, inputs_max)
                               : fmt::format("{} to {}", inputs_min, inputs_max));
  }
  if (output_count() < 1 || output_count() > outputs_max) {
    return InvalidArgument("it has {} outputs; right would be {}", output_count(),
                           outputs_max == 1 ? "1" : fmt::format("1 to {}", outputs_max));
  }
  return OkStatus();
}

StatusOr<Blob> Operation::Input(size_t index) const {
  const std::string& name = input_name(index);
  const Blob* const blob = blobs_.Find(name);
  if (blob == nullptr) {
    return InvalidArgument(
        "it reads the blob '{}', which is not in init_net, not in value_inputs, and no output of "
        "an operator before it",
        Shown(name));
  }
  if (!blob->unreadable.empty())
    return InvalidArgument("it reads the blob '{}', {}", Shown(name), blob->unreadable);
  return *blob;
}

bool Operation::IsOutputRead(size_t index) const {
  return index < output_count() && blobs_.IsRead(output_name(index));
}

std::string Operation::Step(onnx::NodeProto node) {
  std::string value = graph_.FreshName(op_.output_size() > 0 ? op_.output(0) : op_.type());
  node.add_output(value);
  graph_.AddNode(std::move(node));
  return value;
}

std::string Operation::Integers(std::span<const int64_t> values) {
  std::string value = graph_.FreshName(op_.output_size() > 0 ? op_.output(0) : op_.type());
  graph_.AddConstant(value, IntegersTensor(values));
  return value;
}

void Operation::Give(size_t index, onnx::NodeProto node, int type, Dims dims) {
  Blob blob{.value = blobs_.NewValue(output_name(index)), .type = type, .dims = std::move(dims)};
  node.add_output(blob.value);
  graph_.AddNode(std::move(node));
  blobs_.Set(output_name(index), std::move(blob));
}

void Operation::GiveConstant(size_t index, int type, Dims dims, onnx::TensorProto tensor) {
  Blob blob{.value = blobs_.NewValue(output_name(index)), .type = type, .dims = std::move(dims)};
  tensor.set_data_type(type);
  tensor.mutable_dims()->Assign(blob.dims.begin(), blob.dims.end());
  graph_.AddConstant(blob.value, std::move(tensor));
  blobs_.Set(output_name(index), std::move(blob));
}

void Operation::GiveFill(size_t index, int type, Dims dims, onnx::TensorProto value) {
  Blob blob{.value = blobs_.NewValue(output_name(index)), .type = type, .dims = std::move(dims)};
  value.set_data_type(type);
  value.add_dims(1);
  graph_.AddFill(blob.value, blob.dims, std::move(value));
  blobs_.Set(output_name(index), std::move(blob));
}

void Operation::SetIntegers(size_t index, std::vector<int64_t> integers) {
  Blob blob = *blobs_.Find(output_name(index));
  blob.integers = std::move(integers);
  blobs_.Set(output_name(index), std::move(blob));
}

void Operation::Withhold(size_t index, std::string why) {
  if (index >= output_count()) return;
  blobs_.Set(output_name(index), Blob{.value = {}, .dims = {}, .unreadable = std::move(why)});
}

}  // namespace penstock::convert
