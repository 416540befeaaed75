// SPDX-License-Identifier: Apache-2.0
// Makes one request as JSON and as protobuf from the bytes of a fuzzer.
#pragma once

#include <fmt/format.h>
#include <fuzzer/FuzzedDataProvider.h>

#include <charconv>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/escaping.h"
#include "base/utf8.h"
#include "infer/signature.h"
#include "serving/predict.pb.h"
#include "tensor/half.h"

namespace penstock::rest_grpc {

inline constexpr DType kTypes[] = {
    DType::kFloat32,   DType::kFloat64, DType::kInt32,  DType::kUint8,    DType::kInt16,
    DType::kInt8,      DType::kString,  DType::kInt64,  DType::kBool,     DType::kComplex64,
    DType::kQint8,     DType::kQuint8,  DType::kQint32, DType::kBfloat16, DType::kQint16,
    DType::kQuint16,   DType::kUint16,  DType::kUint32, DType::kUint64,   DType::kFloat16,
    DType::kComplex128};

struct Input {
  std::string name;
  DType type = DType::kFloat32;
  bool optional = false;
  std::vector<int64_t> dims = {};
  std::vector<std::string> elements = {};  // each as its bytes
};

// A model whose inputs may have any shape. `inputs` must be sorted by name.
inline ModelInfo MakeModel(const std::vector<Input>& inputs) {
  ModelInfo info;
  Signature& signature = info.signatures.emplace_back();
  signature.name = std::string(kDefaultSignatureName);
  for (const Input& input : inputs) {
    TensorSpec& spec = signature.inputs.emplace_back();
    spec.name = input.name;
    spec.dtype = input.type;
    spec.unknown_rank = true;
    spec.optional = input.optional;
  }
  return info;
}

// The same request in both forms.
struct Request {
  ModelInfo info;
  std::string json;
  tensorflow::serving::PredictRequest proto;
  bool is_wrong = false;  // both must refuse it
};

// Writes JSON in the many ways that mean the same. One thread at a time.
class JsonText final {
 public:
  explicit JsonText(FuzzedDataProvider& data) : data_(data) {}

  std::string Take() { return std::move(text_); }
  JsonText& Raw(std::string_view token) {
    static constexpr std::string_view kSpaces[] = {"", " ", "\n", "\t\r ", "", "", "", ""};
    text_ += token;
    text_ += kSpaces[data_.ConsumeIntegralInRange<size_t>(0, 7)];
    return *this;
  }

  JsonText& String(std::string_view text) {
    std::string quoted = "\"";
    const bool escapes_all = data_.ConsumeBool();
    for (size_t length = 0; !text.empty(); text.remove_prefix(length)) {
      length = Utf8Length(text);
      const std::string_view character = text.substr(0, length);
      const auto byte = static_cast<unsigned char>(character[0]);
      const bool must = byte < ' ' || byte == '"' || byte == '\\';
      if (must || (escapes_all && length == 1)) {
        quoted += fmt::format("\\u{:04x}", byte);
      } else if (escapes_all && length == 4) {
        uint32_t code = byte & 7U;
        for (const char c : character.substr(1)) code = code << 6 | (c & 0x3F);
        code -= 0x10000;
        quoted += fmt::format("\\u{:04X}\\u{:04x}", 0xD800 + (code >> 10), 0xDC00 + (code & 0x3FF));
      } else {
        quoted += character;
      }
    }
    return Raw(quoted + '"');
  }

  JsonText& Tensor(const Input& input, size_t first_dim, size_t& next) {
    if (first_dim == input.dims.size()) return Element(input, input.elements[next++]);
    Raw("[");
    for (int64_t i = 0; i < input.dims[first_dim]; ++i) {
      if (i > 0) Raw(",");
      Tensor(input, first_dim + 1, next);
    }
    return Raw("]");
  }

  // A value that means nothing.
  JsonText& Unknown() {
    static constexpr std::string_view kValues[] = {"null", "[{\"a\":[]}]", "-1.5e-7", "\"]}\"",
                                                   "{\"b64\":1}"};
    return Raw(data_.PickValueInArray(kValues));
  }

