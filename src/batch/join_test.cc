// SPDX-License-Identifier: Apache-2.0
#include "batch/join.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "infer/model_fake.h"

namespace penstock::batch {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Signature TwoInputs() {
  return {.name = "s",
          .method_name = "",
          .inputs = {FakeSpec("text", DType::kString, {-1}),
                     FakeSpec("x", DType::kFloat32, {-1, -1, 2})},
          .outputs = {FakeSpec("y", DType::kFloat32, {-1, -1, 2}),
                      FakeSpec("z", DType::kString, {-1})}};
}

Tensor Floats(Shape shape, float first = 0) {
  Tensor tensor = *Tensor::Allocate(DType::kFloat32, std::move(shape));
  for (float& x : tensor.mutable_as<float>()) x = first++;
  return tensor;
}

Tensor Strings(const std::vector<std::string>& texts) {
  Tensor tensor = *Tensor::Allocate(DType::kString, {static_cast<int64_t>(texts.size())});
  std::string all;
  for (const std::string& text : texts) all += text;
  BufferRef characters = CopyToBuffer(all);
  const char* place = reinterpret_cast<const char*>(characters->data());
  for (size_t i = 0; i < texts.size(); ++i) {
    tensor.mutable_as<StringElement>()[i] = {place, texts[i].size()};
    place += texts[i].size();
  }
  tensor.set_string_owner(std::move(characters));
  return tensor;
}

std::vector<std::string> Texts(const Tensor& tensor) {
  std::vector<std::string> texts;
  for (const StringElement& each : tensor.strings()) texts.emplace_back(each.view());
  return texts;
}

std::vector<float> Values(const Tensor& tensor) {
  return {tensor.as<float>().begin(), tensor.as<float>().end()};
}

InferRequest Request(const std::vector<std::string>& texts, Shape shape, float first = 0) {
  InferRequest request;
  request.inputs.push_back({"x", Floats(std::move(shape), first)});
  request.inputs.push_back({"text", Strings(texts)});
  return request;
}

TEST(JoinTest, RowsOfARequest) {
  const Signature signature = TwoInputs();
  FlowControl flow;
  const std::pair<std::function<void(InferRequest&)>, int64_t> cases[] = {
      {[](InferRequest&) {}, 2},
      {[](InferRequest& r) { r.further_signatures.push_back({"t"}); }, 0},
      {[&](InferRequest& r) { r.flow = &flow; }, 0},
      {[](InferRequest& r) { r.inputs.clear(); }, 0},
      {[](InferRequest& r) { r.inputs[0].name = "unknown"; }, 0},
      {[](InferRequest& r) { r.inputs[0].tensor = Floats({}); }, 0},
      {[](InferRequest& r) {
         r.inputs[0].tensor = Floats({3, 1, 2});
       },
       0},  // two texts
      {[](InferRequest& r) {
         r.inputs[0].tensor = Floats({2, 1, 3});
       },
       0},  // not promised
      {[](InferRequest& r) {
         r.inputs[0].tensor = Floats({2, 2});
       },
       0},  // not promised
      {[](InferRequest& r) {
         r.inputs[0].tensor = Floats({2, 7, 2});
       },
       2},  // of any size
      {[](InferRequest& r) {
         r = Request({}, {0, 1, 2});
       },
       0},
      {[](InferRequest& r) { r.inputs.erase(r.inputs.begin()); }, 2},
  };
  for (const auto& [change, rows] : cases) {
    InferRequest request = Request({"a", "b"}, {2, 1, 2});
    change(request);
    EXPECT_EQ(RowsOf(signature, request), rows) << &change - &cases[0].first;
  }
}

TEST(JoinTest, RequestsThatDifferRunApart) {
  const InferRequest request = Request({"a", "b"}, {2, 1, 2});
  const std::pair<std::function<void(InferRequest&)>, bool> cases[] = {
      {[](InferRequest&) {}, true},
      {[](InferRequest& r) {
         r = Request({"c"}, {1, 1, 2});
       },
       true},
      {[](InferRequest& r) { std::swap(r.inputs[0], r.inputs[1]); }, true},
      {[](InferRequest& r) { r.inputs.pop_back(); }, false},
      {[](InferRequest& r) { r.inputs[0].name = "other"; }, false},
      {[](InferRequest& r) {
         r.inputs[0].tensor = Floats({2, 2, 2});
       },
       false},
      {[](InferRequest& r) {
         r.inputs[0].tensor = Floats({2, 2});
       },
       false},
      {[](InferRequest& r) {
         r.inputs[0].tensor = *Tensor::Allocate(DType::kInt32, {2, 1, 2});
       },
       false},
      {[](InferRequest& r) { r.output_filter.push_back("y"); }, true},
      {[](InferRequest& r) { r.options.emplace_back("key", "value"); }, false},
  };
  for (const auto& [change, may_join] : cases) {
    InferRequest other = Request({"a", "b"}, {2, 1, 2});
    change(other);
    EXPECT_EQ(CanJoin(request, other), may_join) << &change - &cases[0].first;
    EXPECT_EQ(CanJoin(other, request), may_join);
  }
}

TEST(JoinTest, GatherPutsTheRowsOneAfterTheOther) {
  InferRequest a = Request({"a", "b"}, {2, 1, 2}, 0), b = Request({"c"}, {1, 1, 2}, 10);
  std::swap(b.inputs[0], b.inputs[1]);  // the order of names is free
  const InferRequest* const members[] = {&a, &b};
  NamedTensors inputs;
  RequestMemory memory;
  ASSERT_TRUE(GatherInputs(members, /*extra_rows=*/0, memory, inputs).ok());
  a = b = {};  // the batch keeps what it needs
  ASSERT_EQ(inputs.size(), 2U);
  EXPECT_EQ(inputs[0].name, "x");
  EXPECT_EQ(inputs[0].tensor.shape(), (Shape{3, 1, 2}));
  EXPECT_THAT(Values(inputs[0].tensor), ElementsAre(0, 1, 2, 3, 10, 11));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(inputs[0].tensor.data()) % kBufferAlignment, 0U);
  EXPECT_THAT(Texts(inputs[1].tensor), ElementsAre("a", "b", "c"));
}

