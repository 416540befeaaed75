// SPDX-License-Identifier: Apache-2.0
// One request of several rows runs as a whole, and again in two parts: its first row, and the
// others. If rows do not depend on each other, the answers are the same. The rows must differ, and
// so must the answers to them, or a model that mixes them could go unnoticed.
#include "batch/row_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>

#include "batch/join.h"
#include "infer/run_and_wait.h"
#include "tensor/half.h"

namespace penstock::batch {
namespace {

constexpr int64_t kRows = 3;           // of a request that is made up
constexpr int64_t kManyRows = 32;      // of a second one, for a model that mixes rows only then
constexpr int64_t kSampleRowsMax = 8;  // of a sample that is used
constexpr double kTolerance = 1e-4;
constexpr double kHalfTolerance = 1e-2;  // of 16-bit numbers, which have 8 to 11 bits of precision
constexpr auto kRunTime = std::chrono::seconds(10);  // of each run
// If kRows take longer, the second request is left out: the load would take too long.
constexpr auto kShortRun = std::chrono::milliseconds(20);
// Numbers that are smaller than this, in all of an output, are compared as if it had this size.
constexpr double kLeastScale = 1e-6;
// What the dimensions of unknown size are in a request that is made up, one after the other.
constexpr std::array<int64_t, 3> kGuesses = {4, 1, 32};

// ---- Made-up inputs.

// What values a request that is made up has.
enum class Values : uint8_t {
  kVaried,  // numbers from -1 to 1, texts of one to three words: they show most
  kSimple,  // numbers from 0 to 1, texts of one letter: most models accept them
};

template <typename T, size_t N>
void FillFrom(Tensor& tensor, std::mt19937& random, const std::array<T, N>& values) {
  for (T& value : tensor.mutable_as<T>()) value = values[random() % N];
}

template <typename T>
void FillWithNumbers(Tensor& tensor, std::mt19937& random, Values values) {
  const T least = values == Values::kVaried ? -1 : 0;
  T* const numbers = reinterpret_cast<T*>(tensor.mutable_data());
  for (size_t i = 0; i < tensor.bytes() / sizeof(T); ++i)
    numbers[i] = least + (1 - least) * static_cast<T>(random() % 1000) / 1000;
}

// Fills a tensor with small values.
void Fill(Tensor& tensor, std::mt19937& random, Values values) {
  using Bits = std::array<uint16_t, 2>;
  static constexpr std::array<StringElement, 2> kLetters = {{{"a", 1}, {"b", 1}}};
  static constexpr std::array<StringElement, 3> kTexts = {{{"a", 1}, {"b c", 3}, {"d ef g", 6}}};
  const bool is_varied = values == Values::kVaried;
  switch (tensor.dtype()) {
    case DType::kString:
      return is_varied ? FillFrom(tensor, random, kTexts) : FillFrom(tensor, random, kLetters);
    case DType::kFloat64:
    case DType::kComplex128:
      return FillWithNumbers<double>(tensor, random, values);
    case DType::kFloat32:
    case DType::kComplex64:
      return FillWithNumbers<float>(tensor, random, values);
    case DType::kFloat16:  // -0.5 or 0.25, and 1
      return FillFrom(tensor, random, is_varied ? Bits{0xb800, 0x3c00} : Bits{0x3400, 0x3c00});
    case DType::kBfloat16:
      return FillFrom(tensor, random, is_varied ? Bits{0xbf00, 0x3f80} : Bits{0x3e80, 0x3f80});
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
                              Values values, const InferRequest* like) {
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
    Fill(tensor, random, values);
    request.inputs.push_back({spec.name, std::move(tensor)});
  }
  if (request.inputs.empty())
    return absl::FailedPreconditionError("all of its inputs are optional");
  return request;
}

// ---- Comparison.

// The numbers of a tensor of floating-point type. Empty for other types.
std::vector<double> NumbersOf(const Tensor& tensor) {
  std::vector<double> numbers;
  const auto read = [&]<typename T>(const T* from, auto to_double) {
    numbers.reserve(tensor.bytes() / sizeof(T));
    for (size_t i = 0; i < tensor.bytes() / sizeof(T); ++i) numbers.push_back(to_double(from[i]));
  };
  const auto same = [](double x) { return x; };
  const std::byte* const data = tensor.data();
  switch (tensor.dtype()) {
    case DType::kFloat32:
    case DType::kComplex64:
      read(reinterpret_cast<const float*>(data), same);
      break;
    case DType::kFloat64:
    case DType::kComplex128:
      read(reinterpret_cast<const double*>(data), same);
      break;
    case DType::kFloat16:
      read(reinterpret_cast<const uint16_t*>(data), Float16ToFloat);
      break;
    case DType::kBfloat16:
      read(reinterpret_cast<const uint16_t*>(data), Bfloat16ToFloat);
      break;
    default:
      break;
  }
  return numbers;
}

bool IsNear(double a, double b, double tolerance, double scale) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) == std::isnan(b);
  return a == b || std::abs(a - b) <= tolerance * std::max({scale, std::abs(a), std::abs(b)});
}

