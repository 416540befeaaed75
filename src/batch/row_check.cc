// SPDX-License-Identifier: Apache-2.0
// One request of several rows runs as a whole, and again in two parts: its first row, and the
// others. If rows do not depend on each other, the answers are the same. The rows must differ, or a
// model that mixes them could go unnoticed.
#include "batch/row_check.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <optional>
#include <random>
#include <string_view>
#include <utility>

#include "batch/join.h"
#include "infer/run_and_wait.h"
#include "tensor/half.h"

namespace penstock::batch {
namespace {

constexpr int64_t kRows = 3;           // of a request that is made up
constexpr int64_t kSampleRowsMax = 8;  // of a sample that is used
constexpr double kTolerance = 1e-4;
constexpr double kHalfTolerance = 1e-2;  // of 16-bit numbers, which have 8 to 11 bits of precision
constexpr auto kRunTime = std::chrono::seconds(10);  // of each run
// What the dimensions of unknown size are in a request that is made up, one after the other.
constexpr std::array<int64_t, 3> kGuesses = {4, 1, 32};

// ---- Made-up inputs.

template <typename T>
void FillWithBits(Tensor& tensor, std::mt19937& random, std::array<T, 2> values) {
  for (T& value : tensor.mutable_as<T>()) value = values[random() % 2];
}

// Fills a tensor with small values that most models accept: numbers from 0 to 1, short strings.
void Fill(Tensor& tensor, std::mt19937& random) {
  static constexpr std::array<StringElement, 2> kTexts = {StringElement{"a", 1},
                                                          StringElement{"b", 1}};
  switch (tensor.dtype()) {
    case DType::kString:
      for (StringElement& text : tensor.mutable_as<StringElement>()) text = kTexts[random() % 2];
      return;
    case DType::kFloat64:
    case DType::kComplex128:
      for (size_t i = 0; i < tensor.bytes() / sizeof(double); ++i)
        reinterpret_cast<double*>(tensor.mutable_data())[i] = (random() % 1000) / 1000.0;
      return;
    case DType::kFloat32:
    case DType::kComplex64:
      for (size_t i = 0; i < tensor.bytes() / sizeof(float); ++i)
        reinterpret_cast<float*>(tensor.mutable_data())[i] =
            static_cast<float>(random() % 1000) / 1000.0F;
      return;
    case DType::kFloat16:
      return FillWithBits<uint16_t>(tensor, random, {0x3400, 0x3c00});  // 0.25 and 1
    case DType::kBfloat16:
      return FillWithBits<uint16_t>(tensor, random, {0x3e80, 0x3f80});  // 0.25 and 1
    default:
      break;
  }
  // Whole numbers, little-endian: 0 or 1.
  std::memset(tensor.mutable_data(), 0, tensor.bytes());
  const size_t size = DTypeBytes(tensor.dtype());
  for (size_t i = 0; i < tensor.bytes(); i += size)
    tensor.mutable_data()[i] = static_cast<std::byte>(random() % 2);
}

// Makes a request of `rows` rows. Dimensions of unknown size are those of `like`, if it is not
// null, and else `guess`.
StatusOr<InferRequest> MakeUp(const Signature& signature, int64_t rows, int64_t guess,
                              const InferRequest* like) {
  constexpr uint64_t kBytesMax = uint64_t{64} << 20;
  std::mt19937 random(static_cast<unsigned>(rows));
  InferRequest request;
  request.signature_name = signature.name;
  if (like != nullptr) request.output_filter = like->output_filter;
  for (const TensorSpec& spec : signature.inputs) {
    Shape shape = spec.shape;
    if (like != nullptr) {
      const auto same =
          std::ranges::find(like->inputs, std::string_view(spec.name), &NamedTensor::name);
      if (same == like->inputs.end()) continue;
      shape = same->tensor.shape();
    } else if (spec.optional) {
      continue;
    }
    for (size_t axis = 0; axis < shape.rank(); ++axis)
      if (shape.dim(axis) < 0) shape.SetDim(axis, guess);
    shape.SetDim(0, rows);
    ASSIGN_OR_RETURN(Tensor tensor, Tensor::Allocate(spec.dtype, std::move(shape), kBytesMax));
    Fill(tensor, random);
    request.inputs.push_back({spec.name, std::move(tensor)});
  }
  if (request.inputs.empty())
    return absl::FailedPreconditionError("all of its inputs are optional");
  return request;
}

// ---- Comparison.

bool IsNear(double a, double b, double tolerance) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) == std::isnan(b);
  return a == b || std::abs(a - b) <= tolerance * std::max({1.0, std::abs(a), std::abs(b)});
}

