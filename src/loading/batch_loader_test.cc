// SPDX-License-Identifier: Apache-2.0
#include "loading/batch_loader.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "infer/model_fake.h"

namespace penstock {
namespace {

using batch::BatchMode;

// Signatures: "rows" returns its rows, "sum" adds up all of them, "scalar" has no rows.
class BatchLoaderTest : public ::testing::Test {
 protected:
  BatchLoaderTest() {
    info_.platform = "fake";
    for (const char* name : {"rows", "scalar", "sum"}) {
      TensorSpec x;
      x.name = "x";
      x.dtype = DType::kFloat32;
      if (name != std::string_view("scalar")) x.shape = Shape{-1};
      TensorSpec y = x;
      y.name = "y";
      info_.signatures.push_back({.name = name, .method_name = "", .inputs = {x}, .outputs = {y}});
    }
  }

  static void Run(const InferRequest& request, ResponseCallback done) {
    const Tensor& x = request.inputs.front().tensor;
    Tensor y = *Tensor::Allocate(DType::kFloat32, x.shape());
    float sum = 0;
    for (const float each : x.as<float>()) sum += each;
    for (size_t i = 0; i < x.as<float>().size(); ++i)
      y.mutable_as<float>()[i] = request.signature_name == "sum" ? sum : x.as<float>()[i];
    InferResponse response;
    response.outputs.push_back({"y", std::move(y)});
    done(std::move(response));
  }

  // Which of the signatures are batched, as the first letters of their names.
  std::string Batched(BatchMode mode) {
    BatchLoader loader({.id = {"m", {1}}, .settings = {.mode = mode}, .runs = 1},
                       std::make_unique<FakeModelLoader>(
                           core::ServableId{"m", {1}},
                           [this] { return std::make_unique<FakeModel>(info_, Run); }, metrics_),
                       metrics_);
    StatusOr<std::unique_ptr<core::Servable>> servable = loader.Load();
    EXPECT_TRUE(servable.ok()) << servable.status();
    const Batcher* const batcher = static_cast<ServedModel&>(**servable).batcher();
    std::string batched;
    if (batcher == nullptr) return "none";
    for (const Signature& signature : info_.signatures) {
      InferRequest request;
      request.signature_name = signature.name;
      const Shape shape = signature.name == "scalar" ? Shape{} : Shape{2};
      request.inputs.push_back({"x", *Tensor::Allocate(DType::kFloat32, shape)});
      if (batcher->FormOf(request).rows == 2) batched += signature.name.substr(0, 1);
    }
    return batched;
  }

  MetricsRegistry metrics_;
  ModelInfo info_;
};

TEST_F(BatchLoaderTest, CheckLeavesOutWhatMixesRows) {
  EXPECT_EQ(Batched(BatchMode::kChecked), "r");
}

TEST_F(BatchLoaderTest, OperatorMayKnowBetter) { EXPECT_EQ(Batched(BatchMode::kForced), "rs"); }

TEST_F(BatchLoaderTest, ModelWithStateIsBatchedOnlyIfTheOperatorSaysSo) {
  info_.traits.has_state = true;
  EXPECT_EQ(Batched(BatchMode::kChecked), "none");
  EXPECT_EQ(Batched(BatchMode::kForced), "rs");
}

TEST_F(BatchLoaderTest, FolderOfTheVersionMayHaveTheParameters) {
  const std::filesystem::path folder =
      std::filesystem::path(::testing::TempDir()) / "penstock_batch_loader_test";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  const auto load = [&] {
    BatchLoader loader({.id = {"m", {1}},
                        .settings = {.mode = BatchMode::kChecked},
                        .parameters_folder = folder.string()},
                       std::make_unique<FakeModelLoader>(
                           core::ServableId{"m", {1}},
                           [this] { return std::make_unique<FakeModel>(info_, Run); }, metrics_),
                       metrics_);
    return loader.Load();
  };
  auto servable = load();
  ASSERT_TRUE(servable.ok()) << servable.status();
  EXPECT_EQ(static_cast<ServedModel&>(**servable).batcher(), nullptr) << "there is no file";
  std::ofstream(folder / "batching_params.pbtxt") << "max_batch_size { value: 3 }";
  servable = load();
  ASSERT_TRUE(servable.ok()) << servable.status();
  ASSERT_NE(static_cast<ServedModel&>(**servable).batcher(), nullptr);
  EXPECT_EQ(static_cast<ServedModel&>(**servable).batcher()->RowsMax(0), 3);
  std::ofstream(folder / "batching_params.pbtxt") << "max_batch_size { value: 0 }";
  EXPECT_EQ(load().status().code(), StatusCode::kInvalidArgument);
  std::filesystem::remove_all(folder);
}

TEST_F(BatchLoaderTest, CancelEndsTheCheck) {
  BatchLoader loader({.id = {"m", {1}}, .settings = {.mode = BatchMode::kChecked}},
                     std::make_unique<FakeModelLoader>(
                         core::ServableId{"m", {1}},
                         [this] { return std::make_unique<FakeModel>(info_, Run); }, metrics_),
                     metrics_);
  loader.Cancel();
  EXPECT_EQ(loader.Load().status().code(), StatusCode::kCancelled);
}

}  // namespace
}  // namespace penstock
