// SPDX-License-Identifier: Apache-2.0
// What a step of sequences costs without a model: a cell whose answers are there already, with
// rows of one float.
//   cell_alone [STEPS]
// Prints microseconds for a run of the steps of 1, 2, 4 ... 256 sequences that stay together.
#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "cells/cell_model.h"
#include "schedule/scheduler.h"

namespace penstock::cells {
namespace {

TensorSpec Floats(std::string name) {
  TensorSpec spec;
  spec.name = std::move(name);
  spec.dtype = DType::kFloat32;
  spec.shape = Shape{-1, 1};
  return spec;
}

// Answers with rows of a tensor that it keeps. Thread-safe.
class ReadyCell final : public Model {
 public:
  explicit ReadyCell(int64_t rows_max)
      : rows_(*Tensor::Allocate(DType::kFloat32, Shape{rows_max, 1})) {
    info_.platform = "bench";
    info_.signatures = {{.name = "serving_default",
                         .method_name = "",
                         .inputs = {Floats("h"), Floats("x")},
                         .outputs = {Floats("h1"), Floats("y")}}};
  }
  const ModelInfo& info() const override { return info_; }
  void Run(const InferRequest& request, ResponseCallback done) override {
    const Tensor rows = rows_.Rows(0, request.inputs.front().tensor.shape().dim(0));
    InferResponse answer;
    answer.outputs = {{"h1", rows}, {"y", rows}};
    done(std::move(answer));
  }

 private:
  const Tensor rows_;
  ModelInfo info_;
};

// The time of a run with so many sequences, in microseconds.
double Measure(int64_t sequences, int64_t steps) {
  schedule::Scheduler scheduler({.threads = schedule::PoolThreads::kNone});
  MetricsRegistry metrics;
  CellModel model(std::make_unique<ReadyCell>(sequences),
                  {.id = {"m", {1}},
                   .settings = {.signature = "",
                                .inputs = {"x"},
                                .states = {{"h", "h1"}},
                                .steps_max = steps,
                                .rows_max = sequences},
                   .executor = scheduler.StepsQueueOf("m", false)},
                  metrics);
  std::vector<std::unique_ptr<InferRequest>> requests;
  int64_t open = 0;
  const auto start_one = [&](int64_t length) {
    auto request = std::make_unique<InferRequest>();
    request->inputs = {{"x", *Tensor::Allocate(DType::kFloat32, Shape{1, length, 1})}};
    ++open;
    model.Run(*request, [&open](InferResponse&& part) {
      PENSTOCK_CHECK(part.status.ok(), "a sequence failed");
      --open;
    });
    requests.push_back(std::move(request));
  };
  const auto start = std::chrono::steady_clock::now();
  for (int64_t i = 0; i < sequences; ++i) start_one(steps);
  while (open > 0) scheduler.RunQueued();
  const std::chrono::duration<double, std::micro> time = std::chrono::steady_clock::now() - start;
  return time.count() / static_cast<double>(steps);
}

void Run(int64_t steps) {
  for (int64_t sequences = 1; sequences <= 256; sequences *= 2) {
    fmt::print("{:4} sequences: {:6.2f} us\n", sequences, Measure(sequences, steps));
  }
}

}  // namespace
}  // namespace penstock::cells

int main(int count, char** values) {
  penstock::cells::Run(count > 1 ? std::atoll(values[1]) : 20'000);
}