 private:
  template <typename T>
  static T As(const std::string& bytes, size_t at = 0) {
    T value;
    std::memcpy(&value, bytes.data() + at, sizeof value);
    return value;
  }

  template <typename T>
  JsonText& Float(T value) {
    if (value != value) return Raw("NaN");
    const bool is_negative = value < 0;
    if (value - value != 0) {
      static constexpr std::string_view kWords[] = {"Infinity", "Inf"};
      return Raw((is_negative ? "-" : "") + std::string(data_.PickValueInArray(kWords)));
    }
    char buffer[512];
    switch (data_.ConsumeIntegralInRange(0, 4)) {
      case 0:
        return Raw(fmt::format("{:.25e}", value));
      case 1:
        return Raw(fmt::format("{:.{}g}", value, std::numeric_limits<T>::max_digits10));
      case 2:
        return Raw(
            {buffer, std::to_chars(buffer, buffer + 512, value, std::chars_format::fixed).ptr});
      case 3:
        return Raw(fmt::format("{:.{}E}", value, std::numeric_limits<T>::max_digits10));
      default:
        return Raw({buffer, std::to_chars(buffer, buffer + 512, value).ptr});
    }
  }

  template <typename T>
  JsonText& Pair(const std::string& bytes) {
    Raw("[").Float(As<T>(bytes)).Raw(",");
    return Float(As<T>(bytes, sizeof(T))).Raw("]");
  }

  bool IsUtf8(std::string_view text) {
    for (size_t length = 0; !text.empty(); text.remove_prefix(length)) {
      length = Utf8Length(text);
      if (length == 0) return false;
    }
    return true;
  }

  JsonText& Bytes(const std::string& bytes) {
    if (IsUtf8(bytes) && data_.ConsumeBool()) return String(bytes);
    return Raw("{").String("b64").Raw(":").String(absl::Base64Escape(bytes)).Raw("}");
  }

  JsonText& Element(const Input& input, const std::string& bytes) {
    switch (input.type) {
      case DType::kString:
        return Bytes(bytes);
      case DType::kBool:
        return Raw(bytes[0] != 0 ? "true" : "false");
      case DType::kFloat32:
        return Float(As<float>(bytes));
      case DType::kFloat64:
        return Float(As<double>(bytes));
      case DType::kFloat16:
        return Float(Float16ToFloat(As<uint16_t>(bytes)));
      case DType::kBfloat16:
        return Float(Bfloat16ToFloat(As<uint16_t>(bytes)));
      case DType::kComplex64:
        return Pair<float>(bytes);
      case DType::kComplex128:
        return Pair<double>(bytes);
      default:
        return Integer(input.type, bytes);
    }
  }

  JsonText& Integer(DType type, const std::string& bytes) {
    const auto write = [&]<typename T>(T) { return Raw(fmt::format("{}", +As<T>(bytes))); };
    switch (type) {
      case DType::kInt8:
      case DType::kQint8:
        return write(int8_t()), *this;
      case DType::kInt16:
      case DType::kQint16:
        return write(int16_t()), *this;
      case DType::kInt32:
      case DType::kQint32:
        return write(int32_t()), *this;
      case DType::kUint8:
      case DType::kQuint8:
        return write(uint8_t()), *this;
      case DType::kUint16:
      case DType::kQuint16:
        return write(uint16_t()), *this;
      case DType::kUint32:
        return write(uint32_t()), *this;
      case DType::kUint64:
        return write(uint64_t()), *this;
      default:
        return write(int64_t()), *this;
    }
  }

  FuzzedDataProvider& data_;
  std::string text_;
};

// Fills the typed field, or tensor_content, with the elements. One thread at a time.
class ProtoTensor final {
 public:
  explicit ProtoTensor(const Input& input) : input_(input) {}

  tensorflow::TensorProto Make(bool as_content, bool cut_repeated) {
    proto_.set_dtype(static_cast<tensorflow::DataType>(input_.type));
    auto& shape = *proto_.mutable_tensor_shape();
    for (const int64_t dim : input_.dims) shape.add_dim()->set_size(dim);
    if (as_content) {
      FillContent();
      return std::move(proto_);
    }
    size_t count = input_.elements.size();
    // The last value stands for all that are missing.
    while (cut_repeated && count > 1 && input_.elements[count - 1] == input_.elements[count - 2]) {
      --count;
    }
    for (size_t i = 0; i < count; ++i) AddTyped(input_.elements[i]);
    return std::move(proto_);
  }