template <typename T, typename ToDouble>
bool AreNear(const Tensor& a, const Tensor& b, double tolerance, ToDouble to_double) {
  const T* const x = reinterpret_cast<const T*>(a.data());
  const T* const y = reinterpret_cast<const T*>(b.data());
  for (size_t i = 0; i < a.bytes() / sizeof(T); ++i)
    if (!IsNear(to_double(x[i]), to_double(y[i]), tolerance)) return false;
  return true;
}

bool HasSameValues(const Tensor& a, const Tensor& b) {
  if (a.dtype() != b.dtype() || !(a.shape() == b.shape())) return false;
  const auto same = [](double x) { return x; };
  switch (a.dtype()) {
    case DType::kFloat32:
    case DType::kComplex64:
      return AreNear<float>(a, b, kTolerance, same);
    case DType::kFloat64:
    case DType::kComplex128:
      return AreNear<double>(a, b, kTolerance, same);
    case DType::kFloat16:
      return AreNear<uint16_t>(a, b, kHalfTolerance, Float16ToFloat);
    case DType::kBfloat16:
      return AreNear<uint16_t>(a, b, kHalfTolerance, Bfloat16ToFloat);
    case DType::kString:
      return std::ranges::equal(a.strings(), b.strings(), {}, &StringElement::view,
                                &StringElement::view);
    default:
      return a.bytes() == 0 || std::memcmp(a.data(), b.data(), a.bytes()) == 0;
  }
}

// ---- The check.

// One check. One thread at a time.
class RowCheck final {
 public:
  RowCheck(Model& model, const Signature& signature, CancelToken& cancel)
      : model_(model), signature_(signature), cancel_(cancel) {}

  // Returns the answer to the rows of `request` from `first` on.
  StatusOr<NamedTensors> Run(const InferRequest& request, int64_t first, int64_t rows) {
    InferRequest part;
    part.signature_name = signature_.name;
    part.output_filter = request.output_filter;
    part.options = request.options;
    part.cancel = &cancel_;
    part.deadline = Clock::Real().Now() + kRunTime;
    for (const NamedTensor& input : request.inputs)
      part.inputs.push_back({input.name, input.tensor.Rows(first, rows)});
    return RunForOutputs(model_, part);
  }

  // Compares the answer to `rows` rows with those to the first row and to the others.
  Status Compare(const InferRequest& request, int64_t rows, const NamedTensors& together) {
    const int64_t of_parts[] = {1, rows - 1};
    NamedTensors parts[2];
    if (Status status = ScatterOutputs(signature_, together, of_parts, /*extra_rows=*/0, parts);
        !status.ok())
      return absl::FailedPreconditionError(status.message());
    for (size_t i = 0; i < 2; ++i) {
      StatusOr<NamedTensors> alone = Run(request, static_cast<int64_t>(i), of_parts[i]);
      if (!alone.ok()) {
        return Error(StatusCode::kFailedPrecondition,
                     "the model answers {} rows together, but not {} of them alone: {}", rows,
                     of_parts[i], MessageOf(alone.status()));
      }
      for (const NamedTensor& part : parts[i]) {
        const auto same = std::ranges::find(*alone, part.name, &NamedTensor::name);
        if (same != alone->end() && HasSameValues(same->tensor, part.tensor)) continue;
        return Error(StatusCode::kFailedPrecondition,
                     "the output '{}' of a row differs if the row runs together with others",
                     part.name);
      }
    }
    return OkStatus();
  }

  // Compares the answers to two requests of one row, of which one is shorter, with those alone.
  Status ComparePadded(const InferRequest& request, const InferRequest& shorter, const PadPlan& pad,
                       const NamedTensors& alone, const NamedTensors& shorter_alone) {
    const InferRequest* const members[] = {&request, &shorter};
    const NamedTensors* const expected[] = {&alone, &shorter_alone};
    const int64_t rows[] = {1, 1};
    InferRequest both = request;
    both.inputs.clear();
    RequestMemory memory;
    TRY(GatherInputs(members, /*extra_rows=*/0, memory, both.inputs, pad));
    StatusOr<NamedTensors> together = Run(both, 0, 2);
    if (!together.ok())
      return Error(StatusCode::kFailedPrecondition, "the model refuses a padded request: {}",
                   MessageOf(together.status()));
    NamedTensors parts[2];
    Status status = ScatterOutputs(signature_, *together, rows, /*extra_rows=*/0, parts);
    for (size_t i = 0; i < 2 && status.ok(); ++i)
      status = pad.Cut(*members[i], both.inputs, memory, parts[i]);
    if (!status.ok()) return absl::FailedPreconditionError(status.message());
    for (size_t i = 0; i < 2; ++i) {
      for (const NamedTensor& part : parts[i]) {
        const auto same = std::ranges::find(*expected[i], part.name, &NamedTensor::name);
        if (same != expected[i]->end() && HasSameValues(same->tensor, part.tensor)) continue;
        return Error(StatusCode::kFailedPrecondition,
                     "padding changes the output '{}' of a request", part.name);
      }
    }
    return OkStatus();
  }

