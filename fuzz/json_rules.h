// SPDX-License-Identifier: Apache-2.0
// A plain transcription of TensorFlow Serving's rules for JSON: from the tree of a body to the
// protobuf message that asks for the same. It is what the server's readers are compared with.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/escaping.h"
#include "infer/signature.h"
#include "json_tree.h"
#include "serving/classification.pb.h"
#include "serving/predict.pb.h"

namespace penstock::json_rules {

using json_tree::Value;

// The scalars of nested lists. Immutable.
struct Nested {
  std::vector<int64_t> dims;
  std::vector<const Value*> leaves;
};

// Returns false if the lists have different sizes.
inline bool Flatten(const Value& value, Nested& out) {
  out.dims.clear();
  if (!value.IsList()) {
    out.leaves.push_back(&value);
    return true;
  }
  for (size_t i = 0; i < value.items.size(); ++i) {
    Nested item;
    if (!Flatten(value.items[i], item)) return false;
    if (i > 0 && item.dims != out.dims) return false;
    out.dims = item.dims;
    out.leaves.insert(out.leaves.end(), item.leaves.begin(), item.leaves.end());
  }
  out.dims.insert(out.dims.begin(), static_cast<int64_t>(value.items.size()));
  return true;
}

inline bool IsNonFinite(const std::string& number) {
  return number.find_first_of("NI") != std::string::npos;
}

inline double ToDouble(const std::string& number) {
  if (!IsNonFinite(number)) return std::strtod(number.c_str(), nullptr);
  const double value = number.ends_with("NaN") ? std::numeric_limits<double>::quiet_NaN()
                                               : std::numeric_limits<double>::infinity();
  return number[0] == '-' ? -value : value;
}

inline float ToFloat(const std::string& number) {
  return IsNonFinite(number) ? static_cast<float>(ToDouble(number))
                             : std::strtof(number.c_str(), nullptr);
}

// Returns none if it is no whole number, or beyond 64 bits.
inline std::optional<__int128> ToInteger(const std::string& number) {
  const bool is_negative = number[0] == '-';
  if (number.size() > 21 || number.find_first_of(".eNI") != std::string::npos) return std::nullopt;
  __int128 value = 0;
  for (const char digit : number.substr(is_negative ? 1 : 0)) value = value * 10 + (digit - '0');
  if (is_negative) value = -value;
  if (value < std::numeric_limits<int64_t>::min() || value > std::numeric_limits<uint64_t>::max()) {
    return std::nullopt;
  }
  return value;
}

// Rounds to the nearest number of `mantissa_bits` bits and at least 2^`exponent_min`, ties to even.
// Returns its bits; `exponent_bits` of them are for the exponent.
inline uint16_t ToHalf(double value, int mantissa_bits, int exponent_min) {
  const int exponent_bits = 15 - mantissa_bits;
  const uint32_t infinity = ((1U << exponent_bits) - 1) << mantissa_bits;
  const uint32_t sign = std::signbit(value) ? 0x8000 : 0;
  if (std::isnan(value)) {
    return static_cast<uint16_t>(sign | infinity | 1U << (mantissa_bits - 1));
  }
  uint32_t bits = infinity;
  if (std::isfinite(value) && value != 0) {
    const int exponent = std::max(std::ilogb(value), exponent_min);
    const double scaled = std::fabs(std::ldexp(value, mantissa_bits - exponent));
    double steps = std::floor(scaled);
    const double cut_off = scaled - steps;
    if (cut_off > 0.5 || (cut_off == 0.5 && std::fmod(steps, 2) == 1)) steps += 1;
    // The hidden bit is one step of the exponent, so it is added rather than set.
    const double all = std::ldexp(exponent - exponent_min, mantissa_bits) + steps;
    bits = static_cast<uint32_t>(std::min(all, static_cast<double>(infinity)));
  } else if (value == 0) {
    bits = 0;
  }
  return static_cast<uint16_t>(sign | bits);
}

inline bool AddString(const Value& leaf, tensorflow::TensorProto& tensor) {
  if (leaf.IsString()) {
    tensor.add_string_val(leaf.text);
    return true;
  }
  return leaf.IsBase64() &&
         absl::Base64Unescape(leaf.members[0].value.text, tensor.add_string_val());
}

template <typename T>
bool FitsIn(const std::optional<__int128>& value) {
  return value && *value >= std::numeric_limits<T>::min() &&
         *value <= std::numeric_limits<T>::max();
}

inline bool AddInteger(const std::string& number, DType type, tensorflow::TensorProto& tensor) {
  const std::optional<__int128> value = ToInteger(number);
  const auto add_int = [&]<typename T>(T) {
    if (!FitsIn<T>(value)) return false;
    tensor.add_int_val(static_cast<int32_t>(*value));
    return true;
  };
  switch (type) {
    case DType::kInt8:
    case DType::kQint8:
      return add_int(int8_t());
    case DType::kInt16:
    case DType::kQint16:
      return add_int(int16_t());
    case DType::kInt32:
    case DType::kQint32:
      return add_int(int32_t());
    case DType::kUint8:
    case DType::kQuint8:
      return add_int(uint8_t());
    case DType::kUint16:
    case DType::kQuint16:
      return add_int(uint16_t());
    case DType::kUint32:
      if (FitsIn<uint32_t>(value)) tensor.add_uint32_val(static_cast<uint32_t>(*value));
      return FitsIn<uint32_t>(value);
    case DType::kUint64:
      if (FitsIn<uint64_t>(value)) tensor.add_uint64_val(static_cast<uint64_t>(*value));
      return FitsIn<uint64_t>(value);
    default:
      if (FitsIn<int64_t>(value)) tensor.add_int64_val(static_cast<int64_t>(*value));
      return FitsIn<int64_t>(value);
  }
}

// Adds one scalar. Returns false if it does not fit the type.
inline bool AddElement(const Value& leaf, DType type, tensorflow::TensorProto& tensor) {
  if (type == DType::kString) return AddString(leaf, tensor);
  if (type == DType::kBool) {
    tensor.add_bool_val(leaf.boolean);
    return leaf.kind == Value::Kind::kBool;
  }
  if (leaf.kind != Value::Kind::kNumber) return false;
  switch (type) {
    case DType::kFloat32:
      tensor.add_float_val(ToFloat(leaf.text));
      return true;
    case DType::kFloat64:
      tensor.add_double_val(ToDouble(leaf.text));
      return true;
    case DType::kComplex64:
      tensor.add_scomplex_val(ToFloat(leaf.text));
      return true;
    case DType::kComplex128:
      tensor.add_dcomplex_val(ToDouble(leaf.text));
      return true;
    case DType::kFloat16:
      tensor.add_half_val(ToHalf(ToDouble(leaf.text), 10, -14));
      return true;
    case DType::kBfloat16:
      tensor.add_half_val(ToHalf(ToDouble(leaf.text), 7, -126));
      return true;
    default:
      return AddInteger(leaf.text, type, tensor);
  }
}

// The type of a tensor whose model accepts any: that of its first element; of numbers float, if one
// of them is no int64.
inline DType InferType(const std::vector<const Value*>& leaves) {
  if (leaves.empty()) return DType::kFloat32;
  if (leaves[0]->IsString() || leaves[0]->IsObject()) return DType::kString;
  if (leaves[0]->kind == Value::Kind::kBool) return DType::kBool;
  for (const Value* const leaf : leaves) {
    if (leaf->kind == Value::Kind::kNumber && !FitsIn<int64_t>(ToInteger(leaf->text))) {
      return DType::kFloat32;
    }
  }
  return DType::kInt64;
}

// Fills a tensor of this type; kInvalid: the elements decide. Returns false if the value is none.
inline bool FillTensor(const Value& value, DType type, tensorflow::TensorProto& tensor) {
  Nested nested;
  if (!Flatten(value, nested)) return false;
  bool may_be_integers = type == DType::kInvalid;
  if (type == DType::kInvalid) type = InferType(nested.leaves);
  for (const Value* const leaf : nested.leaves) {
    if (!AddElement(*leaf, type, tensor)) return false;
    // The elements before the first float were read as integers, which have no -0.
    may_be_integers = may_be_integers && type == DType::kFloat32 && ToInteger(leaf->text);
    if (may_be_integers && tensor.float_val().rbegin()[0] == 0)
      *tensor.mutable_float_val()->rbegin() = 0;
  }
  const bool is_complex = type == DType::kComplex64 || type == DType::kComplex128;
  if (is_complex && !nested.leaves.empty()) {
    // The innermost lists are the pairs.
    if (nested.dims.empty() || nested.dims.back() != 2) return false;
    nested.dims.pop_back();
  }
  tensor.set_dtype(static_cast<tensorflow::DataType>(type));
  tensor.mutable_tensor_shape();
  for (const int64_t dim : nested.dims) tensor.mutable_tensor_shape()->add_dim()->set_size(dim);
  return true;
}

// Returns the member's value; null if there is none. Sets `is_twice` if there are several.
inline const Value* Find(const Value& object, std::string_view key, bool& is_twice) {
  const Value* found = nullptr;
  for (const auto& [name, value] : object.members) {
    if (name != key) continue;
    is_twice |= found != nullptr;
    found = &value;
  }
  return found;
}

// What the rules make of the body of a :predict call. Makes one message. One thread at a time.
class PredictRules final {
 public:
  // `info` must outlive it.
  explicit PredictRules(const ModelInfo& info) : info_(info) {}