 private:
  template <typename T>
  static T As(const std::string& bytes, size_t at = 0) {
    T value;
    std::memcpy(&value, bytes.data() + at, sizeof value);
    return value;
  }

  void FillContent() {
    std::string lengths, bytes;
    for (const std::string& element : input_.elements) {
      lengths += static_cast<char>(element.size());  // less than 128, so one byte
      bytes += element;
    }
    proto_.set_tensor_content(input_.type == DType::kString ? lengths + bytes : bytes);
  }

  void AddTyped(const std::string& bytes) {
    switch (input_.type) {
      case DType::kString:
        return proto_.add_string_val(bytes);
      case DType::kBool:
        return proto_.add_bool_val(bytes[0] != 0);
      case DType::kFloat32:
        return proto_.add_float_val(As<float>(bytes));
      case DType::kFloat64:
        return proto_.add_double_val(As<double>(bytes));
      case DType::kFloat16:
      case DType::kBfloat16:
        return proto_.add_half_val(As<uint16_t>(bytes));
      case DType::kComplex64:
        proto_.add_scomplex_val(As<float>(bytes));
        return proto_.add_scomplex_val(As<float>(bytes, sizeof(float)));
      case DType::kComplex128:
        proto_.add_dcomplex_val(As<double>(bytes));
        return proto_.add_dcomplex_val(As<double>(bytes, sizeof(double)));
      case DType::kInt64:
        return proto_.add_int64_val(As<int64_t>(bytes));
      case DType::kUint64:
        return proto_.add_uint64_val(As<uint64_t>(bytes));
      case DType::kUint32:
        return proto_.add_uint32_val(As<uint32_t>(bytes));
      default:
        return AddInt(bytes);
    }
  }

  void AddInt(const std::string& bytes) {
    switch (input_.type) {
      case DType::kInt8:
      case DType::kQint8:
        return proto_.add_int_val(As<int8_t>(bytes));
      case DType::kUint8:
      case DType::kQuint8:
        return proto_.add_int_val(As<uint8_t>(bytes));
      case DType::kInt16:
      case DType::kQint16:
        return proto_.add_int_val(As<int16_t>(bytes));
      case DType::kUint16:
      case DType::kQuint16:
        return proto_.add_int_val(As<uint16_t>(bytes));
      default:
        return proto_.add_int_val(As<int32_t>(bytes));
    }
  }

  const Input& input_;
  tensorflow::TensorProto proto_;
};

// What is wrong with a request.
enum class Fault {
  kNone,
  kMissingInput,
  kUnknownInput,
  kUnknownSignature,
  kMaxValue = kUnknownSignature
};

// Makes one request. One thread at a time.
class RequestMaker final {
 public:
  explicit RequestMaker(FuzzedDataProvider& data) : data_(data), text_(data) {}

  Request Make() {
    as_rows_ = data_.ConsumeBool();
    rows_ = data_.ConsumeIntegralInRange(1, 3);
    fault_ = data_.ConsumeIntegralInRange(0, 7) == 0 ? data_.ConsumeEnum<Fault>() : Fault::kNone;
    static constexpr std::string_view kNames[] = {"a", "b_bytes", "c\"\xC3\xA4\\"};
    const auto count = data_.ConsumeIntegralInRange<size_t>(1, 3);
    for (size_t i = 0; i < count; ++i) inputs_.push_back(MakeInput(kNames[i]));
    request_.info = MakeModel(inputs_);
    if (fault_ == Fault::kMissingInput) {
      request_.is_wrong = !inputs_.back().optional;
      inputs_.pop_back();
    } else if (fault_ == Fault::kUnknownInput) {
      // A body with columns may have keys that are no inputs.
      request_.is_wrong = as_rows_;
      if (as_rows_) inputs_.push_back(MakeInput("no such input"));
    }
    WriteProto();
    WriteJson();
    return std::move(request_);
  }

