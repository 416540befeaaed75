// SPDX-License-Identifier: Apache-2.0
#include "batch/pad.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "batch/filling_model.h"
#include "batch/join.h"
#include "batch/pad_value.h"
#include "infer/model_fake.h"

namespace penstock::batch {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A model of texts: ids and kinds [rows, n], a mask and lengths, vectors [rows, n, 2, m].
Signature Encoder() {
  Signature signature{.name = "s",
                      .method_name = "",
                      .inputs = {FakeSpec("ids", DType::kInt32, {-1, -1}),
                                 FakeSpec("kinds", DType::kInt32, {-1, -1}),
                                 FakeSpec("length", DType::kInt64, {-1}),
                                 FakeSpec("mask", DType::kFloat32, {-1, -1}),
                                 FakeSpec("vectors", DType::kFloat32, {-1, -1, 2, -1})},
                      .outputs = {FakeSpec("state", DType::kFloat32, {-1, -1, 3}),
                                  FakeSpec("sum", DType::kFloat32, {-1})}};
  signature.inputs[0].dimension_names = {"rows", "n"};
  signature.inputs[1].dimension_names = {"rows", "n"};
  signature.inputs[4].dimension_names = {"rows", "n", "", "m"};
  signature.outputs[0].dimension_names = {"rows", "n", ""};
  return signature;
}

template <typename T>
Tensor Numbers(DType type, Shape shape, T first = 1) {
  Tensor tensor = *Tensor::Allocate(type, std::move(shape));
  for (T& x : tensor.mutable_as<T>()) x = first++;
  return tensor;
}

template <typename T>
std::vector<T> Values(const Tensor& tensor) {
  return {tensor.as<T>().begin(), tensor.as<T>().end()};
}

const Tensor& Of(const NamedTensors& tensors, std::string_view name) {
  return std::ranges::find(tensors, name, &NamedTensor::name)->tensor;
}

InferRequest Ids(Shape shape, int32_t first = 1) {
  InferRequest request;
  request.inputs.push_back({"ids", Numbers<int32_t>(DType::kInt32, std::move(shape), first)});
  return request;
}

PadPlan Plan(const Signature& signature, std::vector<PadRule> rules) {
  StatusOr<PadPlan> plan = PadPlan::Make(signature, {.rules = std::move(rules)});
  EXPECT_TRUE(plan.ok()) << plan.status();
  return *std::move(plan);
}

TEST(PadTest, ShortRowsArePaddedAtTheirEnds) {
  const Signature signature = Encoder();
  const PadPlan plan = Plan(signature, {{.input = "ids", .value = "-1"}});
  const InferRequest a = Ids({2, 1}), b = Ids({1, 3}, 7);
  const InferRequest* const members[] = {&a, &b};
  ASSERT_TRUE(CanJoin(a, b, plan));
  NamedTensors inputs;
  RequestMemory memory;
  ASSERT_TRUE(GatherInputs(members, /*extra_rows=*/1, memory, inputs, plan).ok());
  EXPECT_EQ(inputs[0].tensor.shape(), (Shape{4, 3}));
  EXPECT_THAT(Values<int32_t>(inputs[0].tensor),
              ElementsAre(1, -1, -1, 2, -1, -1, 7, 8, 9, 7, 8, 9));
}

TEST(PadTest, ServerFillsInMaskAndLength) {
  const Signature signature = Encoder();
  const PadPlan plan =
      Plan(signature, {{.input = "ids", .mask_input = "mask", .length_input = "length"}});
  InferRequest a = Ids({1, 2}), b = Ids({2, 3});
  const InferRequest* const members[] = {&b, &a};
  NamedTensors inputs;
  RequestMemory memory;
  ASSERT_TRUE(GatherInputs(members, /*extra_rows=*/1, memory, inputs, plan).ok());
  EXPECT_EQ(Of(inputs, "mask").shape(), (Shape{4, 3}));
  EXPECT_THAT(Values<float>(Of(inputs, "mask")), ElementsAre(1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 0));
  EXPECT_THAT(Values<int64_t>(Of(inputs, "length")), ElementsAre(3, 3, 2, 2));
  EXPECT_TRUE(plan.MustFill(a));
  ASSERT_TRUE(plan.Fill(a).ok());
  EXPECT_THAT(Values<float>(Of(a.inputs, "mask")), ElementsAre(1, 1));
  EXPECT_THAT(Values<int64_t>(Of(a.inputs, "length")), ElementsAre(2));
  EXPECT_FALSE(plan.MustFill(a));
  EXPECT_FALSE(CanJoin(a, b, plan)) << "only one of them has its own mask";
}

TEST(PadTest, MaskOfTheClientIsPaddedWithZeros) {
  const Signature signature = Encoder();
  const PadPlan plan = Plan(signature, {{.input = "ids", .mask_input = "mask"}});
  InferRequest a = Ids({1, 1}), b = Ids({1, 2});
  a.inputs.push_back({"mask", Numbers<float>(DType::kFloat32, {1, 1}, 5)});
  b.inputs.push_back({"mask", Numbers<float>(DType::kFloat32, {1, 2}, 6)});
  const InferRequest* const members[] = {&a, &b};
  ASSERT_TRUE(CanJoin(a, b, plan));
  NamedTensors inputs;
  RequestMemory memory;
  ASSERT_TRUE(GatherInputs(members, /*extra_rows=*/0, memory, inputs, plan).ok());
  ASSERT_EQ(inputs.size(), 2U);
  EXPECT_THAT(Values<float>(Of(inputs, "mask")), ElementsAre(5, 0, 6, 7));
}

TEST(PadTest, TensorFlowServingPadsWithTheFirstElement) {
  const Signature signature = Encoder();
  const PadPlan plan = *PadPlan::Make(signature, {.all_inputs = true});
  const InferRequest a = Ids({2, 1}, 4), b = Ids({1, 2}, 7), empty = Ids({1, 0});
  const InferRequest* const members[] = {&a, &b};
  NamedTensors inputs;
  RequestMemory memory;
  ASSERT_TRUE(GatherInputs(members, /*extra_rows=*/0, memory, inputs, plan).ok());
  EXPECT_THAT(Values<int32_t>(inputs[0].tensor), ElementsAre(4, 4, 5, 4, 7, 8));
  EXPECT_FALSE(CanJoin(a, empty, plan)) << "it has no first element";
}

TEST(PadTest, TextsArePadded) {
  const Signature signature{.name = "s",
                            .method_name = "",
                            .inputs = {FakeSpec("t", DType::kString, {-1, -1})},
                            .outputs = {}};
  const PadPlan plan = Plan(signature, {{.input = "t", .value = "[PAD]"}});
  const StringElement words[] = {{"a", 1}, {"bc", 2}, {"d", 1}};
  const auto make = [&](Shape shape, size_t first) {
    InferRequest request;
    Tensor tensor = *Tensor::Allocate(DType::kString, std::move(shape));
    for (StringElement& each : tensor.mutable_as<StringElement>()) each = words[first++];
    request.inputs.push_back({"t", std::move(tensor)});
    return request;
  };
  const InferRequest a = make({1, 1}, 0), b = make({1, 2}, 1);
  const InferRequest* const members[] = {&a, &b};
  NamedTensors inputs;
  RequestMemory memory;
  ASSERT_TRUE(GatherInputs(members, /*extra_rows=*/0, memory, inputs, plan).ok());
  std::vector<std::string> texts;
  for (const StringElement& each : inputs[0].tensor.strings()) texts.emplace_back(each.view());
  EXPECT_THAT(texts, ElementsAre("a", "[PAD]", "bc", "d"));
}

TEST(PadTest, OnlyPaddedDimensionsMayDiffer) {
  const Signature signature = Encoder();
  const PadPlan plan = Plan(signature, {{.input = "vectors"}});
  const auto vectors = [](Shape shape) {
    return Numbers<float>(DType::kFloat32, std::move(shape));
  };
  const Tensor tensor = vectors({1, 3, 2, 4});
  EXPECT_TRUE(plan.CanJoin("vectors", tensor, vectors({2, 1, 2, 9})));
  EXPECT_FALSE(plan.CanJoin("vectors", tensor, vectors({1, 3, 1, 4})));
  EXPECT_FALSE(plan.CanJoin("vectors", tensor, vectors({1, 3, 2})));
  EXPECT_FALSE(plan.CanJoin("vectors", tensor, vectors({1, 0, 2, 4})));
  EXPECT_FALSE(plan.CanJoin("ids", tensor, vectors({1, 1, 2, 4}))) << "no rule pads it";
  EXPECT_FALSE(PadPlan().CanJoin("vectors", tensor, vectors({1, 1, 2, 4})));
}

TEST(PadTest, DimensionsOfOneNameMustAgree) {
  const Signature signature = Encoder();
  const PadPlan plan = Plan(signature, {{.input = "ids"}, {.input = "kinds"}});
  InferRequest request = Ids({1, 2});
  EXPECT_TRUE(plan.IsConsistent(request));
  request.inputs.push_back({"kinds", Numbers<int32_t>(DType::kInt32, {1, 2})});
  EXPECT_TRUE(plan.IsConsistent(request));
  request.inputs[1].tensor = Numbers<int32_t>(DType::kInt32, {1, 3});
  EXPECT_FALSE(plan.IsConsistent(request));
  EXPECT_FALSE(Plan(signature, {{.input = "ids"}}).IsConsistent(request))
      << "also with an input that is not padded: its mates could make the sizes equal";
}

TEST(PadTest, PaddingHasAShare) {
  const Signature signature = Encoder();
  const PadPlan plan = Plan(signature, {{.input = "ids"}});
  EXPECT_TRUE(plan.MayPad(4, 1000, 1)) << "a small batch";
  EXPECT_TRUE(plan.MayPad(100, 1000, 50'000));
  EXPECT_FALSE(plan.MayPad(100, 1000, 49'999));
}

TEST(PadTest, OutputsAreCutWhereTheirDimensionHasTheName) {
  const Signature signature = Encoder();
  const PadPlan plan = Plan(signature, {{.input = "ids"}});
  const InferRequest member = Ids({1, 2});
  const NamedTensors inputs = {{"ids", Numbers<int32_t>(DType::kInt32, {3, 4})}};
  RequestMemory memory;
  const Tensor state = Numbers<float>(DType::kFloat32, {1, 4, 3});
  NamedTensors outputs = {{"state", state}, {"sum", Numbers<float>(DType::kFloat32, {1})}};
  ASSERT_TRUE(plan.Cut(member, inputs, memory, outputs).ok());
  EXPECT_EQ(outputs[0].tensor.shape(), (Shape{1, 2, 3}));
  EXPECT_THAT(Values<float>(outputs[0].tensor), ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_EQ(outputs[0].tensor.data(), state.data()) << "one row needs no copy";
  EXPECT_EQ(outputs[1].tensor.shape(), (Shape{1}));
  NamedTensors wrong = {{"state", Numbers<float>(DType::kFloat32, {1, 3, 3})}};
  const Status status = plan.Cut(member, inputs, memory, wrong);
  EXPECT_EQ(status.code(), StatusCode::kInternal);
  EXPECT_THAT(status.message(), HasSubstr("the output 'state' has the shape [1,3,3]; its dimension "
                                          "1 must be 4 as that of the input 'ids'"));
}

TEST(PadTest, WrongRulesAreExplained) {
  const std::pair<PadRule, std::string> cases[] = {
      {{.input = "length"},
       "pads the input 'length' of the shape [-1], whose rows have a fixed size"},
      {{.input = "ids", .value = "x"}, "cannot pad the input 'ids': 'x' is no number"},
      {{.input = "ids", .value = "0.5"}, "cannot pad the input 'ids': 0.5 is no int32"},
      {{.input = "ids", .mask_input = "m"}, "has no input 'm' for the mask"},
      {{.input = "ids", .mask_input = "length"},
       "has the input 'length', int64 of the shape [-1], which cannot be the mask of the input "
       "'ids' of the shape [-1,-1]"},
      {{.input = "ids", .length_input = "vectors"},
       "has the input 'vectors', float32 of the shape [-1,-1,2,-1], which cannot be the length of "
       "the input 'ids' of the shape [-1,-1]"},
      {{.input = "ids", .cut_outputs = {"sum"}},
       "has no output 'sum' with a dimension 1, which is to be cut"},
  };
  const Signature signature = Encoder();
  for (const auto& [rule, message] : cases)
    EXPECT_EQ(MessageOf(PadPlan::Make(signature, {.rules = {rule}}).status()), message);
  ModelInfo info = FakeInfo({FakeSpec("x", DType::kFloat32, {-1, -1})});
  EXPECT_EQ(MessageOf(FillingModel::Check(info, {.rules = {{.input = "y"}}})),
            "batching pads the input 'y', which no signature has");
}

TEST(PadTest, ValuesOfEveryType) {
  const std::tuple<DType, std::string, std::string> cases[] = {
      {DType::kInt8, "-128", "\x80"},
      {DType::kUint8, "255", "\xff"},
      {DType::kInt16, "-2", "\xfe\xff"},
      {DType::kUint16, "2", std::string("\2\0", 2)},
      {DType::kInt32, "", std::string(4, '\0')},
      {DType::kUint32, "4294967295", "\xff\xff\xff\xff"},
      {DType::kInt64, "-1", std::string(8, '\xff')},
      {DType::kUint64, "1", std::string("\1\0\0\0\0\0\0\0", 8)},
      {DType::kFloat32, "-1e30", std::string("\xca\xf2\x49\xf1", 4)},
      {DType::kFloat64, "1", std::string("\0\0\0\0\0\0\xf0\x3f", 8)},
      {DType::kFloat16, "1", std::string("\0\x3c", 2)},
      {DType::kBfloat16, "1", std::string("\x80\x3f", 2)},
      {DType::kBool, "1", "\1"},
      {DType::kComplex64, "", std::string(8, '\0')},
      {DType::kString, "a b", "a b"},
      {DType::kInt8, "128", "?"},
      {DType::kUint8, "-1", "?"},
      {DType::kInt64, "9223372036854775808", "?"},
      {DType::kBool, "2", "?"},
      {DType::kComplex64, "1", "?"},
      {DType::kFloat32, "1x", "?"},
  };
  for (const auto& [type, text, bytes] : cases)
    EXPECT_EQ(EncodeValue(type, text).value_or("?"), bytes) << DTypeName(type) << " " << text;
}

// Any shapes: each member gets its own elements back, and the padding has the value.
TEST(PadTest, RandomTensorsComeBack) {
  std::mt19937 random(1);
  const auto below = [&](uint32_t n) { return static_cast<int64_t>(random() % n); };
  for (int round = 0; round < 500; ++round) {
    const size_t rank = 2 + static_cast<size_t>(below(3));
    Shape declared{-1};
    std::vector<std::string> names = {"rows"};
    for (size_t axis = 1; axis < rank; ++axis) {
      const bool varies = axis == 1 || below(2) == 0;
      declared.Append(varies ? -1 : 1 + below(3));
      names.push_back(varies ? "axis" + std::to_string(axis) : "");
    }
    TensorSpec x = FakeSpec("x", DType::kInt32, declared),
               y = FakeSpec("y", DType::kInt32, declared);
    x.dimension_names = y.dimension_names = names;
    const Signature signature{.name = "s", .method_name = "", .inputs = {x}, .outputs = {y}};
    const PadPlan plan = Plan(signature, {{.input = "x", .value = "-7"}});
    std::vector<InferRequest> requests(static_cast<size_t>(1 + below(4)));
    std::vector<const InferRequest*> members;
    std::vector<int64_t> rows;
    int64_t own = 0;
    for (InferRequest& request : requests) {
      Shape shape = declared;
      for (size_t axis = 0; axis < rank; ++axis)
        if (declared.dim(axis) < 0) shape.SetDim(axis, 1 + below(4));
      rows.push_back(shape.dim(0));
      request.inputs.push_back({"x", Numbers<int32_t>(DType::kInt32, shape, 1)});
      own += request.inputs[0].tensor.element_count();
      members.push_back(&request);
    }
    NamedTensors inputs;
    RequestMemory memory;
    ASSERT_TRUE(GatherInputs(members, /*extra_rows=*/0, memory, inputs, plan).ok());
    const auto all = inputs[0].tensor.as<int32_t>();
    EXPECT_EQ(std::ranges::count(all, -7), inputs[0].tensor.element_count() - own);
    const NamedTensors outputs = {{"y", inputs[0].tensor}};
    std::vector<NamedTensors> parts(requests.size());
    ASSERT_TRUE(ScatterOutputs(signature, outputs, rows, /*extra_rows=*/0, parts).ok());
    for (size_t i = 0; i < parts.size(); ++i) {
      ASSERT_TRUE(plan.Cut(requests[i], inputs, memory, parts[i]).ok());
      ASSERT_EQ(parts[i][0].tensor.shape(), requests[i].inputs[0].tensor.shape());
      ASSERT_EQ(Values<int32_t>(parts[i][0].tensor), Values<int32_t>(requests[i].inputs[0].tensor));
    }
  }
}

}  // namespace
}  // namespace penstock::batch
