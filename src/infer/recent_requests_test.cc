// SPDX-License-Identifier: Apache-2.0
#include "infer/recent_requests.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "infer/model_fake.h"

namespace penstock {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

Tensor Floats(std::vector<float> values) {
  Tensor tensor = *Tensor::Allocate(DType::kFloat32, Shape{static_cast<int64_t>(values.size())});
  std::ranges::copy(values, tensor.mutable_as<float>().begin());
  return tensor;
}

InferRequest RequestOf(std::string_view signature, std::vector<float> values) {
  InferRequest request;
  request.signature_name = signature;
  request.inputs.push_back({"x", Floats(std::move(values))});
  return request;
}

class RecentRequestsTest : public testing::Test {
 protected:
  static constexpr uint64_t kTotal = 1 << 20;

  RecentRequests& Make(const RecentRequestsOptions& options) {
    recent_ = std::make_shared<RecentRequests>(options, total_);
    return *recent_;
  }
  // Watches the request and answers it.
  void Answer(const InferRequest& request, Status status = OkStatus()) {
    int answers = 0;
    ResponseCallback done = recent_->Watch(request, [&answers](InferResponse&&) { ++answers; });
    done({.status = std::move(status), .outputs = {}});
    EXPECT_EQ(answers, 1);
  }
  std::vector<std::string> Signatures() const {
    std::vector<std::string> names;
    for (const auto& kept : recent_->Kept()) names.emplace_back(kept->request().signature_name);
    return names;
  }

