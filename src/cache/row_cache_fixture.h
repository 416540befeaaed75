// SPDX-License-Identifier: Apache-2.0
// A model with a row cache behind an engine, for the tests of this folder.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "batch/model_batcher.h"
#include "cache/row_cache.h"
#include "infer/model_fake.h"

namespace penstock::cache {

// What one request has got. One thread at a time.
struct Answered {
  InferRequest request;
  CancelToken cancel;
  int answers = 0;
  Status status;
  NamedTensors outputs;
  CacheOutcome cache = CacheOutcome::kNone;

  void Set(InferResponse&& response) {
    ++answers;
    status = std::move(response.status);
    outputs = std::move(response.outputs);
    cache = response.cache;
  }
  const Tensor* Find(std::string_view name) const {
    const auto found = std::ranges::find(outputs, name, &NamedTensor::name);
    return found == outputs.end() ? nullptr : &found->tensor;
  }
  std::vector<float> Floats(std::string_view name) const {
    const Tensor* const tensor = Find(name);
    if (tensor == nullptr) return {};
    return {tensor->as<float>().begin(), tensor->as<float>().end()};
  }
};

// Serves the model "m" with the signatures "serving_default" and "other": inputs x (floats, any
// width) and s (strings, optional), outputs a, b, c. A row has a = [2 * the sum of x], b = the text
// of x and s, c = x and one more. One thread at a time, but the models may run on several.
class RowCacheTest : public ::testing::Test {
 protected:
  static ModelInfo Info() {
    ModelInfo info;
    info.platform = "fake";
    TensorSpec s = FakeSpec("s", DType::kString, {-1});
    s.optional = true;
    const std::vector<TensorSpec> inputs = {s, FakeSpec("x", DType::kFloat32, {-1, -1})};
    const std::vector<TensorSpec> outputs = {FakeSpec("a", DType::kFloat32, {-1, 1}),
                                             FakeSpec("b", DType::kString, {-1}),
                                             FakeSpec("c", DType::kFloat64, {-1, -1})};
    for (const char* name : {"other", "serving_default"})
      info.signatures.push_back(
          {.name = name, .method_name = "", .inputs = inputs, .outputs = outputs});
    info.traits.answers_in_run = true;
    return info;
  }

  static Tensor Rows(const std::vector<std::vector<float>>& rows) {
    const size_t width = rows.empty() ? 0 : rows.front().size();
    Tensor x = *Tensor::Allocate(DType::kFloat32,
                                 {static_cast<int64_t>(rows.size()), static_cast<int64_t>(width)});
    float* place = x.mutable_as<float>().data();
    for (const auto& row : rows)
      for (const float value : row) *place++ = value;
    return x;
  }
  static Tensor Texts(const std::vector<std::string>& texts) {
    Tensor tensor = *Tensor::Allocate(DType::kString, {static_cast<int64_t>(texts.size())});
    std::string all;
    for (const std::string& text : texts) all += text;
    const BufferRef owner = CopyToBuffer(all);
    const char* place = reinterpret_cast<const char*>(owner->data());
    for (size_t i = 0; i < texts.size(); ++i) {
      tensor.mutable_as<StringElement>()[i] = {place, texts[i].size()};
      place += texts[i].size();
    }
    tensor.set_string_owner(owner);
    return tensor;
  }
  static InferRequest Request(const std::vector<std::vector<float>>& rows,
                              OutputFilter filter = {}) {
    InferRequest request;
    request.inputs.push_back({"x", Rows(rows)});
    request.output_filter = std::move(filter);
    return request;
  }

