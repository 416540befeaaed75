// SPDX-License-Identifier: Apache-2.0
// For tests and fuzzing: reads a PredictRequest with protobuf's own parser and a plain
// transcription of TensorFlow's tensor rules, to compare the results with ReadPredictRequest.
#pragma once

#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocols/tfs/predict_reader.h"
#include "serving/predict.pb.h"

namespace penstock::tfs::reference {

// Larger tensors are not compared.
inline constexpr uint64_t kCompareBytesMax = 1 << 20;

// A tensor's elements, each as its bytes. Immutable.
struct Elements {
  int dtype = 0;
  std::vector<int64_t> dims;
  std::vector<std::string> values;
  bool operator==(const Elements&) const = default;
};

// kRefused: TensorFlow would refuse the tensor. kTooBig: the tensor is valid, but comparing it
// would take too much memory.
enum class Verdict { kOk, kRefused, kTooBig };

template <typename T>
std::string BytesOf(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

// Each value of the field as the bytes of a `To`. TensorFlow narrows by a cast, so values out of
// range lose bits.
template <typename To, typename Field>
std::vector<std::string> Narrowed(const Field& field) {
  std::vector<std::string> values;
  for (const auto value : field) values.push_back(BytesOf(static_cast<To>(value)));
  return values;
}

// Two values of the field for each complex number. An odd last one is ignored.
template <typename Field>
std::vector<std::string> Pairs(const Field& field) {
  std::vector<std::string> values;
  for (int i = 0; i + 1 < field.size(); i += 2) {
    values.push_back(BytesOf(field[i]) + BytesOf(field[i + 1]));
  }
  return values;
}

// The elements that the typed field of the tensor's type holds. There may be fewer than the shape
// has.
inline std::vector<std::string> TypedValues(const tensorflow::TensorProto& proto) {
  switch (proto.dtype()) {
    case tensorflow::DT_FLOAT:
      return Narrowed<float>(proto.float_val());
    case tensorflow::DT_DOUBLE:
      return Narrowed<double>(proto.double_val());
    case tensorflow::DT_INT32:
    case tensorflow::DT_QINT32:
      return Narrowed<int32_t>(proto.int_val());
    case tensorflow::DT_INT16:
    case tensorflow::DT_QINT16:
    case tensorflow::DT_UINT16:
    case tensorflow::DT_QUINT16:
      return Narrowed<int16_t>(proto.int_val());
    case tensorflow::DT_INT8:
    case tensorflow::DT_QINT8:
    case tensorflow::DT_UINT8:
    case tensorflow::DT_QUINT8:
      return Narrowed<int8_t>(proto.int_val());
    case tensorflow::DT_STRING:
      return {proto.string_val().begin(), proto.string_val().end()};
    case tensorflow::DT_COMPLEX64:
      return Pairs(proto.scomplex_val());
    case tensorflow::DT_COMPLEX128:
      return Pairs(proto.dcomplex_val());
    case tensorflow::DT_INT64:
      return Narrowed<int64_t>(proto.int64_val());
    case tensorflow::DT_BOOL:
      return Narrowed<bool>(proto.bool_val());
    case tensorflow::DT_HALF:
    case tensorflow::DT_BFLOAT16:
      return Narrowed<uint16_t>(proto.half_val());
    case tensorflow::DT_UINT32:
      return Narrowed<uint32_t>(proto.uint32_val());
    default:
      return Narrowed<uint64_t>(proto.uint64_val());
  }
}

// Parses the strings of tensor_content: all lengths as 32-bit varints, then all bytes.
inline std::optional<std::vector<std::string>> ContentStrings(std::string_view content,
                                                              uint64_t count) {
  std::vector<uint32_t> lengths;
  uint64_t sum = 0;
  size_t at = 0;
  for (uint64_t i = 0; i < count; ++i) {
    uint32_t length = 0;
    for (int shift = 0;; shift += 7) {
      if (shift > 28 || at == content.size()) return std::nullopt;
      const auto byte = static_cast<uint8_t>(content[at++]);
      length |= static_cast<uint32_t>(byte & 127) << shift;
      if (byte < 128) break;
    }
    lengths.push_back(length);
    sum += length;
  }
  if (sum != content.size() - at) return std::nullopt;
  std::vector<std::string> values;
  for (const uint32_t length : lengths) {
    values.emplace_back(content.substr(at, length));
    at += length;
  }
  return values;
}

// Reads the elements from tensor_content. False: its size does not fit, or a bool is not 0 or 1.
inline bool FillContent(const tensorflow::TensorProto& proto, uint64_t count, size_t element_bytes,
                        Elements& out) {
  const std::string& content = proto.tensor_content();
  if (proto.dtype() == tensorflow::DT_STRING) {
    auto strings = ContentStrings(content, count);
    if (strings) out.values = *std::move(strings);
    return strings.has_value();
  }
  if (content.size() != count * element_bytes) return false;
  for (uint64_t i = 0; i < count; ++i) {
    out.values.push_back(content.substr(i * element_bytes, element_bytes));
    if (proto.dtype() == tensorflow::DT_BOOL && static_cast<uint8_t>(content[i]) > 1) return false;
  }
  return true;
}

// Reads a tensor by TensorFlow's rules: tensor_content wins over typed fields, and the last typed
// value fills the rest.
inline Verdict ReadTensor(const tensorflow::TensorProto& proto, Elements& out) {
  const std::optional<DType> type = DTypeFromTensorFlow(proto.dtype());
  if (!type || proto.tensor_shape().unknown_rank() || proto.tensor_shape().dim_size() > 254) {
    return Verdict::kRefused;
  }
  out.dtype = proto.dtype();
  uint64_t count = 1;
  bool overflows = false;
  bool is_empty = false;
  for (const auto& dim : proto.tensor_shape().dim()) {
    if (dim.size() < 0) return Verdict::kRefused;
    out.dims.push_back(dim.size());
    if (dim.size() == 0) {
      is_empty = true;
    } else {
      int64_t product = 0;
      overflows |= __builtin_mul_overflow(static_cast<int64_t>(count), dim.size(), &product);
      if (!overflows) count = static_cast<uint64_t>(product);
    }
  }
  if (overflows) return Verdict::kRefused;
  if (is_empty) count = 0;
  const size_t element_bytes = *type == DType::kString ? sizeof(StringElement) : DTypeBytes(*type);
  if (count > kCompareBytesMax / element_bytes) return Verdict::kTooBig;
  if (!proto.tensor_content().empty()) {
    return FillContent(proto, count, DTypeBytes(*type), out) ? Verdict::kOk : Verdict::kRefused;
  }
  out.values = TypedValues(proto);
  const std::string filler =
      out.values.empty() ? std::string(DTypeBytes(*type), '\0') : out.values.back();
  out.values.resize(count, filler);
  return Verdict::kOk;
}

// Converts a tensor of our reader to the same form.
inline Elements ElementsOf(const Tensor& tensor) {
  Elements elements{static_cast<int>(tensor.dtype()),
                    {tensor.shape().dims().begin(), tensor.shape().dims().end()},
                    {}};
  for (int64_t i = 0; i < tensor.element_count(); ++i) {
    if (tensor.dtype() == DType::kString) {
      elements.values.emplace_back(tensor.strings()[static_cast<size_t>(i)].view());
    } else {
      const size_t bytes = DTypeBytes(tensor.dtype());
      const char* data = reinterpret_cast<const char*>(tensor.data());
      elements.values.emplace_back(data + static_cast<size_t>(i) * bytes, bytes);
    }
  }
  return elements;
}

// Describes how two readings of the same model spec and filter differ; empty if they do not.
inline std::string CompareSpecs(const ReadPredict& ours,
                                const tensorflow::serving::PredictRequest& theirs) {
  const auto& spec = theirs.model_spec();
  if (ours.has_model_spec != theirs.has_model_spec()) return "presence of model_spec";
  if (ours.model.name != spec.name()) return "model name";
  if (ours.model.version.has_value() != spec.has_version()) return "presence of version";
  if (ours.model.version && ours.model.version->value != spec.version().value()) return "version";
  if (ours.model.label != spec.version_label()) return "version label";
  if (ours.request.signature_name != spec.signature_name()) return "signature name";
  const std::vector<std::string> filter(ours.request.output_filter.begin(),
                                        ours.request.output_filter.end());
  if (filter !=
      std::vector<std::string>(theirs.output_filter().begin(), theirs.output_filter().end())) {
    return "output filter";
  }
  return {};
}

// Reads `bytes` in both ways. Returns an empty text if both refuse them or both read the same; else
// the difference. The tests and the fuzz target expect an empty text for every input:
// EXPECT_EQ(CompareReaders(bytes), "").
inline std::string CompareReaders(std::string_view bytes) {
  const google::protobuf::LogSilencer silencer;
  tensorflow::serving::PredictRequest theirs;
  const bool parsed = theirs.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
  std::map<std::string, Elements, std::less<>> expected;
  bool refused = !parsed;
  for (const auto& [name, proto] : theirs.inputs()) {
    if (!parsed) break;
    const Verdict verdict = ReadTensor(proto, expected[name]);
    if (verdict == Verdict::kTooBig) return {};
    refused |= verdict == Verdict::kRefused;
  }

  ReadPredict ours;
  const Slice message{reinterpret_cast<const std::byte*>(bytes.data()), bytes.size(), {}};
  const PredictReadLimits limits{.decoded_tensor_bytes_max = uint64_t{1} << 27,
                                 .names_max = 1 << 20};
  const Status status = ReadPredictRequest(message, limits, ours);
  if (status.ok() == refused) {
    return refused ? "ours accepts what protobuf or TensorFlow refuses" : status.ToString();
  }
  if (refused) return {};
  if (ours.request.inputs.size() != expected.size()) return "number of inputs";
  for (const NamedTensor& input : ours.request.inputs) {
    const auto found = expected.find(input.name);
    if (found == expected.end()) return "an input's name";
    if (!(ElementsOf(input.tensor) == found->second)) {
      return "tensor " + std::string(input.name);
    }
  }
  return CompareSpecs(ours, theirs);
}

}  // namespace penstock::tfs::reference
