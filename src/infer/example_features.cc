// SPDX-License-Identifier: Apache-2.0
// A feature is a flat list of values, and the input wants a row of some shape for each Example. So
// the shape of a row may have at most one unknown size: the number of values in the first Example
// then decides it. The first dimension of the input counts the Examples.
//
// Defaults are parsed when the model is loaded, into a tensor of one row. Filling a missing feature
// is then one copy.
#include "infer/example_features.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>

namespace penstock {
namespace {

// True if the values of a feature can become elements of this type.
bool IsFeatureType(DType type) {
  switch (type) {
    case DType::kFloat32:
    case DType::kFloat64:
    case DType::kInt8:
    case DType::kInt16:
    case DType::kInt32:
    case DType::kInt64:
    case DType::kUint8:
    case DType::kUint16:
    case DType::kUint32:
    case DType::kUint64:
    case DType::kBool:
    case DType::kString:
      return true;
    default:
      return false;
  }
}

template <typename T>
bool ParseNumber(std::string_view text, T& value) {
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  return result.ec == std::errc() && result.ptr == text.data() + text.size();
}

bool ParseElement(std::string_view text, bool& value) {
  value = text == "true" || text == "1";
  return value || text == "false" || text == "0";
}
template <typename T>
bool ParseElement(std::string_view text, T& value) {
  return ParseNumber(text, value);
}

// Says how a default of this type is written.
template <typename T>
std::string WantedText() {
  if constexpr (std::is_same_v<T, bool>) {
    return "write true, false, 1 or 0";
  } else if constexpr (std::is_integral_v<T>) {
    return fmt::format("write a whole number from {} to {}", std::numeric_limits<T>::min(),
                       std::numeric_limits<T>::max());
  } else {
    return "write a number in its range, such as 0.5";
  }
}

template <typename T>
Status ParseElements(const std::vector<std::string>& texts, Tensor& row) {
  std::span<T> elements = row.mutable_as<T>();
  for (size_t i = 0; i < texts.size(); ++i) {
    if (ParseElement(texts[i], elements[i])) continue;
    return InvalidArgument("the default '{}' is no {}: {}", texts[i], DTypeName(row.dtype()),
                           WantedText<T>());
  }
  return OkStatus();
}

// Keeps the characters of default strings.
Status FillStrings(const std::vector<std::string>& texts, Tensor& row) {
  std::string all;
  for (const std::string& text : texts) all += text;
  BufferRef owner = CopyToBuffer(all);
  const char* at = reinterpret_cast<const char*>(owner->data());
  std::span<StringElement> elements = row.mutable_as<StringElement>();
  for (size_t i = 0; i < texts.size(); ++i) {
    elements[i] = {at, texts[i].size()};
    at += texts[i].size();
  }
  row.set_string_owner(std::move(owner));
  return OkStatus();
}

Status ParseDefault(const std::vector<std::string>& texts, Tensor& row) {
  switch (row.dtype()) {
    case DType::kFloat32:
      return ParseElements<float>(texts, row);
    case DType::kFloat64:
      return ParseElements<double>(texts, row);
    case DType::kInt8:
      return ParseElements<int8_t>(texts, row);
    case DType::kInt16:
      return ParseElements<int16_t>(texts, row);
    case DType::kInt32:
      return ParseElements<int32_t>(texts, row);
    case DType::kInt64:
      return ParseElements<int64_t>(texts, row);
    case DType::kUint8:
      return ParseElements<uint8_t>(texts, row);
    case DType::kUint16:
      return ParseElements<uint16_t>(texts, row);
    case DType::kUint32:
      return ParseElements<uint32_t>(texts, row);
    case DType::kUint64:
      return ParseElements<uint64_t>(texts, row);
    case DType::kBool:
      return ParseElements<bool>(texts, row);
    default:
      return FillStrings(texts, row);
  }
}

Status SetDefault(const std::vector<std::string>& given, FeatureInput& feature) {
  std::vector<std::string> texts = given;
  // One value stands for all values of a row.
  if (texts.size() == 1 && feature.values > 1) {
    // A row is kept in memory with the model, for each input.
    constexpr int64_t kRepeatedMax = 1 << 20;
    if (feature.values > kRepeatedMax) {
      return InvalidArgument("one default cannot be repeated {} times, only {} times",
                             feature.values, kRepeatedMax);
    }
    texts.resize(static_cast<size_t>(feature.values), given.front());
  }
  const auto count = static_cast<int64_t>(texts.size());
  if (feature.values >= 0 && feature.values != count) {
    return InvalidArgument("it has {} default values, and an Example needs {}", count,
                           feature.values);
  }
  ASSIGN_OR_RETURN(Tensor row, Tensor::Allocate(feature.input->dtype, Shape{count}));
  TRY(ParseDefault(texts, row));
  feature.default_row = std::move(row);
  feature.values = count;
  return OkStatus();
}

// Sets the shape of a row. The first dimension of the input counts the Examples.
Status SetRow(const TensorSpec& input, FeatureInput& feature) {
  if (input.part.role != CompositePart::Role::kNone) {
    return InvalidArgument("it is a part of the sparse or ragged value '{}'", input.part.composite);
  }
  if (!IsFeatureType(input.dtype)) {
    return InvalidArgument("no feature has its type, {}", DTypeName(input.dtype));
  }
  if (input.unknown_rank) {
    feature.row = Shape{-1};
    feature.values = -1;
    return OkStatus();
  }
  if (input.shape.rank() == 0) return InvalidArgument("it is a scalar, and holds no list");
  if (input.batch_axis > 0) return InvalidArgument("its rows are along axis {}", input.batch_axis);
  feature.row = Shape(input.shape.dims().subspan(1));
  const auto dims = feature.row.dims();
  const auto unknown = std::ranges::count_if(dims, [](int64_t dim) { return dim < 0; });
  if (unknown > 1) {
    return InvalidArgument("more than one size of its shape {} is unknown beside the first",
                           input.shape.ToString());
  }
  Shape known;
  for (const int64_t dim : dims) known.Append(dim < 0 ? 1 : dim);
  const std::optional<int64_t> count = known.ElementCount();
  if (!count) return InvalidArgument("its shape {} is too large", input.shape.ToString());
  feature.values = unknown > 0 ? -1 : *count;
  return OkStatus();
}

const FeatureOptions* OptionsOf(const ExampleOptions* options, std::string_view input) {
  if (options == nullptr) return nullptr;
  for (const FeatureOptions& each : options->features) {
    if (each.input == input) return &each;
  }
  return nullptr;
}

}  // namespace

Status MapFeatures(const ExampleOptions* options, ExamplePlan& plan) {
  for (const TensorSpec& input : plan.signature->inputs) {
    const FeatureOptions* const own = OptionsOf(options, input.name);
    FeatureInput feature;
    feature.input = &input;
    feature.feature = own == nullptr || own->feature.empty() ? input.name : own->feature;
    Status status = SetRow(input, feature);
    // The model can run without it. If settings name it, somebody expects that it gets values, so
    // that is an error.
    if (!status.ok() && input.optional && own == nullptr) continue;
    if (status.ok() && own != nullptr && !own->default_values.empty()) {
      status = SetDefault(own->default_values, feature);
    }
    if (!status.ok()) {
      return InvalidArgument("the input '{}' cannot get a feature of each Example: {}", input.name,
                             MessageOf(status));
    }
    plan.features.push_back(std::move(feature));
  }
  if (plan.features.empty()) {
    return InvalidArgument("the signature '{}' has no inputs", plan.signature->name);
  }
  std::ranges::sort(plan.features, {}, &FeatureInput::feature);
  const auto twice = std::ranges::adjacent_find(plan.features, {}, &FeatureInput::feature);
  if (twice != plan.features.end()) {
    return InvalidArgument("the feature '{}' goes to two inputs", twice->feature);
  }
  return OkStatus();
}

}  // namespace penstock