  // Returns none if the rules refuse the body.
  std::optional<tensorflow::serving::PredictRequest> Read(const Value& body) {
    if (!body.IsObject()) return std::nullopt;
    bool is_twice = false;
    const Value* const name = Find(body, "signature_name", is_twice);
    const Value* const rows = Find(body, "instances", is_twice);
    const Value* const columns = Find(body, "inputs", is_twice);
    if (is_twice || (name != nullptr && !name->IsString())) return std::nullopt;
    if ((rows == nullptr) == (columns == nullptr)) return std::nullopt;
    if (name != nullptr) request_.mutable_model_spec()->set_signature_name(name->text);
    if (!info_.traits.any_signature) {
      signature_ = info_.FindSignature(name == nullptr ? "" : name->text);
      if (signature_ == nullptr) return std::nullopt;
    }
    if (!(rows != nullptr ? ReadRows(*rows) : ReadColumns(*columns))) return std::nullopt;
    return request_;
  }

 private:
  tensorflow::TensorProto& Tensor(const std::string& name) {
    return (*request_.mutable_inputs())[name];
  }

  // The value of the only input, which the body does not name.
  bool ReadUnnamed(const Value& value) {
    if (signature_ == nullptr) return FillTensor(value, DType::kInvalid, Tensor("inputs"));
    std::vector<const TensorSpec*> needed;
    for (const TensorSpec& spec : signature_->inputs) {
      if (!spec.optional || signature_->inputs.size() == 1) needed.push_back(&spec);
    }
    return needed.size() == 1 && FillTensor(value, needed[0]->dtype, Tensor(needed[0]->name));
  }

