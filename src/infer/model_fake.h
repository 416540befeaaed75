// SPDX-License-Identifier: Apache-2.0
// A fake model, and helpers to serve it, for tests of code that runs models.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/metrics/metrics.h"
#include "core/loader.h"
#include "core/manager.h"
#include "infer/engine.h"
#include "infer/model.h"
#include "infer/served_model.h"

namespace penstock {

// An input or output of this shape.
inline TensorSpec FakeSpec(std::string name, DType dtype, Shape shape) {
  TensorSpec spec;
  spec.name = std::move(name);
  spec.dtype = dtype;
  spec.shape = std::move(shape);
  return spec;
}

// An input of any shape.
inline TensorSpec FakeInput(std::string name, DType dtype, bool optional = false) {
  TensorSpec spec;
  spec.name = std::move(name);
  spec.dtype = dtype;
  spec.unknown_rank = true;
  spec.optional = optional;
  return spec;
}

// The info of a model with one signature, the default one, with these inputs.
inline ModelInfo FakeInfo(std::vector<TensorSpec> inputs) {
  ModelInfo info;
  info.platform = "fake";
  Signature& signature = info.signatures.emplace_back();
  signature.name = std::string(kDefaultSignatureName);
  signature.inputs = std::move(inputs);
  return info;
}

// The info of a model that takes any inputs.
inline ModelInfo FakeInfoOfAny() {
  ModelInfo info;
  info.platform = "fake";
  info.traits.any_signature = true;
  return info;
}

// A model that runs a function, on the thread that calls Run. The function must give the last part,
// as every model. Thread-safe if that function is.
class FakeModel final : public Model {
 public:
  using RunFunction = std::function<void(const InferRequest&, ResponseCallback)>;

  FakeModel(ModelInfo info, RunFunction run) : info_(std::move(info)), run_(std::move(run)) {}

  const ModelInfo& info() const override { return info_; }
  void Run(const InferRequest& request, ResponseCallback done) override {
    run_(request, std::move(done));
  }

 private:
  const ModelInfo info_;
  const RunFunction run_;
};

// Makes a model by calling a function, once for each load, so that a test can make loads fail. One
// thread at a time.
class FakeModelLoader final : public core::Loader {
 public:
  using MakeFunction = std::function<StatusOr<std::unique_ptr<Model>>()>;

  FakeModelLoader(core::ServableId id, MakeFunction make, MetricsRegistry& metrics)
      : id_(std::move(id)), make_(std::move(make)), metrics_(metrics) {}

  StatusOr<std::unique_ptr<core::Servable>> Load() override {
    ASSIGN_OR_RETURN(std::unique_ptr<Model> model, make_());
    // Tests use a fake clock, so a preemption by the kernel must not change a run time.
    return MakeServedModel(id_, std::move(model), metrics_,
                           {.was_preempted = [] { return false; }});
  }

 private:
  const core::ServableId id_;
  const MakeFunction make_;
  MetricsRegistry& metrics_;
};

// Adds the model `name` with the single version `version`, and waits until it is ready.
//
//   TRY(ServeFakeModel(manager, metrics, "m", [] {
//     return std::make_unique<FakeModel>(FakeInfo({FakeInput("x", DType::kFloat32)}), Echo);
//   }));
inline Status ServeFakeModel(core::Manager& manager, MetricsRegistry& metrics,
                             const std::string& name, FakeModelLoader::MakeFunction make,
                             core::VersionNumber version = {1}) {
  TRY(manager.SetModel({.name = name}));
  std::vector<core::AspiredVersion> versions;
  versions.push_back({version, std::make_unique<FakeModelLoader>(core::ServableId{name, version},
                                                                 std::move(make), metrics)});
  manager.SetAspired(name, std::move(versions));
  manager.WaitUntilIdle();
  return manager.GetHandle(name, version).status();
}

}  // namespace penstock