TEST(JoinTest, ExtraRowsAreAddedAndCutOff) {
  const InferRequest a = Request({"a"}, {1, 1, 2}), b = Request({"b", "c"}, {2, 1, 2}, 10);
  const InferRequest* const members[] = {&a, &b};
  NamedTensors inputs;
  RequestMemory memory;
  ASSERT_TRUE(GatherInputs(members, /*extra_rows=*/2, memory, inputs).ok());
  EXPECT_EQ(inputs[0].tensor.shape(), (Shape{5, 1, 2}));
  EXPECT_THAT(Values(inputs[0].tensor), ElementsAre(0, 1, 10, 11, 12, 13, 10, 11, 10, 11));
  EXPECT_THAT(Texts(inputs[1].tensor), ElementsAre("a", "b", "c", "b", "b"));
  const int64_t rows[] = {1, 2};
  NamedTensors parts[2];
  const NamedTensors outputs = {{"y", inputs[0].tensor}};
  ASSERT_TRUE(ScatterOutputs(TwoInputs(), outputs, rows, /*extra_rows=*/2, parts).ok());
  EXPECT_THAT(Values(parts[1][0].tensor), ElementsAre(10, 11, 12, 13));
}

TEST(JoinTest, RunHasTheOutputsOfAllMembers) {
  InferRequest a, b, all;
  a.output_filter = {"y", "x"};
  b.output_filter = {"z", "y"};
  const InferRequest* members[] = {&a, &b};
  EXPECT_THAT(UnionOfFilters(members), ElementsAre("y", "x", "z"));
  members[0] = &all;
  EXPECT_TRUE(UnionOfFilters(members).empty()) << "all outputs";
}

TEST(JoinTest, EachMemberGetsTheOutputsThatItAsksFor) {
  const NamedTensors outputs = {{"y", Floats({2})}, {"z", Strings({"p", "q"})}};
  const Signature signature = TwoInputs();
  Scatter scatter;
  ASSERT_TRUE(scatter.Start(signature, outputs, 2).ok());
  NamedTensors first, second;
  scatter.Next(1, {"z"}, first);
  ASSERT_EQ(first.size(), 1U);
  EXPECT_EQ(first[0].name, "z");
  EXPECT_THAT(Texts(first[0].tensor), ElementsAre("p"));
  scatter.Next(1, {}, second);
  EXPECT_EQ(second.size(), 2U);
  EXPECT_THAT(Texts(second[1].tensor), ElementsAre("q"));
}