  bool ReadColumns(const Value& columns) {
    if (!columns.IsObject() || columns.IsBase64()) return ReadUnnamed(columns);
    if (signature_ == nullptr) {
      for (const auto& [name, value] : columns.members) {
        if (request_.inputs().contains(name)) return false;
        if (!FillTensor(value, DType::kInvalid, Tensor(name))) return false;
      }
      return true;
    }
    // Keys that are no inputs are ignored.
    for (const TensorSpec& spec : signature_->inputs) {
      bool is_twice = false;
      const Value* const value = Find(columns, spec.name, is_twice);
      if (is_twice) return false;
      if (value == nullptr && spec.optional) continue;
      if (value == nullptr || !FillTensor(*value, spec.dtype, Tensor(spec.name))) return false;
    }
    return true;
  }

  bool ReadRows(const Value& rows) {
    if (!rows.IsList() || rows.items.empty()) return false;
    if (!rows.items[0].IsObject() || rows.items[0].IsBase64()) return ReadUnnamed(rows);
    // The values of each input, as one list.
    std::map<std::string, Value> lists;
    for (size_t row = 0; row < rows.items.size(); ++row) {
      if (!rows.items[row].IsObject()) return false;
      for (const auto& [name, value] : rows.items[row].members) {
        Value& list = lists[name];
        if (list.items.size() != row) return false;  // twice, or not in the rows before
        list.kind = Value::Kind::kList;
        list.items.push_back(value);
      }
      if (lists.empty() && signature_ == nullptr) return false;
      for (const auto& [name, list] : lists) {
        if (list.items.size() != row + 1) return false;
      }
    }
    for (const auto& [name, list] : lists) {
      const TensorSpec* const spec = signature_ != nullptr ? signature_->FindInput(name) : nullptr;
      if (signature_ != nullptr && spec == nullptr) return false;
      if (!FillTensor(list, spec != nullptr ? spec->dtype : DType::kInvalid, Tensor(name))) {
        return false;
      }
    }
    return HasRequired(lists);
  }

