// SPDX-License-Identifier: Apache-2.0
// What reading and writing [32,784] floats as JSON costs, beside bare loops over the same bytes
// that do nothing else: simdjson's On-Demand parser, compiled for this CPU, into an array of
// floats, and the fastest ways at hand to write the shortest digits of a float. Results are
// compared before anything is measured; each pair is measured in turns, and the median of the
// ratios is what counts.
#include <fmt/format.h>
#include <simdjson.h>
#include <time.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "protocols/tfs_json/predict_decoder.h"
#include "protocols/tfs_json/predict_encoder.h"

namespace penstock::tfs_json {
namespace {

constexpr int kRows = 32;
constexpr int kColumns = 784;
constexpr size_t kCount = size_t{kRows} * kColumns;

void Require(bool condition, const char* what) {
  if (condition) return;
  fmt::print(stderr, "json_bench: {}\n", what);
  std::exit(1);
}

std::vector<float> MakeValues() {
  std::mt19937 random(20);
  std::uniform_real_distribution<float> unit(0, 1);
  std::vector<float> values(kCount);
  for (float& value : values) value = unit(random);
  return values;
}

enum class Text { kFloat, kDouble, kPixel };

// The body of a request, with the digits of a float, those that Python writes of a double, or
// whole numbers as of pixels.
std::string MakeBody(const std::vector<float>& values, Text text) {
  std::string body = "{\"instances\": [";
  for (size_t i = 0; i < kCount; ++i) {
    body += i % kColumns != 0 ? ", " : i == 0 ? "[" : "], [";
    if (text == Text::kFloat) body += fmt::format("{}", values[i]);
    if (text == Text::kDouble) body += fmt::format("{}", static_cast<double>(values[i]) + 1e-9 / 3);
    if (text == Text::kPixel) body += fmt::format("{}", static_cast<int>(values[i] * 256));
  }
  return body + "]]}";
}

ModelInfo MakeInfo() {
  TensorSpec spec;
  spec.name = "x";
  spec.dtype = DType::kFloat32;
  spec.shape = Shape{-1, kColumns};
  Signature signature;
  signature.name = std::string(kDefaultSignatureName);
  signature.inputs.push_back(spec);
  ModelInfo info;
  info.signatures.push_back(signature);
  return info;
}

size_t BareDecode(simdjson::ondemand::parser& parser, simdjson::padded_string_view body,
                  float* to) {
  size_t count = 0;
  auto document = parser.iterate(body);
  for (auto row : document["instances"].get_array()) {
    for (double value : row.get_array()) to[count++] = static_cast<float>(value);
  }
  return count;
}

template <typename Write>
char* BareEncode(const std::vector<float>& values, char* to, Write write) {
  for (size_t i = 0; i < kCount; ++i) {
    *to++ = i % kColumns == 0 ? '[' : ',';
    to = write(to, values[i]);
    if ((i + 1) % kColumns == 0) *to++ = ']';
  }
  return to;
}

double ThreadSeconds() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

double SecondsOf(const std::function<void()>& work) {
  constexpr int kRuns = 20;
  const double start = ThreadSeconds();
  for (int i = 0; i < kRuns; ++i) work();
  return (ThreadSeconds() - start) / kRuns;
}

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<long>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

// Prints how much `ours` costs in units of `bare`.
void Compare(const char* name, const std::function<void()>& bare,
             const std::function<void()>& ours) {
  constexpr int kTurns = 41;
  std::vector<double> bare_seconds, our_seconds, ratios;
  for (int i = 0; i < kTurns; ++i) {
    bare_seconds.push_back(SecondsOf(bare));
    our_seconds.push_back(SecondsOf(ours));
    ratios.push_back(our_seconds.back() / bare_seconds.back());
  }
  fmt::print("{:<44} bare {:7.1f} us  ours {:7.1f} us  ratio {:.2f}\n", name,
             Median(bare_seconds) * 1e6, Median(our_seconds) * 1e6, Median(ratios));
}

void BenchDecode(const char* name, const std::vector<float>& values, Text text) {
  const std::string body = MakeBody(values, text);
  const simdjson::padded_string padded(body);
  const Slice slice = WholeSlice(CopyToBuffer(body));
  const ModelInfo info = MakeInfo();
  simdjson::ondemand::parser parser;
  std::vector<float> bare(kCount);

  InferRequest check;
  Require(DecodePredictRequest(slice, info, {}, check).ok(), "our decoder fails");
  Require(BareDecode(parser, padded, bare.data()) == kCount, "the bare loop fails");
  Require(check.inputs[0].tensor.shape() == Shape({kRows, kColumns}), "wrong shape");
  Require(std::ranges::equal(check.inputs[0].tensor.as<float>(), bare), "the values differ");

  Compare(
      name, [&] { BareDecode(parser, padded, bare.data()); },
      [&] {
        InferRequest request;
        Require(DecodePredictRequest(slice, info, {}, request).ok(), "our decoder fails");
      });
}

char* WriteFmt(char* to, float value) { return fmt::format_to(to, FMT_STRING("{}"), value); }
char* WriteToChars(char* to, float value) { return std::to_chars(to, to + 32, value).ptr; }

void BenchEncode(const std::vector<float>& values) {
  Tensor tensor = Tensor::Allocate(DType::kFloat32, {kRows, kColumns}).value();
  std::copy(values.begin(), values.end(), tensor.mutable_as<float>().begin());
  const NamedTensors outputs = {{"y", tensor}};
  const auto encode = [&] { return EncodePredictResponse(PredictFormat::kRow, outputs).value(); };
  std::vector<char> buffer(kCount * 40);

  const simdjson::padded_string text(Flatten(encode()).view());
  simdjson::ondemand::parser parser;
  auto document = parser.iterate(text);
  size_t at = 0;
  for (auto row : document["predictions"].get_array()) {
    for (double value : row.get_array()) {
      Require(static_cast<float>(value) == values[at++], "a value does not read back");
    }
  }
  Require(at == kCount, "values are missing");

  Compare(
      "encode [32,784], against std::to_chars",
      [&] { BareEncode(values, buffer.data(), WriteToChars); }, [&] { encode(); });
  Compare(
      "encode [32,784], against fmt (dragonbox)",
      [&] { BareEncode(values, buffer.data(), WriteFmt); }, [&] { encode(); });
}

void BenchSmall() {
  const Slice body = WholeSlice(CopyToBuffer("{\"instances\": [1.0]}"));
  const ModelInfo info = MakeInfo();
  const double seconds = SecondsOf([&] {
    for (int i = 0; i < 1000; ++i) {
      InferRequest request;
      const auto format = DecodePredictRequest(body, info, {}, request);
      Require(format.ok() && EncodePredictResponse(*format, request.inputs).ok(), "it fails");
    }
  });
  fmt::print("decode and encode of one float: {:.0f} ns\n", seconds * 1e6);
}

void RunAll() {
  const std::vector<float> values = MakeValues();
  BenchDecode("decode [32,784], digits of floats", values, Text::kFloat);
  BenchDecode("decode [32,784], digits of doubles", values, Text::kDouble);
  BenchDecode("decode [32,784], whole numbers", values, Text::kPixel);
  BenchEncode(values);
  BenchSmall();
}

}  // namespace
}  // namespace penstock::tfs_json

int main() { penstock::tfs_json::RunAll(); }
