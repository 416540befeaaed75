// SPDX-License-Identifier: Apache-2.0
// A server without a network, for tests that run ensembles.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ensemble/ensemble_loader.h"
#include "infer/engine.h"
#include "infer/model_fake.h"

namespace penstock::ensemble {

inline Tensor MakeVector(const std::vector<int64_t>& values) {
  Tensor tensor = *Tensor::Allocate(DType::kInt64, {static_cast<int64_t>(values.size())});
  std::ranges::copy(values, tensor.mutable_as<int64_t>().begin());
  return tensor;
}

inline std::vector<int64_t> ValuesOf(const Tensor& tensor) {
  return {tensor.as<int64_t>().begin(), tensor.as<int64_t>().end()};
}

// Models and ensembles of vectors of whole numbers. One thread at a time, but for what the engine
// does.
class EnsembleFixture : public testing::Test {
 protected:
  explicit EnsembleFixture(schedule::SchedulerOptions options =
                               {.compute_slots = 4, .threads = schedule::PoolThreads::kNone})
      : scheduler_(options) {}

  // The info of a model of such vectors.
  static ModelInfo VectorInfo(const std::vector<std::string>& inputs,
                              const std::vector<std::string>& outputs) {
    std::vector<TensorSpec> specs;
    for (const std::string& name : inputs) specs.push_back(FakeSpec(name, DType::kInt64, {-1}));
    ModelInfo info = FakeInfo(std::move(specs));
    for (const std::string& name : outputs)
      info.signatures[0].outputs.push_back(FakeSpec(name, DType::kInt64, {-1}));
    return info;
  }

  using RunFunction = FakeModel::RunFunction;
  // Serves this version of the model, and no other one.
  void Serve(const std::string& name, const ModelInfo& info, RunFunction run, int version = 1) {
    ASSERT_TRUE(ServeFakeModel(
                    manager_, metrics_, name,
                    [=] { return std::make_unique<FakeModel>(info, run); },
                    core::VersionNumber{version})
                    .ok());
  }
  // A model that gives each element plus `added`.
  void ServeAdder(const std::string& name, int64_t added, int version = 1) {
    ModelInfo info = VectorInfo({"x"}, {"y"});
    info.traits.answers_in_run = true;
    Serve(
        name, info,
        [added](const InferRequest& request, ResponseCallback done) {
          std::vector<int64_t> values = ValuesOf(request.inputs[0].tensor);
          for (int64_t& value : values) value += added;
          InferResponse response;
          response.outputs.push_back({"y", MakeVector(values)});
          done(std::move(response));
        },
        version);
  }
  // A model whose runs wait in `pending` until the test answers them.
  struct Pending {
    const InferRequest* request;
    ResponseCallback done;
    void Answer(const std::vector<int64_t>& values) {
      InferResponse response;
      response.outputs.push_back({"y", MakeVector(values)});
      done(std::move(response));
    }
  };
  void ServeLate(const std::string& name, std::vector<Pending>& pending) {
    Serve(name, VectorInfo({"x"}, {"y"}),
          [&pending](const InferRequest& request, ResponseCallback done) {
            pending.push_back({&request, std::move(done)});
          });
  }
  static Step MakeStep(const std::string& model, const std::string& from, const std::string& to) {
    return {
        .name = model, .model = {.name = model}, .inputs = {{"x", from}}, .outputs = {{"y", to}}};
  }

  Status ServeGraph(const Graph& graph, const std::string& name = "e") {
    TRY(manager_.SetModel({.name = name}));
    std::vector<core::AspiredVersion> versions;
    versions.push_back({graph.version, std::make_unique<EnsembleLoader>(
                                           core::ServableId{name, graph.version}, graph, manager_,
                                           engine_, metrics_, InlineOptions())});
    manager_.SetAspired(name, std::move(versions));
    manager_.WaitUntilIdle();
    const auto statuses = manager_.VersionStatuses(name);
    return statuses.empty() ? absl::UnknownError("no version") : statuses.front().status;
  }

  // One request to "e". It stays until the next one.
  void Send(const std::vector<std::pair<std::string_view, Tensor>>& inputs) {
    answer_.reset();
    request_.inputs.clear();
    for (const auto& [name, tensor] : inputs) request_.inputs.push_back({name, tensor});
    handle_.emplace(*engine_.Find({.name = "e", .version = {}, .label = {}}));
    engine_.Run(*handle_, request_, /*may_run_inline=*/true, [this](InferResponse&& response) {
      EXPECT_FALSE(answer_.has_value());
      EXPECT_TRUE(response.is_last);
      answer_ = std::move(response);
    });
  }
  void RunQueued() { scheduler_.RunQueued(); }
  std::vector<int64_t> Output(std::string_view name) {
    if (!answer_ || !answer_->status.ok()) {
      ADD_FAILURE() << (answer_ ? answer_->status.ToString() : "no answer");
      return {};
    }
    for (const NamedTensor& output : answer_->outputs) {
      if (output.name == name) return ValuesOf(output.tensor);
    }
    ADD_FAILURE() << "no output " << name;
    return {};
  }
  Status Error() { return answer_ ? answer_->status : absl::UnknownError("no answer"); }

  MetricsRegistry metrics_;
  schedule::Scheduler scheduler_;
  core::Manager manager_{{.load_retry_interval = std::chrono::milliseconds(1)}};
  Engine engine_{{}, manager_, scheduler_};
  std::optional<ModelHandle> handle_;
  CancelToken cancel_;
  InferRequest request_;
  std::optional<InferResponse> answer_;
};

}  // namespace penstock::ensemble