// Compares numbers relative to the largest of them, or to 1 if that is less: the probabilities of
// 20,000 classes are all far below 1.
bool AreNear(const std::vector<double>& a, const std::vector<double>& b, double tolerance) {
  double scale = kLeastScale;
  for (const double x : a)
    if (std::isfinite(x)) scale = std::max(scale, std::abs(x));
  scale = std::min(scale, 1.0);
  return std::ranges::equal(a, b,
                            [&](double x, double y) { return IsNear(x, y, tolerance, scale); });
}

bool HasSameValues(const Tensor& a, const Tensor& b) {
  if (a.dtype() != b.dtype() || !(a.shape() == b.shape())) return false;
  switch (a.dtype()) {
    case DType::kFloat32:
    case DType::kComplex64:
    case DType::kFloat64:
    case DType::kComplex128:
      return AreNear(NumbersOf(a), NumbersOf(b), kTolerance);
    case DType::kFloat16:
    case DType::kBfloat16:
      return AreNear(NumbersOf(a), NumbersOf(b), kHalfTolerance);
    case DType::kString:
      return std::ranges::equal(a.strings(), b.strings(), {}, &StringElement::view,
                                &StringElement::view);
    default:
      return a.bytes() == 0 || std::memcmp(a.data(), b.data(), a.bytes()) == 0;
  }
}

// Returns why this answer to `rows` different rows cannot show whether they depend on each other.
// Empty: it can.
std::string WhyShowsNothing(const NamedTensors& answer, int64_t rows) {
  bool differs = false;
  for (const NamedTensor& output : answer) {
    const std::vector<double> numbers = NumbersOf(output.tensor);
    const auto finite = std::ranges::count_if(numbers, [](double x) { return std::isfinite(x); });
    if (2 * static_cast<size_t>(finite) < numbers.size())
      return fmt::format("most numbers of its output '{}' are infinite or NaN", output.name);
    if (output.tensor.shape().rank() == 0 || output.tensor.shape().dim(0) != rows) return {};
    for (int64_t row = 1; row < rows && !differs; ++row)
      differs = !HasSameValues(output.tensor.Rows(0, 1), output.tensor.Rows(row, 1));
  }
  return differs ? "" : "it answers all rows with the same values";
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
        return Error(StatusCode::kUnimplemented,
                     "the model answers {} rows together, but not {} of them alone: {}", rows,
                     of_parts[i], MessageOf(alone.status()));
      }
      for (const NamedTensor& part : parts[i]) {
        const auto same = std::ranges::find(*alone, part.name, &NamedTensor::name);
        if (same != alone->end() && HasSameValues(same->tensor, part.tensor)) continue;
        return Error(StatusCode::kUnimplemented,
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
  ASSIGN_OR_RETURN(const InferRequest other,
                   MakeUp(signature, 1, /*guess=*/1, Values::kSimple, &sample));
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
    if (!together.ok()) continue;
    TRY(check.Compare(*request, used, *together));
    if (WhyShowsNothing(*together, used).empty()) return OkStatus();
  }
  std::string why;
  for (const Values values : {Values::kVaried, Values::kSimple}) {
    for (const int64_t guess : kGuesses) {
      const auto make = [&](int64_t rows) {
        return MakeUp(signature, rows, guess, values, /*like=*/nullptr);
      };
      const StatusOr<InferRequest> request = make(kRows);
      if (!request.ok()) return absl::FailedPreconditionError(request.status().message());
      const SteadyTime start = Clock::Real().Now();
      const StatusOr<NamedTensors> together = check.Run(*request, 0, kRows);
      const Duration time = Clock::Real().Now() - start;
      if (cancel.IsCancelled()) return absl::CancelledError("the check was cancelled");
      if (!together.ok()) {
        why = fmt::format("the model refused a made-up request: {}", MessageOf(together.status()));
        continue;
      }
      TRY(check.Compare(*request, kRows, *together));
      if (std::string nothing = WhyShowsNothing(*together, kRows); !nothing.empty()) {
        why = fmt::format("the answer to a made-up request shows nothing: {}", nothing);
        continue;
      }
      if (time > kShortRun) return OkStatus();
      const StatusOr<InferRequest> large = make(kManyRows);
      if (!large.ok()) return OkStatus();
      const StatusOr<NamedTensors> many = check.Run(*large, 0, kManyRows);
      return many.ok() ? check.Compare(*large, kManyRows, *many) : OkStatus();
    }
  }
  return Error(StatusCode::kFailedPrecondition,
               "it cannot be checked, because no recorded or recent request with two rows is "
               "known, and {}",
               why);
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
  for (const Values values : {Values::kVaried, Values::kSimple}) {
    for (const int64_t guess : kGuesses) {
      StatusOr<InferRequest> request =
          MakeUp(signature, /*rows=*/1, guess, values, /*like=*/nullptr);
      if (request.ok()) requests.push_back(*std::move(request));
    }
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
