// SPDX-License-Identifier: Apache-2.0
// Any bytes as the body of a :predict call, for models of several kinds. What is read must come
// back the same from what is written of it.
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "protocols/tfs_json/predict_decoder.h"
#include "protocols/tfs_json/predict_encoder.h"

namespace penstock::tfs_json {
namespace {

ModelInfo MakeInfo(std::initializer_list<DType> types) {
  Signature signature;
  signature.name = std::string(kDefaultSignatureName);
  for (const DType type : types) {
    TensorSpec spec;
    spec.name = std::string(1, static_cast<char>('a' + signature.inputs.size()));
    spec.dtype = type;
    signature.inputs.push_back(spec);
  }
  ModelInfo info;
  info.signatures.push_back(signature);
  return info;
}

void Require(bool condition) {
  if (!condition) std::abort();
}

bool IsSame(const Tensor& one, const Tensor& other) {
  if (one.dtype() != other.dtype() || one.shape() != other.shape()) return false;
  if (one.dtype() != DType::kString) {
    return one.bytes() == 0 || std::memcmp(one.data(), other.data(), one.bytes()) == 0;
  }
  for (int64_t i = 0; i < one.element_count(); ++i) {
    const size_t at = static_cast<size_t>(i);
    if (one.strings()[at].view() != other.strings()[at].view()) return false;
  }
  return true;
}

// Writes what was read as columns, reads that as "inputs", and compares.
void CheckRoundTrip(const InferRequest& request, const ModelInfo& info,
                    const DecoderOptions& options) {
  for (const NamedTensor& input : request.inputs) {
    // Sizes behind an empty dimension are not written.
    if (input.tensor.element_count() == 0) return;
  }
  const StatusOr<ByteChain> text = EncodePredictResponse(PredictFormat::kColumn, request.inputs);
  if (!text.ok()) return;  // bytes that are not UTF-8
  std::string body(Flatten(*text).view());
  constexpr std::string_view kKey = "{\"outputs\"";
  Require(body.starts_with(kKey));
  body.replace(0, kKey.size(), "{\"inputs\"");
  InferRequest again;
  Require(DecodePredictRequest(WholeSlice(CopyToBuffer(body)), info, options, again).ok());
  Require(again.inputs.size() == request.inputs.size());
  for (size_t i = 0; i < again.inputs.size(); ++i) {
    Require(again.inputs[i].name == request.inputs[i].name);
    Require(IsSame(again.inputs[i].tensor, request.inputs[i].tensor));
  }
}

void TryModel(const Slice& body, const ModelInfo& info, bool round_trip) {
  DecoderOptions options;
  options.tensor_bytes_max = 1 << 20;
  InferRequest request;
  const StatusOr<PredictFormat> format = DecodePredictRequest(body, info, options, request);
  if (!format.ok()) {
    Require(!MessageOf(format.status()).empty());
    return;
  }
  if (round_trip) CheckRoundTrip(request, info, options);
  static_cast<void>(EncodePredictResponse(*format, request.inputs));
}

}  // namespace
}  // namespace penstock::tfs_json

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace penstock;
  using namespace penstock::tfs_json;
  static const ModelInfo one_float = MakeInfo({DType::kFloat32});
  static const ModelInfo one_string = MakeInfo({DType::kString});
  static const ModelInfo one_complex = MakeInfo({DType::kComplex128});
  static const ModelInfo several = MakeInfo({DType::kFloat64, DType::kUint8, DType::kInt64,
                                             DType::kBool, DType::kFloat16, DType::kString});
  static const ModelInfo any = [] {
    ModelInfo info;
    info.traits.any_signature = true;
    return info;
  }();
  const Slice body = WholeSlice(CopyToBuffer({reinterpret_cast<const char*>(data), size}));
  TryModel(body, one_float, false);  // a NaN's sign is not written
  TryModel(body, one_string, true);
  TryModel(body, one_complex, false);
  TryModel(body, several, false);
  TryModel(body, any, false);
  return 0;
}