  bool HasRequired(const std::map<std::string, Value>& lists) const {
    if (signature_ == nullptr) return true;
    return std::all_of(
        signature_->inputs.begin(), signature_->inputs.end(),
        [&](const TensorSpec& spec) { return spec.optional || lists.contains(spec.name); });
  }

  const ModelInfo& info_;
  const Signature* signature_ = nullptr;
  tensorflow::serving::PredictRequest request_;
};

// Adds one value of a feature. Returns false if the value, or its kind, does not fit.
inline bool AddFeatureValue(const Value& value, tensorflow::Feature& feature) {
  using Kind = Value::Kind;
  const auto kind = feature.kind_case();
  const auto may_be = [kind](tensorflow::Feature::KindCase wanted) {
    return kind == tensorflow::Feature::KIND_NOT_SET || kind == wanted;
  };
  if (value.IsString() || value.IsBase64()) {
    if (!may_be(tensorflow::Feature::kBytesList)) return false;
    std::string* const bytes = feature.mutable_bytes_list()->add_value();
    if (value.IsBase64()) return absl::Base64Unescape(value.members[0].value.text, bytes);
    *bytes = value.text;
    return true;
  }
  if (value.kind != Kind::kBool && value.kind != Kind::kNumber) return false;
  const std::optional<__int128> integer =
      value.kind == Kind::kBool ? static_cast<__int128>(value.boolean) : ToInteger(value.text);
  if (integer) {
    if (!FitsIn<int64_t>(integer) || !may_be(tensorflow::Feature::kInt64List)) return false;
    feature.mutable_int64_list()->add_value(static_cast<int64_t>(*integer));
    return true;
  }
  if (!may_be(tensorflow::Feature::kFloatList)) return false;
  feature.mutable_float_list()->add_value(ToFloat(value.text));
  return true;
}

inline bool ReadExample(const Value& value, tensorflow::Example& example) {
  if (!value.IsObject()) return false;
  auto& features = *example.mutable_features()->mutable_feature();
  for (const auto& [name, values] : value.members) {
    tensorflow::Feature feature;
    if (!values.IsList() && !AddFeatureValue(values, feature)) return false;
    for (const Value& each : values.items) {
      if (!AddFeatureValue(each, feature)) return false;
    }
    features[name] = feature;
  }
  return true;
}

// What the rules make of the body of a :classify call; none: they refuse it.
inline std::optional<tensorflow::serving::ClassificationRequest> ReadExamples(const Value& body) {
  if (!body.IsObject()) return std::nullopt;
  bool is_twice = false;
  const Value* const name = Find(body, "signature_name", is_twice);
  const Value* const context = Find(body, "context", is_twice);
  const Value* const examples = Find(body, "examples", is_twice);
  if (is_twice || (name != nullptr && !name->IsString())) return std::nullopt;
  if (examples == nullptr || !examples->IsList() || examples->items.empty()) return std::nullopt;
  tensorflow::serving::ClassificationRequest request;
  request.mutable_model_spec();
  if (name != nullptr) request.mutable_model_spec()->set_signature_name(name->text);
  auto& list = *request.mutable_input()->mutable_example_list_with_context();
  if (context != nullptr && !ReadExample(*context, *list.mutable_context())) return std::nullopt;
  for (const Value& each : examples->items) {
    if (!ReadExample(each, *list.add_examples())) return std::nullopt;
  }
  return request;
}

}  // namespace penstock::json_rules
