// SPDX-License-Identifier: Apache-2.0
// A cell for tests, and the answers that its sequences must get.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "cells/cell_settings.h"
#include "infer/model_fake.h"

namespace penstock::cells {

// x and h are [rows, 2], scale (which may be left out, then 1) is [rows]:
//   h1 = h / 2 + x,  y = scale * h1 + n,  n1 = n + 1,  done = x[0] > 90
// x[0] < 0 is an error of the whole run.
inline ModelInfo FakeCellInfo() {
  ModelInfo info;
  info.platform = "fake";
  TensorSpec scale = FakeSpec("scale", DType::kFloat32, Shape{-1});
  scale.optional = true;
  info.signatures = {{.name = "serving_default",
                      .method_name = "",
                      .inputs = {FakeSpec("h", DType::kFloat32, Shape{-1, 2}),
                                 FakeSpec("n", DType::kInt64, Shape{-1}), scale,
                                 FakeSpec("x", DType::kFloat32, Shape{-1, 2})},
                      .outputs = {FakeSpec("done", DType::kBool, Shape{-1, 1}),
                                  FakeSpec("h1", DType::kFloat32, Shape{-1, 2}),
                                  FakeSpec("n1", DType::kInt64, Shape{-1}),
                                  FakeSpec("y", DType::kFloat32, Shape{-1, 2})}}};
  info.traits.answers_in_run = true;
  return info;
}

inline CellSettings FakeCellSettings() {
  return {.signature = "",
          .inputs = {"x"},
          .states = {{"h", "h1"}, {"n", "n1"}},
          .stop = "done",
          .rows_max = 64};
}

inline const Tensor* InputOf(const InferRequest& request, std::string_view name) {
  for (const NamedTensor& input : request.inputs)
    if (input.name == name) return &input.tensor;
  return nullptr;
}

inline InferResponse RunFakeCell(const InferRequest& request) {
  const Tensor& x = *InputOf(request, "x");
  const Tensor& h = *InputOf(request, "h");
  const Tensor& n = *InputOf(request, "n");
  const Tensor* const scale = InputOf(request, "scale");
  const int64_t rows = x.shape().dim(0);
  Tensor done = *Tensor::Allocate(DType::kBool, Shape{rows, 1});
  Tensor h1 = *Tensor::Allocate(DType::kFloat32, Shape{rows, 2});
  Tensor n1 = *Tensor::Allocate(DType::kInt64, Shape{rows});
  Tensor y = *Tensor::Allocate(DType::kFloat32, Shape{rows, 2});
  InferResponse response;
  for (size_t i = 0; i < static_cast<size_t>(rows); ++i) {
    if (x.as<float>()[2 * i] < 0) response.status = absl::InvalidArgumentError("a negative x");
    done.mutable_as<bool>()[i] = x.as<float>()[2 * i] > 90;
    n1.mutable_as<int64_t>()[i] = n.as<int64_t>()[i] + 1;
    for (size_t j = 2 * i; j < 2 * i + 2; ++j) {
      h1.mutable_as<float>()[j] = h.as<float>()[j] / 2 + x.as<float>()[j];
      y.mutable_as<float>()[j] =
          (scale == nullptr ? 1 : scale->as<float>()[i]) * h1.as<float>()[j] +
          static_cast<float>(n.as<int64_t>()[i]);
    }
  }
  if (response.status.ok()) response.outputs = {{"done", done}, {"h1", h1}, {"n1", n1}, {"y", y}};
  return response;
}

}  // namespace penstock::cells
