// SPDX-License-Identifier: Apache-2.0
// Loads and runs models of a backend, for tests.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backends/host/backend_host.h"
#include "base/os/test_paths.h"
#include "infer/model.h"

namespace penstock {

inline std::string TestModel(const std::string& name) {
  return SourcePath("tests/models/") + name + "/1";
}
inline std::string SampleModel(const std::string& name) {
  return SourcePath("examples/models/") + name + "/1";
}
inline std::string BackendFolder(const std::string& backend) {
  return BuildPath(backend == "linear" ? "custom_backend/backends" : "backends");
}

inline std::unique_ptr<BackendHost> MakeHost(const std::string& backend) {
  BackendHostOptions options;
  options.folder = BackendFolder(backend);
  options.intra_op_threads = 2;
  options.inter_op_threads = 2;
  return std::make_unique<BackendHost>(std::move(options));
}

template <typename T>
Tensor MakeTensor(DType dtype, Shape shape, const std::vector<T>& values) {
  Tensor tensor = *Tensor::Allocate(dtype, std::move(shape));
  for (size_t i = 0; i < values.size(); ++i) tensor.mutable_as<T>()[i] = values[i];
  return tensor;
}
inline Tensor Floats(const std::vector<float>& values) {
  return MakeTensor(DType::kFloat32, {static_cast<int64_t>(values.size())}, values);
}
// The characters must outlive the tensor.
inline Tensor Strings(const std::vector<std::string>& values) {
  std::vector<StringElement> elements;
  for (const std::string& value : values) elements.push_back({value.data(), value.size()});
  return MakeTensor(DType::kString, {static_cast<int64_t>(values.size())}, elements);
}
template <typename T>
std::vector<T> Values(const Tensor& tensor) {
  return {tensor.as<T>().begin(), tensor.as<T>().end()};
}
inline std::vector<std::string> StringValues(const Tensor& tensor) {
  std::vector<std::string> values;
  for (const StringElement& element : tensor.strings()) values.emplace_back(element.view());
  return values;
}

// Runs `request` as the engine does, and waits. A request that the signature refuses does not reach
// the backend. Counts the parts: each run gives exactly one that is the last.
inline InferResponse RunModel(Model& model, const InferRequest& request) {
  const Signature* signature = model.info().FindSignature(request.signature_name);
  if (signature == nullptr) return {absl::FailedPreconditionError("no such signature"), {}, true};
  if (Status status = CheckInputs(*signature, model.info().traits, request); !status.ok()) {
    return {status, {}, true};
  }
  std::promise<InferResponse> promise;
  std::atomic<int> last_parts{0};
  model.Run(request, [&](InferResponse response) {
    if (response.is_last && ++last_parts == 1) promise.set_value(std::move(response));
  });
  InferResponse response = promise.get_future().get();
  EXPECT_EQ(last_parts, 1);
  return response;
}

inline InferResponse RunModel(Model& model, NamedTensors inputs,
                              const std::vector<std::string_view>& filter = {},
                              std::string_view signature = {}) {
  InferRequest request;
  request.signature_name = signature;
  request.inputs = std::move(inputs);
  for (const std::string_view name : filter) request.output_filter.push_back(name);
  return RunModel(model, request);
}

// The output called `name`; fails the test if there is none.
inline Tensor Output(const InferResponse& response, std::string_view name) {
  for (const NamedTensor& output : response.outputs) {
    if (output.name == name) return output.tensor;
  }
  ADD_FAILURE() << "no output " << name << ": " << response.status.ToString();
  return Floats({});
}

inline std::vector<std::string> OutputNames(const InferResponse& response) {
  std::vector<std::string> names;
  for (const NamedTensor& output : response.outputs) names.emplace_back(output.name);
  return names;
}

}  // namespace penstock