 private:
  Input MakeInput(std::string_view name) {
    Input input{std::string(name), data_.PickValueInArray(kTypes)};
    input.optional = data_.ConsumeIntegralInRange(0, 3) == 0;
    const auto rank = data_.ConsumeIntegralInRange<size_t>(as_rows_ ? 1 : 0, 4);
    size_t count = 1;
    for (size_t i = 0; i < rank; ++i) {
      const bool is_row = as_rows_ && i == 0;
      input.dims.push_back(is_row ? rows_ : data_.ConsumeIntegralInRange<int64_t>(0, 3));
      count *= static_cast<size_t>(input.dims.back());
    }
    for (size_t i = 0; i < count; ++i) input.elements.push_back(MakeElement(input.type));
    return input;
  }

  std::string MakeElement(DType type) {
    if (type == DType::kString) return data_.ConsumeRandomLengthString(20);
    if (type == DType::kBool) return std::string(1, data_.ConsumeBool() ? '\1' : '\0');
    std::string bytes = data_.ConsumeBytesAsString(DTypeBytes(type));
    bytes.resize(DTypeBytes(type));
    return bytes;
  }

  void WriteProto() {
    if (fault_ == Fault::kUnknownSignature) {
      request_.is_wrong = true;
      request_.proto.mutable_model_spec()->set_signature_name("none");
    }
    for (const Input& input : inputs_) {
      const bool as_content = data_.ConsumeBool();
      (*request_.proto.mutable_inputs())[input.name] =
          ProtoTensor(input).Make(as_content, data_.ConsumeBool());
    }
  }

  void WriteJson() {
    text_.Raw("{");
    const bool name_comes_first = data_.ConsumeBool();
    const bool has_name = fault_ == Fault::kUnknownSignature;
    if (data_.ConsumeBool()) text_.String("unknown").Raw(":").Unknown().Raw(",");
    if (has_name && name_comes_first)
      text_.String("signature_name").Raw(":").String("none").Raw(",");
    text_.String(as_rows_ ? "instances" : "inputs").Raw(":");
    if (as_rows_) {
      WriteRows();
    } else {
      WriteColumns();
    }
    if (has_name && !name_comes_first)
      text_.Raw(",").String("signature_name").Raw(":").String("none");
    text_.Raw("}");
    request_.json = text_.Take();
  }

  // True if the only input shall have no name.
  bool LeavesNameOut() {
    return inputs_.size() == 1 && request_.info.signatures[0].inputs.size() == 1 &&
           data_.ConsumeBool();
  }

  void WriteColumns() {
    size_t next = 0;
    if (LeavesNameOut()) {
      text_.Tensor(inputs_[0], 0, next);
      return;
    }
    text_.Raw("{");
    if (fault_ == Fault::kUnknownInput) {
      text_.String("no such input").Raw(":").Unknown();
      if (!inputs_.empty()) text_.Raw(",");
    }
    for (size_t i = 0; i < inputs_.size(); ++i) {
      next = 0;
      if (i > 0) text_.Raw(",");
      text_.String(inputs_[i].name).Raw(":").Tensor(inputs_[i], 0, next);
    }
    text_.Raw("}");
  }

  void WriteRows() {
    size_t next = 0;
    if (LeavesNameOut()) {
      text_.Tensor(inputs_[0], 0, next);
      return;
    }
    std::vector<size_t> at(inputs_.size());  // the next element of each input
    text_.Raw("[");
    for (int64_t row = 0; row < rows_; ++row) {
      if (row > 0) text_.Raw(",");
      text_.Raw("{");
      const bool is_reversed = data_.ConsumeBool();
      for (size_t i = 0; i < inputs_.size(); ++i) {
        const size_t input = is_reversed ? inputs_.size() - 1 - i : i;
        if (i > 0) text_.Raw(",");
        text_.String(inputs_[input].name).Raw(":").Tensor(inputs_[input], 1, at[input]);
      }
      text_.Raw("}");
    }
    text_.Raw("]");
  }

  FuzzedDataProvider& data_;
  JsonText text_;
  bool as_rows_ = false;
  int64_t rows_ = 0;
  Fault fault_ = Fault::kNone;
  std::vector<Input> inputs_;
  Request request_;
};

inline Request MakeRequest(FuzzedDataProvider& data) { return RequestMaker(data).Make(); }

}  // namespace penstock::rest_grpc
