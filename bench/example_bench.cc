// SPDX-License-Identifier: Apache-2.0
// What it costs to make batch tensors of 100 Examples, beside protobuf's parser with an arena and a
// copy of the values. Results are compared before anything is measured; the two are measured in
// turns, and the median of the ratios is what counts.
#include <fmt/format.h>
#include <google/protobuf/arena.h>
#include <malloc.h>
#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "infer/example_plans.h"
#include "protocols/tfs/example_reader.h"
#include "serving/classification.pb.h"
#include "tensorflow/example.pb.h"

namespace penstock::tfs {
namespace {

using tensorflow::serving::ClassificationRequest;

constexpr int kExamples = 100;

void Require(bool condition, const char* what) {
  if (condition) return;
  fmt::print(stderr, "example_bench: {}\n", what);
  std::exit(1);
}

std::string NameOf(int feature) { return fmt::format("feature_{}", feature); }

// A model with an input for each feature.
ModelInfo MakeInfo(int features, int values) {
  ModelInfo info;
  Signature& signature = info.signatures.emplace_back();
  signature.name = std::string(kDefaultSignatureName);
  for (int i = 0; i < features; ++i) {
    TensorSpec& spec = signature.inputs.emplace_back();
    spec.name = NameOf(i);
    spec.dtype = DType::kFloat32;
    spec.shape = Shape{-1, values};
  }
  std::ranges::sort(signature.inputs, {}, &TensorSpec::name);
  TensorSpec& scores = signature.outputs.emplace_back();
  scores.name = "scores";
  scores.dtype = DType::kFloat32;
  scores.shape = Shape{-1, 2};
  return info;
}

std::string MakeRequest(int features, int values) {
  ClassificationRequest request;
  for (int row = 0; row < kExamples; ++row) {
    auto& example = *request.mutable_input()->mutable_example_list()->add_examples();
    auto& map = *example.mutable_features()->mutable_feature();
    for (int i = 0; i < features; ++i) {
      auto& list = *map[NameOf(i)].mutable_float_list();
      for (int k = 0; k < values; ++k) list.add_value(static_cast<float>(row * 100 + i + k));
    }
  }
  return request.SerializeAsString();
}

// The bare way: an arena that keeps its memory, one look-up for each input and Example, and a copy
// into tensors. Both ways allocate the same tensors.
void ReadWithProtobuf(const std::string& bytes, const ExamplePlan& plan, int values,
                      google::protobuf::Arena& arena, NamedTensors& inputs) {
  inputs.clear();
  arena.Reset();
  auto* const request = google::protobuf::Arena::CreateMessage<ClassificationRequest>(&arena);
  Require(request->ParseFromString(bytes), "protobuf refuses the request");
  const auto& examples = request->input().example_list().examples();
  for (const FeatureInput& feature : plan.features) {
    Tensor tensor = *Tensor::Allocate(DType::kFloat32, Shape{kExamples, values});
    float* to = tensor.mutable_as<float>().data();
    for (const auto& example : examples) {
      const auto found = example.features().feature().find(feature.feature);
      Require(found != example.features().feature().end(), "a feature is missing");
      const auto& list = found->second.float_list().value();
      Require(list.size() == values, "a feature has the wrong size");
      std::memcpy(to, list.data(), static_cast<size_t>(values) * sizeof(float));
      to += values;
    }
    inputs.push_back({feature.input->name, std::move(tensor)});
  }
}

void ReadWithOurs(const Slice& message, const ExamplePlan& plan, NamedTensors& inputs) {
  ExampleInput input;
  WireError error;
  RequestMemory memory;
  Require(input.Scan(message.view(), error) &&
              ReadExamples(input, plan, message.owner, memory, inputs).ok(),
          "the Examples are refused");
}

double SecondsOf(const std::function<void()>& work) {
  const auto now = [] {
    timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
  };
  constexpr int kRuns = 20;
  const double start = now();
  for (int i = 0; i < kRuns; ++i) work();
  return (now() - start) / kRuns;
}

double Median(std::vector<double> values) {
  std::ranges::nth_element(values, values.begin() + static_cast<ptrdiff_t>(values.size() / 2));
  return values[values.size() / 2];
}

void Compare(int features, int values) {
  const ModelInfo info = MakeInfo(features, values);
  const ExamplePlans plans = *ExamplePlans::Make(info);
  const ExamplePlan& plan = *plans.Find(ExampleMethod::kClassify, "");
  Require(plan.problem.ok(), "the model cannot classify");
  const std::string bytes = MakeRequest(features, values);
  const Slice message = WholeSlice(CopyToBuffer(bytes));
  std::vector<char> block(32 << 20);
  google::protobuf::ArenaOptions options;
  options.initial_block = block.data();
  options.initial_block_size = block.size();
  google::protobuf::Arena arena(options);
  NamedTensors their_inputs, inputs;
  const auto theirs = [&] { ReadWithProtobuf(bytes, plan, values, arena, their_inputs); };
  const auto ours = [&] { ReadWithOurs(message, plan, inputs); };
  theirs();
  ours();
  for (size_t i = 0; i < inputs.size(); ++i) {
    Require(
        inputs[i].name == their_inputs[i].name &&
            std::ranges::equal(inputs[i].tensor.as<float>(), their_inputs[i].tensor.as<float>()),
        "the results differ");
  }
  constexpr int kRounds = 31;
  std::vector<double> their_seconds, our_seconds, ratios;
  for (int round = 0; round < kRounds; ++round) {
    their_seconds.push_back(SecondsOf(theirs));
    our_seconds.push_back(SecondsOf(ours));
    ratios.push_back(our_seconds.back() / their_seconds.back());
  }
  fmt::print(
      "{} Examples of {} feature(s) x {} value(s): protobuf {:.1f} us, ours {:.1f} us, {:.3f}\n",
      kExamples, features, values, Median(their_seconds) * 1e6, Median(our_seconds) * 1e6,
      Median(ratios));
}

}  // namespace
}  // namespace penstock::tfs

int main() {
  // The heap of a busy server does not shrink and grow again for each request.
  mallopt(M_TRIM_THRESHOLD, 256 << 20);
  penstock::tfs::Compare(/*features=*/100, /*values=*/1);
  penstock::tfs::Compare(/*features=*/1, /*values=*/100);
}