  std::shared_ptr<Allowance> total_ = std::make_shared<Allowance>(kTotal);
  std::shared_ptr<RecentRequests> recent_;
};

TEST_F(RecentRequestsTest, ACopyHasMemoryOfItsOwn) {
  Make({});
  {
    std::string names = "sig|x|y|further|z";
    const std::string_view view = names;
    std::string text = "some text that the message owns";
    Tensor strings = *Tensor::Allocate(DType::kString, Shape{2});
    strings.mutable_as<StringElement>()[1] = {text.data(), text.size()};
    InferRequest request;
    request.signature_name = view.substr(0, 3);
    request.inputs.push_back({view.substr(4, 1), std::move(strings)});
    request.output_filter.push_back(view.substr(6, 1));
    request.further_signatures.push_back({view.substr(8, 7), {view.substr(16, 1)}});
    request.options.emplace_back("priority", "7");
    Answer(request);
    names.assign(names.size(), '?');
    text.assign(text.size(), '?');
  }
  ASSERT_EQ(recent_->Kept().size(), 1u);
  const auto kept = recent_->Kept()[0];
  const InferRequest& request = kept->request();
  EXPECT_EQ(request.signature_name, "sig");
  EXPECT_EQ(request.inputs[0].name, "x");
  EXPECT_EQ(request.inputs[0].tensor.strings()[0].view(), "");
  EXPECT_EQ(request.inputs[0].tensor.strings()[1].view(), "some text that the message owns");
  EXPECT_THAT(request.output_filter, ElementsAre("y"));
  EXPECT_EQ(request.further_signatures[0].name, "further");
  EXPECT_THAT(request.further_signatures[0].output_filter, ElementsAre("z"));
  EXPECT_THAT(request.options, ElementsAre(std::pair("priority", "7")));
}

TEST_F(RecentRequestsTest, TheLastFewFormsAreKept) {
  Make({.requests_max = 3});
  for (const char* signature : {"a", "b", "c", "a", "d"}) Answer(RequestOf(signature, {1}));
  EXPECT_THAT(Signatures(), ElementsAre("d", "a", "c"));
  // Another shape is another form; other values are not.
  Answer(RequestOf("a", {1, 2}));
  Answer(RequestOf("a", {3, 4}));
  EXPECT_THAT(Signatures(), ElementsAre("a", "d", "a"));
  EXPECT_EQ(recent_->Kept()[0]->request().inputs[0].tensor.as<float>()[0], 1);
}

TEST_F(RecentRequestsTest, RequestsThatFailAreNotKept) {
  Make({});
  Answer(RequestOf("a", {1}), absl::InternalError("no"));
  EXPECT_THAT(Signatures(), IsEmpty());
  EXPECT_EQ(total_->left(), kTotal);
  EXPECT_TRUE(recent_->IsDue());  // the first good one is still wanted
  Answer(RequestOf("a", {1}));
  EXPECT_THAT(Signatures(), ElementsAre("a"));
}

TEST_F(RecentRequestsTest, OnlyTheLastPartDecides) {
  Make({});
  ResponseCallback done = recent_->Watch(RequestOf("a", {1}), [](InferResponse&&) {});
  done({.status = OkStatus(), .outputs = {}, .is_last = false});
  EXPECT_THAT(Signatures(), IsEmpty());
  done({.status = OkStatus(), .outputs = {}});
  EXPECT_THAT(Signatures(), ElementsAre("a"));
}

TEST_F(RecentRequestsTest, BytesOfAModelAreLimited) {
  Make({.requests_max = 10, .bytes_max = 10'000});
  Answer(RequestOf("large", std::vector<float>(2'500)));
  EXPECT_THAT(Signatures(), IsEmpty());
  for (const char* signature : {"a", "b", "c"})
    Answer(RequestOf(signature, std::vector<float>(900)));
  EXPECT_THAT(Signatures(), ElementsAre("c", "b"));
}

TEST_F(RecentRequestsTest, BytesOfAllModelsAreLimited) {
  Make({.requests_max = 10, .bytes_max = kTotal});
  const std::shared_ptr<RecentRequests> other = recent_;
  Answer(RequestOf("first", std::vector<float>(200'000)));
  Make({.requests_max = 10, .bytes_max = kTotal});
  Answer(RequestOf("second", std::vector<float>(100'000)));
  EXPECT_THAT(Signatures(), IsEmpty());
  Answer(RequestOf("third", {1}));
  EXPECT_THAT(Signatures(), ElementsAre("third"));
}

TEST_F(RecentRequestsTest, MemoryIsGivenBack) {
  Make({.requests_max = 1});
  for (const char* signature : {"a", "b", "c"}) Answer(RequestOf(signature, {1}));
  EXPECT_LT(total_->left(), kTotal);
  recent_.reset();
  EXPECT_EQ(total_->left(), kTotal);
}

TEST_F(RecentRequestsTest, AfterAClearOnlyLaterRequestsAreKept) {
  Make({});
  Answer(RequestOf("a", {1}));
  ResponseCallback done = recent_->Watch(RequestOf("b", {1}), [](InferResponse&&) {});
  recent_->Clear();
  done({.status = OkStatus(), .outputs = {}});
  EXPECT_THAT(Signatures(), IsEmpty());
  Answer(RequestOf("c", {1}));
  EXPECT_THAT(Signatures(), ElementsAre("c"));
}

TEST_F(RecentRequestsTest, WithoutRoomNoneIsKept) {
  Make({.requests_max = 0});
  Answer(RequestOf("a", {1}));
  EXPECT_THAT(Signatures(), IsEmpty());
}

TEST_F(RecentRequestsTest, OnceOneIsKeptSamplesAreLookedAt) {
  Make({});
  EXPECT_TRUE(recent_->IsDue());
  Answer(RequestOf("a", {1}));
  int due = 0;
  for (int i = 0; i < 64'000; ++i) due += recent_->IsDue();
  EXPECT_GT(due, 500);
  EXPECT_LT(due, 2000);
}

TEST_F(RecentRequestsTest, AClientThatAsksModelsInTurnHidesNone) {
  Make({});
  EXPECT_TRUE(recent_->IsDue());
  Answer(RequestOf("a", {1}));
  // Each second request is for this model, and the intervals of all models are the thread's.
  int due[2] = {0, 0};
  for (int i = 0; i < 64'000; ++i) due[i % 2] += recent_->IsDue();
  EXPECT_GT(due[0], 200);
  EXPECT_GT(due[1], 200);
}

}  // namespace
}  // namespace penstock