TEST(JoinTest, GatherCountsItsMemory) {
  const InferRequest request = Request({"a"}, {1, 100, 2});
  const InferRequest* const members[] = {&request, &request};
  NamedTensors inputs;
  RequestMemory memory(/*bytes_max=*/1000);
  EXPECT_EQ(GatherInputs(members, /*extra_rows=*/0, memory, inputs).code(),
            StatusCode::kResourceExhausted);
}

TEST(JoinTest, ScatterSharesTheOutputs) {
  const Signature signature = TwoInputs();
  const std::string name = "y";
  const NamedTensors outputs = {{name, Floats({3, 1, 2})}, {"z", Strings({"p", "q", "r"})}};
  const int64_t rows[] = {1, 2};
  NamedTensors parts[2];
  ASSERT_TRUE(ScatterOutputs(signature, outputs, rows, /*extra_rows=*/0, parts).ok());
  EXPECT_THAT(Values(parts[0][0].tensor), ElementsAre(0, 1));
  EXPECT_THAT(Values(parts[1][0].tensor), ElementsAre(2, 3, 4, 5));
  EXPECT_EQ(parts[1][0].tensor.data(), outputs[0].tensor.data() + 8);
  EXPECT_EQ(parts[0][0].name.data(), signature.outputs[0].name.data());  // lives with the model
  EXPECT_THAT(Texts(parts[1][1].tensor), ElementsAre("q", "r"));
}

TEST(JoinTest, ScatterRefusesOutputsWithoutTheRows) {
  const Signature signature = TwoInputs();
  const int64_t rows[] = {1, 2};
  const std::pair<NamedTensor, std::string_view> cases[] = {
      {{"y", Floats({4, 1, 2})}, "the output 'y' of 3 rows has the shape [4,1,2]"},
      {{"y", Floats({})}, "the output 'y' of 3 rows has the shape []"},
      {{"w", Floats({3})}, "the signature has no output 'w'"},
  };
  for (const auto& [output, message] : cases) {
    NamedTensors parts[2];
    const Status status = ScatterOutputs(signature, {{"z", Strings({"p", "q", "r"})}, output}, rows,
                                         /*extra_rows=*/0, parts);
    EXPECT_EQ(status.code(), StatusCode::kInternal);
    EXPECT_THAT(status.message(), HasSubstr(message));
    EXPECT_TRUE(parts[0].empty());
  }
}

// Any mixture of requests: each gets exactly its own rows back.
TEST(JoinTest, RandomRequestsGetTheirOwnRows) {
  const Signature signature = TwoInputs();
  std::mt19937 random(1);
  const auto below = [&](uint32_t n) { return static_cast<int64_t>(random() % n); };
  for (int round = 0; round < 300; ++round) {
    std::vector<InferRequest> requests;
    std::vector<const InferRequest*> members;
    std::vector<int64_t> rows;
    const int64_t inner = below(4);  // also rows without elements
    for (int64_t count = 1 + below(9); count > 0; --count) {
      std::vector<std::string> texts(static_cast<size_t>(1 + below(5)));
      for (std::string& text : texts) text.assign(static_cast<size_t>(below(20)), 'a');
      rows.push_back(static_cast<int64_t>(texts.size()));
      requests.push_back(Request(texts, {rows.back(), inner, 2}, static_cast<float>(below(1000))));
      if (below(2) == 0) std::swap(requests.back().inputs[0], requests.back().inputs[1]);
    }
    for (const InferRequest& request : requests) members.push_back(&request);
    NamedTensors inputs;
    RequestMemory memory;
    ASSERT_TRUE(GatherInputs(members, /*extra_rows=*/0, memory, inputs).ok());
    std::ranges::sort(inputs, {}, &NamedTensor::name);
    // A model that returns its inputs.
    NamedTensors outputs = {{"y", inputs[1].tensor}, {"z", inputs[0].tensor}};
    std::vector<NamedTensors> parts(rows.size());
    ASSERT_TRUE(ScatterOutputs(signature, outputs, rows, /*extra_rows=*/0, parts).ok());
    for (size_t i = 0; i < rows.size(); ++i) {
      for (const NamedTensor& input : requests[i].inputs) {
        const Tensor& output = parts[i][input.name == "x" ? 0 : 1].tensor;
        ASSERT_EQ(output.shape(), input.tensor.shape());
        if (input.name == "x") {
          ASSERT_EQ(Values(output), Values(input.tensor));
        } else {
          ASSERT_EQ(Texts(output), Texts(input.tensor));
        }
      }
    }
  }
}

}  // namespace
}  // namespace penstock::batch