 private:
  Model& model_;
  const Signature& signature_;
  CancelToken& cancel_;
};

// Makes a request of at least two rows out of a sample, which has at least one.
StatusOr<InferRequest> AtLeastTwoRows(const Signature& signature, const InferRequest& sample,
                                      int64_t rows) {
  if (rows > 1) return sample;
  ASSIGN_OR_RETURN(const InferRequest other, MakeUp(signature, 1, /*guess=*/1, &sample));
  const InferRequest* const members[] = {&sample, &other};
  InferRequest both;
  both.output_filter = sample.output_filter;
  both.options = sample.options;
  RequestMemory memory;
  TRY(GatherInputs(members, /*extra_rows=*/0, memory, both.inputs));
  return both;
}

}  // namespace

Status CheckRowsAreIndependent(Model& model, const Signature& signature,
                               const std::vector<const InferRequest*>& samples,
                               CancelToken& cancel) {
  RowCheck check(model, signature, cancel);
  for (const InferRequest* sample : samples) {
    if (model.info().FindSignature(sample->signature_name) != &signature) continue;
    const int64_t rows = RowsOf(signature, *sample);
    if (rows == 0) continue;
    StatusOr<InferRequest> request = AtLeastTwoRows(signature, *sample, rows);
    if (!request.ok()) continue;
    const int64_t used = std::clamp<int64_t>(rows, 2, kSampleRowsMax);
    StatusOr<NamedTensors> together = check.Run(*request, 0, used);
    if (together.ok()) return check.Compare(*request, used, *together);
  }
  Status last;
  for (const int64_t guess : kGuesses) {
    StatusOr<InferRequest> request = MakeUp(signature, kRows, guess, /*like=*/nullptr);
    if (!request.ok()) return absl::FailedPreconditionError(request.status().message());
    StatusOr<NamedTensors> together = check.Run(*request, 0, kRows);
    if (together.ok()) return check.Compare(*request, kRows, *together);
    last = together.status();
    if (cancel.IsCancelled()) return absl::CancelledError("the check was cancelled");
  }
  return Error(StatusCode::kFailedPrecondition,
               "it cannot be checked, because the model refused a made-up request, and no recorded "
               "or recent request with two rows is known: {}",
               MessageOf(last));
}

Status CheckPadding(Model& model, const Signature& signature, const PadPlan& pad,
                    const std::vector<const InferRequest*>& samples, CancelToken& cancel) {
  RowCheck check(model, signature, cancel);
  std::vector<InferRequest> requests;
  for (const InferRequest* sample : samples) {
    if (model.info().FindSignature(sample->signature_name) == &signature &&
        RowsOf(signature, *sample) > 0)
      requests.push_back(*sample);
  }
  for (const int64_t guess : kGuesses) {
    StatusOr<InferRequest> request = MakeUp(signature, /*rows=*/1, guess, /*like=*/nullptr);
    if (request.ok()) requests.push_back(*std::move(request));
  }
  for (InferRequest& request : requests) {
    for (NamedTensor& input : request.inputs) input.tensor = input.tensor.Rows(0, 1);
    ASSIGN_OR_RETURN(const InferRequest shorter, pad.Shorter(request));
    if (pad.Elements(shorter) == 0 || pad.Elements(shorter) == pad.Elements(request)) continue;
    if (cancel.IsCancelled()) return absl::CancelledError("the check was cancelled");
    StatusOr<NamedTensors> alone[] = {check.Run(request, 0, 1), check.Run(shorter, 0, 1)};
    if (!alone[0].ok() || !alone[1].ok()) continue;
    return check.ComparePadded(request, shorter, pad, *alone[0], *alone[1]);
  }
  return OkStatus();
}

}  // namespace penstock::batch
