// SPDX-License-Identifier: Apache-2.0
#include "infer/start_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "infer/model_fake.h"

namespace penstock {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// A model whose signatures a, b and c have the input x and the output y.
ModelInfo ThreeSignatures() {
  ModelInfo info;
  info.platform = "fake";
  for (const char* const name : {"a", "b", "c"}) {
    Signature& signature = info.signatures.emplace_back();
    signature.name = name;
    signature.inputs = {FakeInput("x", DType::kFloat32)};
    signature.outputs = {FakeInput("y", DType::kFloat32), FakeInput("z", DType::kFloat32)};
  }
  return info;
}

class StartRunTest : public testing::Test {
 protected:
  StartRunTest() {
    request_.signature_name = "a";
    request_.inputs.push_back({"x", *Tensor::Allocate(DType::kFloat32, {})});
    request_.further_signatures = {{.name = "b"}, {.name = "c", .output_filter = {"y"}}};
  }
  // Runs the request; `run` plays the model.
  void Run(FakeModel::RunFunction run) {
    model_.emplace(
        info_, [this, run = std::move(run)](const InferRequest& request, ResponseCallback done) {
          asked_.emplace_back(request.signature_name);
          run(request, std::move(done));
        });
    ASSERT_EQ(CheckRequest(info_, request_), OkStatus());
    StartRun(*model_, request_, [this](InferResponse part) { parts_.push_back(std::move(part)); });
  }
  // Answers with one output that is called as the signature.
  static void Answer(const InferRequest& request, ResponseCallback& done, bool is_last = true) {
    InferResponse part;
    part.outputs.push_back({request.signature_name, request.inputs[0].tensor});
    part.is_last = is_last;
    done(std::move(part));
  }
  // The outputs of part `index`, as "b1": the name and the position of the signature.
  std::vector<std::string> Outputs(size_t index) const {
    std::vector<std::string> outputs;
    for (const NamedTensor& output : parts_.at(index).outputs) {
      outputs.push_back(std::string(output.name) + std::to_string(output.signature));
    }
    return outputs;
  }

  ModelInfo info_ = ThreeSignatures();
  InferRequest request_;
  std::optional<FakeModel> model_;
  std::vector<std::string> asked_;
  std::vector<InferResponse> parts_;
};

TEST_F(StartRunTest, AModelOfSeveralSignaturesRunsOnce) {
  info_.traits.several_signatures = true;
  Run([](const InferRequest& request, ResponseCallback done) {
    EXPECT_EQ(request.further_signatures.size(), 2U);
    Answer(request, done);
  });
  EXPECT_THAT(asked_, ElementsAre("a"));
  EXPECT_EQ(parts_.size(), 1U);
}

TEST_F(StartRunTest, AnyOtherModelRunsOnceForEachAndTheAnswersAreJoined) {
  Run([](const InferRequest& request, ResponseCallback done) {
    EXPECT_TRUE(request.further_signatures.empty());
    EXPECT_EQ(request.output_filter.size(), request.signature_name == "c" ? 1U : 0U);
    Answer(request, done);
  });
  EXPECT_THAT(asked_, ElementsAre("a", "b", "c"));
  ASSERT_EQ(parts_.size(), 1U);
  EXPECT_TRUE(parts_[0].is_last);
  EXPECT_THAT(Outputs(0), ElementsAre("a0", "b1", "c2"));
}

TEST_F(StartRunTest, AnswersThatComeLater) {
  const InferRequest* running = nullptr;
  ResponseCallback waiting;
  Run([&](const InferRequest& request, ResponseCallback done) {
    running = &request;
    waiting = std::move(done);
  });
  for (const size_t runs : {1, 2, 3}) {
    EXPECT_EQ(asked_.size(), runs);
    EXPECT_TRUE(parts_.empty());
    ResponseCallback done = std::move(waiting);
    Answer(*running, done);
  }
  EXPECT_THAT(Outputs(0), ElementsAre("a0", "b1", "c2"));
}

TEST_F(StartRunTest, PartsPassAsTheyCome) {
  Run([](const InferRequest& request, ResponseCallback done) {
    if (request.signature_name == "b") Answer(request, done, /*is_last=*/false);
    Answer(request, done);
  });
  ASSERT_EQ(parts_.size(), 2U);
  EXPECT_FALSE(parts_[0].is_last);
  EXPECT_THAT(Outputs(0), ElementsAre("b1"));
  EXPECT_THAT(Outputs(1), ElementsAre("a0", "b1", "c2"));
}

TEST_F(StartRunTest, TheFirstErrorEndsIt) {
  Run([](const InferRequest& request, ResponseCallback done) {
    if (request.signature_name == "b") return AnswerError(done, absl::InternalError("burst"));
    Answer(request, done);
  });
  EXPECT_THAT(asked_, ElementsAre("a", "b"));
  ASSERT_EQ(parts_.size(), 1U);
  EXPECT_EQ(parts_[0].status, absl::InternalError("burst"));
  EXPECT_TRUE(parts_[0].outputs.empty());
}

TEST_F(StartRunTest, SignaturesThatDoNotGoTogetherAreRefused) {
  const auto refusal = [&](const FurtherSignature& further) {
    request_.further_signatures = {further};
    return CheckRequest(info_, request_);
  };
  EXPECT_EQ(refusal({.name = "d"}).code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(refusal({.name = "a"}),
            absl::InvalidArgumentError("the signature \"a\" is asked for twice"));
  EXPECT_EQ(refusal({.name = "b", .output_filter = {"nothing"}}).code(),
            StatusCode::kInvalidArgument);
  info_.signatures[1].inputs[0].dtype = DType::kInt32;
  EXPECT_THAT(std::string(MessageOf(refusal({.name = "b"}))),
              HasSubstr("Expects input \"x\" to be int32 but float is provided"));
  info_.signatures[1].inputs[0].name = "w";
  EXPECT_THAT(std::string(MessageOf(refusal({.name = "b"}))),
              HasSubstr("the signatures \"a\" and \"b\" have different inputs, {x} and {w}, so one "
                        "request cannot ask for both"));
  info_.traits.any_signature = true;
  EXPECT_EQ(refusal({.name = "b"}).code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace penstock