  // What the model computes.
  static InferResponse Compute(const InferRequest& request) {
    const Tensor* x = nullptr;
    const Tensor* s = nullptr;
    for (const NamedTensor& input : request.inputs) (input.name == "x" ? x : s) = &input.tensor;
    const auto rows = static_cast<size_t>(x->shape().dim(0));
    const auto width = static_cast<size_t>(x->shape().dim(1));
    Tensor a = *Tensor::Allocate(DType::kFloat32, {x->shape().dim(0), 1});
    Tensor c = *Tensor::Allocate(DType::kFloat64, x->shape());
    std::vector<std::string> texts;
    for (size_t row = 0; row < rows; ++row) {
      float sum = 0;
      std::string text = request.signature_name == "other" ? "other" : "";
      for (const auto& [name, value] : request.options) text += name + "=" + value + ";";
      for (size_t i = 0; i < width; ++i) {
        const float value = x->as<float>()[row * width + i];
        sum += value;
        text += std::to_string(value) + ",";
        c.mutable_as<double>()[row * width + i] = value + 1;
      }
      if (s != nullptr) text += s->strings()[row].view();
      texts.push_back(text);
      a.mutable_as<float>()[row] = 2 * sum;
    }
    InferResponse response;
    const auto wants = [&](std::string_view name) {
      return request.output_filter.empty() ||
             std::ranges::find(request.output_filter, name) != request.output_filter.end();
    };
    if (wants("a")) response.outputs.push_back({"a", std::move(a)});
    if (wants("b")) response.outputs.push_back({"b", Texts(texts)});
    if (wants("c")) response.outputs.push_back({"c", std::move(c)});
    return response;
  }

  void Serve(CacheSettings settings = {}, bool batches = true) {
    const auto run = [this](const InferRequest& request, ResponseCallback done) {
      seen_.push_back(request.inputs.front().tensor.shape().dim(0));
      run_(request, std::move(done));
    };
    ASSERT_TRUE(ServeFakeModel(manager_, metrics_, "m", [&] {
                  return std::make_unique<FakeModel>(info_, run);
                }).ok());
    handle_.emplace(*engine_.Find({.name = "m", .version = {}, .label = {}}));
    auto& served = static_cast<ServedModel&>(Served(*manager_.GetHandle("m", std::nullopt)));
    if (batches) {
      auto batcher = std::make_unique<batch::ModelBatcher>(
          served.info(), batch::BatcherOptions{{"m", {1}}, {.rows_max = 1024}}, metrics_);
      for (uint32_t i = 0; i < info_.signatures.size(); ++i) batcher->TurnOn(i);
      served.SetBatcher(std::move(batcher), /*runs=*/1);
    }
    settings.enabled = true;
    cache_ = std::make_shared<VersionCache>(
        served.info(), VersionCacheOptions{{"m", {1}}, "m 1", settings},
        disk_ == nullptr ? RandomMacKey() : disk_->mac_key(), disk_, metrics_);
    for (uint32_t i = 0; i < info_.signatures.size(); ++i) cache_->TurnOn(i);
    served.SetCache(std::make_unique<RowCache>(cache_));
  }
  // As an event loop, for a model that is not cheap: what must run waits for RunQueued.
  Answered& Send(InferRequest request) {
    Answered& answered = answers_.emplace_back();
    answered.request = std::move(request);
    answered.request.cancel = &answered.cancel;
    engine_.Run(*handle_, answered.request, /*may_run_inline=*/true,
                [&answered](InferResponse response) { answered.Set(std::move(response)); });
    return answered;
  }
  // Sends a request, and runs what waits.
  Answered& Ask(InferRequest request) {
    Answered& answered = Send(std::move(request));
    scheduler_.RunQueued();
    EXPECT_EQ(answered.answers, 1);
    return answered;
  }

  FakeClock clock_;
  MetricsRegistry metrics_;
  schedule::Scheduler scheduler_{{.threads = schedule::PoolThreads::kNone}, clock_};
  core::Manager manager_{{}};
  Counter& refusals_ = metrics_.AddCounter("refusals", "", {});
  RequestBudget budget_ = std::make_shared<RequestAllowance>(uint64_t{1} << 30, refusals_);
  Engine engine_{{.request_budget = budget_}, manager_, scheduler_, clock_};
  ModelInfo info_ = Info();
  std::function<void(const InferRequest&, ResponseCallback)> run_ =
      [](const InferRequest& request, ResponseCallback done) { done(Compute(request)); };
  std::vector<int64_t> seen_;  // the rows of each run
  std::optional<ModelHandle> handle_;
  std::shared_ptr<DiskStore> disk_;  // set it before Serve
  std::shared_ptr<VersionCache> cache_;
  std::deque<Answered> answers_;
};

}  // namespace penstock::cache
