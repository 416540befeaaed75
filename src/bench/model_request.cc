// SPDX-License-Identifier: Apache-2.0
#include "bench/model_request.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <map>
#include <random>
#include <vector>

#include "serving/get_model_metadata.pb.h"
#include "serving/predict.pb.h"

namespace penstock::bench {
namespace {

using tensorflow::DataType;
using tensorflow::TensorProto;
using tensorflow::TensorShapeProto;
using tensorflow::serving::ModelSpec;
using tensorflow::serving::PredictRequest;

constexpr int64_t kElementsMax = 256 << 20;  // of a request

void FillSpec(const RequestOptions& options, ModelSpec& spec) {
  if (!options.model.empty()) spec.set_name(options.model);
  if (options.version != 0) spec.mutable_version()->set_value(options.version);
  if (!options.version_label.empty()) spec.set_version_label(options.version_label);
  if (!options.signature.empty()) spec.set_signature_name(options.signature);
}

// As "1x784"; "scalar" without dimensions; '?' for a size that is open.
std::string ShapeText(const TensorShapeProto& shape) {
  if (shape.unknown_rank()) return "of any rank";
  std::string text;
  for (const auto& dim : shape.dim()) {
    if (!text.empty()) text += 'x';
    text += dim.size() < 0 ? "?" : std::to_string(dim.size());
  }
  return text.empty() ? "scalar" : text;
}

template <typename Tensors>
std::string Describe(const Tensors& tensors) {
  // A map of protobuf has no order.
  std::map<std::string, const TensorProto*> sorted;
  for (const auto& [name, tensor] : tensors) sorted.emplace(name, &tensor);
  std::string text;
  for (const auto& [name, tensor] : sorted) {
    fmt::format_to(std::back_inserter(text), "{}{}: {} {}", text.empty() ? "" : ", ", name,
                   tensorflow::DataType_Name(tensor->dtype()), ShapeText(tensor->tensor_shape()));
  }
  return text;
}

// Appends random elements. One thread at a time.
class Elements final {
 public:
  explicit Elements(uint64_t seed) : random_(seed) {}

  // False: the type has no values that can be made up.
  bool Fill(TensorProto& tensor, int64_t count) {
    switch (tensor.dtype()) {
      case DataType::DT_FLOAT:
        return Append<float>(tensor, count, [&] { return Unit(); });
      case DataType::DT_DOUBLE:
        return Append<double>(tensor, count, [&] { return static_cast<double>(Unit()); });
      case DataType::DT_HALF:  // 1 to 2: only the bits of the fraction differ
        return Append<uint16_t>(tensor, count, [&] { return uint16_t(0x3c00 | (Bits() & 0x3ff)); });
      case DataType::DT_BFLOAT16:
        return Append<uint16_t>(tensor, count, [&] {
          return static_cast<uint16_t>(std::bit_cast<uint32_t>(Unit()) >> 16);
        });
      case DataType::DT_COMPLEX64:
        return Append<float>(tensor, 2 * count, [&] { return Unit(); });
      case DataType::DT_COMPLEX128:
        return Append<double>(tensor, 2 * count, [&] { return static_cast<double>(Unit()); });
      case DataType::DT_INT8:
      case DataType::DT_UINT8:
        return Append<uint8_t>(tensor, count, [&] { return Digit(); });
      case DataType::DT_INT16:
      case DataType::DT_UINT16:
        return Append<uint16_t>(tensor, count, [&] { return Digit(); });
      case DataType::DT_INT32:
      case DataType::DT_UINT32:
        return Append<uint32_t>(tensor, count, [&] { return Digit(); });
      case DataType::DT_INT64:
      case DataType::DT_UINT64:
        return Append<uint64_t>(tensor, count, [&] { return Digit(); });
      case DataType::DT_BOOL:
        return Append<uint8_t>(tensor, count, [&] { return Bits() & 1; });
      case DataType::DT_STRING:
        for (int64_t i = 0; i < count; ++i) *tensor.add_string_val() = Word();
        return true;
      default:
        return false;
    }
  }

 private:
  template <typename Element, typename Make>
  bool Append(TensorProto& tensor, int64_t count, Make make) {
    std::string& content = *tensor.mutable_tensor_content();
    content.resize(static_cast<size_t>(count) * sizeof(Element));
    for (char* at = content.data(); at != content.data() + content.size(); at += sizeof(Element)) {
      const auto element = static_cast<Element>(make());
      std::memcpy(at, &element, sizeof element);
    }
    return true;
  }
  uint64_t Bits() { return random_() >> 11; }
  float Unit() { return static_cast<float>(Bits() & 0xffffff) * 0x1p-24f; }
  uint64_t Digit() { return Bits() % 10; }
  std::string Word() {
    std::string word(8, 'a');
    for (char& letter : word) letter = static_cast<char>('a' + Bits() % 26);
    return word;
  }

  std::mt19937_64 random_;
};

// The sizes of one input: those of --shape, or those of the signature with the batch size.
StatusOr<std::vector<int64_t>> DimsOf(const std::string& name, const TensorShapeProto& allowed,
                                      const RequestOptions& options) {
  for (const InputShape& shape : options.shapes) {
    if (shape.input == name) return shape.dims;
  }
  const auto needs_flag = [&](std::string_view why) {
    return InvalidArgument(
        "input '{}' is {} in the signature{}: give its shape, such as "
        "--shape={}:1x16",
        name, ShapeText(allowed), why, name);
  };
  if (allowed.unknown_rank()) return needs_flag("");
  std::vector<int64_t> dims;
  for (int i = 0; i < allowed.dim_size(); ++i) {
    int64_t size = allowed.dim(i).size();
    if (size < 0 && i > 0) return needs_flag(", which leaves a size open");
    if (size < 0) size = std::max<int64_t>(options.batch_size, 1);
    if (i == 0 && options.batch_size != 0 && size != options.batch_size)
      return InvalidArgument("--batch_size={}: input '{}' is {} in the signature",
                             options.batch_size, name, ShapeText(allowed));
    dims.push_back(size);
  }
  return dims;
}

// `left`: how many elements the request may still get.
Status AddInput(const std::string& name, const tensorflow::TensorInfo& info,
                const RequestOptions& options, Elements& elements, int64_t& left,
                PredictRequest& request) {
  ASSIGN_OR_RETURN(const std::vector<int64_t> dims, DimsOf(name, info.tensor_shape(), options));
  TensorProto& tensor = (*request.mutable_inputs())[name];
  tensor.set_dtype(info.dtype());
  int64_t count = 1;
  for (const int64_t size : dims) {
    tensor.mutable_tensor_shape()->add_dim()->set_size(size);
    if (size != 0 && count > left / size)
      return InvalidArgument("with the input '{}' of {}, the request has more than {} elements",
                             name, ShapeText(tensor.tensor_shape()), kElementsMax);
    count *= size;
  }
  left -= count;
  if (!elements.Fill(tensor, count))
    return InvalidArgument(
        "input '{}' is {}, of which no values can be made up: give a request "
        "with --request=FILE",
        name, tensorflow::DataType_Name(info.dtype()));
  return OkStatus();
}

std::string Quoted(const std::vector<std::string>& names) {
  return names.empty() ? "none" : fmt::format("'{}'", fmt::join(names, "', '"));
}

StatusOr<tensorflow::SignatureDef> FindSignature(std::string_view metadata,
                                                 const RequestOptions& options) {
  tensorflow::serving::GetModelMetadataResponse response;
  tensorflow::serving::SignatureDefMap map;
  const bool is_read = response.ParseFromArray(metadata.data(), static_cast<int>(metadata.size()));
  if (!is_read)
    return Error(StatusCode::kInternal,
                 "the server's answer is no GetModelMetadataResponse: give a request with "
                 "--request=FILE");
  const auto found = response.metadata().find("signature_def");
  if (found == response.metadata().end() || !found->second.UnpackTo(&map))
    return Error(StatusCode::kInternal,
                 "the server's metadata has no signatures: give a request with --request=FILE");
  const std::string wanted = options.signature.empty() ? "serving_default" : options.signature;
  const auto signature = map.signature_def().find(wanted);
  if (signature != map.signature_def().end()) return signature->second;
  std::vector<std::string> names;
  for (const auto& entry : map.signature_def()) names.push_back(entry.first);
  std::sort(names.begin(), names.end());
  return InvalidArgument("model '{}' has no signature '{}'; there are: {}", options.model, wanted,
                         Quoted(names));
}

ModelRequest Finish(const PredictRequest& request) {
  ModelRequest made{
      .bytes = {}, .model = request.model_spec().name(), .summary = Describe(request.inputs())};
  request.SerializeToString(&made.bytes);
  return made;
}

}  // namespace

std::string MetadataRequest(const RequestOptions& options) {
  tensorflow::serving::GetModelMetadataRequest request;
  FillSpec(options, *request.mutable_model_spec());
  request.mutable_model_spec()->clear_signature_name();
  request.add_metadata_field("signature_def");
  return request.SerializeAsString();
}

StatusOr<ModelRequest> MakeRequest(std::string_view metadata, const RequestOptions& options) {
  ASSIGN_OR_RETURN(const tensorflow::SignatureDef signature, FindSignature(metadata, options));
  std::vector<std::string> names;
  for (const auto& input : signature.inputs()) names.push_back(input.first);
  std::sort(names.begin(), names.end());  // so that a seed gives the same request every time
  for (const InputShape& shape : options.shapes) {
    if (std::find(names.begin(), names.end(), shape.input) == names.end())
      return InvalidArgument("--shape: the signature has no input '{}'; there are: {}", shape.input,
                             Quoted(names));
  }
  PredictRequest request;
  FillSpec(options, *request.mutable_model_spec());
  Elements elements(options.seed);
  int64_t left = kElementsMax;
  for (const std::string& name : names)
    TRY(AddInput(name, signature.inputs().at(name), options, elements, left, request));
  return Finish(request);
}

StatusOr<ModelRequest> ReadRequest(std::string_view text, const RequestOptions& options) {
  PredictRequest request;
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first != std::string_view::npos && text[first] == '{') {
    const auto status = google::protobuf::util::JsonStringToMessage(
        {text.data(), text.size()}, &request, google::protobuf::util::JsonParseOptions());
    if (!status.ok())
      return InvalidArgument("it is no PredictRequest in protobuf's JSON: {}", status.ToString());
  } else if (!request.ParseFromArray(text.data(), static_cast<int>(text.size()))) {
    return InvalidArgument("it is no PredictRequest: neither JSON nor protobuf's bytes");
  }
  FillSpec(options, *request.mutable_model_spec());
  if (request.model_spec().name().empty())
    return InvalidArgument("it names no model: give --model=NAME, too");
  return Finish(request);
}

StatusOr<std::string> DescribeAnswer(std::string_view answer) {
  tensorflow::serving::PredictResponse response;
  if (!response.ParseFromArray(answer.data(), static_cast<int>(answer.size())))
    return Error(StatusCode::kInternal, "the server's answer is no PredictResponse");
  return Describe(response.outputs());
}

}  // namespace penstock::bench
