// SPDX-License-Identifier: Apache-2.0
#include "protocols/tfs/example_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "protocols/tfs/example_reference.h"
#include "protocols/tfs/wire_writer.h"

namespace penstock::tfs {
namespace {

using example_reference::CompareExamples;
using tensorflow::Example;
using tensorflow::Feature;
using tensorflow::serving::ClassificationRequest;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

// A length-delimited field.
std::string LengthField(uint32_t number, std::string_view content) {
  std::string bytes(LengthFieldBytes(number, content.size()), '\0');
  WireWriter(reinterpret_cast<std::byte*>(bytes.data())).BytesField(number, content);
  return bytes;
}

std::string Entry(std::string_view name, std::string_view feature) {
  return LengthField(1, LengthField(1, name) + LengthField(2, feature));
}

std::string Request(std::initializer_list<std::string> examples) {
  std::string list;
  for (const std::string& example : examples) list += LengthField(kExamplesField, example);
  return LengthField(kInputField, LengthField(kExampleListField, list));
}

Example MakeExample(std::initializer_list<float> f, std::initializer_list<float> v = {1}) {
  Example example;
  auto& features = *example.mutable_features()->mutable_feature();
  for (const float each : f) features["f"].mutable_float_list()->add_value(each);
  features["v"].mutable_float_list();
  for (const float each : v) features["v"].mutable_float_list()->add_value(each);
  return example;
}

Feature& FeatureOf(Example& example, const std::string& name) {
  return (*example.mutable_features()->mutable_feature())[name];
}

// The model of the reference. One thread at a time.
class ExampleReaderTest : public testing::Test {
 protected:
  Status ReadBytes(std::string message) {
    // Ours must give what protobuf gives.
    EXPECT_EQ(CompareExamples(message), "");
    return ReadWithoutReference(message);
  }
  // For messages that take the reference too long.
  Status ReadWithoutReference(std::string_view message) {
    message_ = WholeSlice(CopyToBuffer(message));
    ExampleInput input;
    WireError error;
    if (!input.Scan(message_.view(), error)) return InvalidArgument("{}", error.what);
    RequestMemory memory(bytes_max_);
    return ReadExamples(input, *plans_.Find(ExampleMethod::kClassify, ""), message_.owner, memory,
                        inputs_);
  }
  Status Read(const std::vector<Example>& examples, const Example* context = nullptr) {
    ClassificationRequest request;
    for (const Example& each : examples) {
      if (context == nullptr) {
        *request.mutable_input()->mutable_example_list()->add_examples() = each;
      } else {
        *request.mutable_input()->mutable_example_list_with_context()->add_examples() = each;
      }
    }
    if (context != nullptr) {
      *request.mutable_input()->mutable_example_list_with_context()->mutable_context() = *context;
    }
    return ReadBytes(request.SerializeAsString());
  }
  std::string ErrorOf(const std::vector<Example>& examples, const Example* context = nullptr) {
    const Status status = Read(examples, context);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    return std::string(MessageOf(status));
  }
  const Tensor& Input(std::string_view name) const {
    for (const NamedTensor& each : inputs_) {
      if (each.name == name) return each.tensor;
    }
    ADD_FAILURE() << "there is no input " << name;
    return inputs_.front().tensor;
  }

  const ModelInfo info_ = example_reference::ExampleModel();
  const ExamplePlans plans_ = example_reference::PlansOf(info_);
  uint64_t bytes_max_ = 1 << 20;
  Slice message_;
  NamedTensors inputs_;
};

TEST_F(ExampleReaderTest, EachInputGetsTheFeatureOfItsName) {
  Example one = MakeExample({1, 2}), two = MakeExample({3, 4}, {2});
  FeatureOf(one, "i").mutable_int64_list()->add_value(5);
  FeatureOf(one, "s").mutable_bytes_list()->add_value("text");
  FeatureOf(two, "nobody takes this").mutable_float_list()->add_value(9);
  ASSERT_EQ(Read({one, two}), OkStatus());
  EXPECT_EQ(Input("f").shape(), (Shape{2, 2}));
  EXPECT_THAT(Input("f").as<float>(), ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(Input("i").shape(), (Shape{2}));
  EXPECT_THAT(Input("i").as<int32_t>(), ElementsAre(5, 7));
  EXPECT_EQ(Input("s").strings()[0].view(), "text");
  EXPECT_EQ(Input("s").strings()[1].view(), "none");
  EXPECT_THAT(Input("v").as<double>(), ElementsAre(1, 2));
  EXPECT_EQ(inputs_.size(), 4u);  // "o" is left out
}

TEST(ExampleReader, ManyFeaturesInAnyOrderReachTheirInputs) {
  ModelInfo info;
  Signature& signature = info.signatures.emplace_back();
  signature.name = std::string(kDefaultSignatureName);
  for (int i = 0; i < 60; ++i) {
    TensorSpec& spec = signature.inputs.emplace_back();
    // Short names and long ones, which differ at their ends or at their beginnings.
    spec.name = i % 3 == 0   ? fmt::format("{}", i)
                : i % 3 == 1 ? fmt::format("a_long_feature_{}", i)
                             : fmt::format("{}_of_a_long_feature", i);
    spec.dtype = DType::kInt64;
    spec.shape = Shape{-1};
  }
  std::ranges::sort(signature.inputs, {}, &TensorSpec::name);
  signature.outputs.emplace_back(signature.inputs[0]).dtype = DType::kFloat32;
  const ExamplePlans plans = *ExamplePlans::Make(info);
  std::mt19937 random(2);
  std::vector<size_t> order(signature.inputs.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::string list;
  constexpr int64_t kRows = 10;
  for (int64_t row = 0; row < kRows; ++row) {
    std::string example;
    std::ranges::shuffle(order, random);
    for (const size_t i : order) {
      const auto value = static_cast<char>(row * 10 + static_cast<int64_t>(i % 10));
      example += Entry(signature.inputs[i].name, LengthField(3, std::string{'\x08', value}));
      example += Entry(fmt::format("unknown_{}", i), "");
    }
    list += LengthField(kExamplesField, LengthField(1, example));
  }
  const Slice message =
      WholeSlice(CopyToBuffer(LengthField(kInputField, LengthField(kExampleListField, list))));
  ExampleInput input;
  WireError error;
  ASSERT_TRUE(input.Scan(message.view(), error));
  RequestMemory memory;
  NamedTensors inputs;
  ASSERT_EQ(
      ReadExamples(input, *plans.Find(ExampleMethod::kRegress, ""), message.owner, memory, inputs),
      OkStatus());
  ASSERT_EQ(inputs.size(), signature.inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    ASSERT_EQ(inputs[i].name, signature.inputs[i].name);
    for (int64_t row = 0; row < kRows; ++row) {
      EXPECT_EQ(inputs[i].tensor.as<int64_t>()[static_cast<size_t>(row)],
                row * 10 + static_cast<int64_t>(i % 10));
    }
  }
}

TEST_F(ExampleReaderTest, StringsAreViewsOfTheMessage) {
  Example example = MakeExample({1, 2});
  FeatureOf(example, "s").mutable_bytes_list()->add_value("in the message");
  ASSERT_EQ(Read({example}), OkStatus());
  const std::string_view text = Input("s").strings()[0].view();
  EXPECT_EQ(text, "in the message");
  EXPECT_GE(text.data(), message_.view().data());
  EXPECT_LT(text.data(), message_.view().data() + message_.size);
}

TEST_F(ExampleReaderTest, IntegersAreTakenForFloats) {
  Example example = MakeExample({}, {});
  for (const int64_t each : {3, -4}) FeatureOf(example, "f").mutable_int64_list()->add_value(each);
  ASSERT_EQ(Read({example}), OkStatus());
  EXPECT_THAT(Input("f").as<float>(), ElementsAre(3, -4));
  EXPECT_EQ(Input("v").shape(), (Shape{1, 0}));
}

TEST_F(ExampleReaderTest, AFeatureOfTheExampleWinsOverTheContext) {
  Example context = MakeExample({10, 20}, {5}), own = MakeExample({1, 2}, {6}), none;
  FeatureOf(context, "i").mutable_int64_list()->add_value(8);
  ASSERT_EQ(Read({none, own, none}, &context), OkStatus());
  EXPECT_THAT(Input("f").as<float>(), ElementsAre(10, 20, 1, 2, 10, 20));
  EXPECT_THAT(Input("i").as<int32_t>(), ElementsAre(8, 8, 8));
  EXPECT_THAT(Input("v").as<double>(), ElementsAre(5, 6, 5));
}

TEST_F(ExampleReaderTest, AFeatureWithoutAKindTakesTheValueOfTheContext) {
  Example context = MakeExample({10, 20}, {5, 6}), full = MakeExample({1, 2}, {3, 4}), empty;
  FeatureOf(context, "i").mutable_int64_list()->add_value(8);
  for (const char* name : {"f", "v", "i"}) FeatureOf(empty, name);
  ASSERT_EQ(Read({empty, full, empty}, &context), OkStatus());
  EXPECT_THAT(Input("f").as<float>(), ElementsAre(10, 20, 1, 2, 10, 20));
  EXPECT_THAT(Input("v").as<double>(), ElementsAre(5, 6, 3, 4, 5, 6));
  EXPECT_THAT(Input("i").as<int32_t>(), ElementsAre(8, 8, 8));
  // Without a context it takes the default. A list without values has a kind, so it is a value.
  FeatureOf(full, "i");
  ASSERT_EQ(Read({full}), OkStatus());
  EXPECT_THAT(Input("i").as<int32_t>(), ElementsAre(7));
  FeatureOf(full, "i").mutable_int64_list();
  EXPECT_THAT(ErrorOf({full}, &context), HasSubstr("has 0 value(s) of int64"));
}

TEST_F(ExampleReaderTest, AnInputMayBeLeftOutByAllExamplesOnly) {
  Example with = MakeExample({1, 2});
  FeatureOf(with, "o").mutable_int64_list()->add_value(1);
  const Example without = MakeExample({1, 2});
  ASSERT_EQ(Read({with, with}), OkStatus());
  EXPECT_THAT(Input("o").as<int64_t>(), ElementsAre(1, 1));
  EXPECT_THAT(ErrorOf({without, with}), HasSubstr("example 0 has no feature \"o\", which other"));
  EXPECT_THAT(ErrorOf({with, without}), HasSubstr("example 1 has no feature \"o\", which other"));
  Example empty = without;
  FeatureOf(empty, "o");
  EXPECT_EQ(Read({empty, without, empty}), OkStatus());
}

TEST_F(ExampleReaderTest, ErrorsNameTheExampleTheFeatureAndWhatIsWanted) {
  const Example good = MakeExample({1, 2});
  EXPECT_EQ(ErrorOf({}), "Input is empty.");
  Example example;
  EXPECT_EQ(ErrorOf({good, example}),
            "example 1 has no feature \"f\": the input \"f\" needs 2 value(s) of float32 for each "
            "Example, and has no default");
  EXPECT_EQ(ErrorOf({good, good, MakeExample({1, 2, 3})}),
            "example 2: the feature \"f\" has 3 value(s) of float, but the input \"f\" takes 2 "
            "value(s) of float32 for each Example (its shape is [-1,2])");
  EXPECT_THAT(ErrorOf({good, MakeExample({1, 2}, {1, 2})}),
              HasSubstr("example 1: the feature \"v\" has 2 value(s) of float, but the input \"v\" "
                        "takes 1 value(s) of float64"));
  example = good;
  FeatureOf(example, "i").mutable_float_list()->add_value(1);
  EXPECT_THAT(ErrorOf({example}), HasSubstr("example 0: the feature \"i\" has 1 value(s) of float, "
                                            "but the input \"i\" takes 1 value(s) of int32"));
  FeatureOf(example, "i").mutable_int64_list()->add_value(int64_t{1} << 31);
  EXPECT_EQ(ErrorOf({example}),
            "example 0: the feature \"i\" has the value 2147483648, which is not in the range of "
            "the input \"i\" of int32");
  EXPECT_THAT(ErrorOf({Example()}, &example), HasSubstr("the context: the feature \"i\" has the"));
}

TEST_F(ExampleReaderTest, MergesWhatProtobufMerges) {
  const std::string two = std::string("\x0a\x08") + std::string("\0\0\x80\x3f\0\0\0\x40", 8);
  const std::string one_by_one =
      "\x0d" + std::string("\0\0\x80\x3f", 4) + "\x0d" + std::string("\0\0\0\x40", 4);
  const std::string v = Entry("v", LengthField(2, ""));
  // Single values, two lists of one kind, a Feature in two pieces, a list of another kind before.
  const std::string half = "\x0d" + std::string("\0\0\x80\x3f", 4);
  const std::string forms[] = {
      Entry("f", LengthField(2, two)),
      Entry("f", LengthField(2, one_by_one)),
      Entry("f", LengthField(2, half) + LengthField(2, half)),
      LengthField(1, LengthField(1, "f") + LengthField(2, LengthField(2, half)) +
                         LengthField(2, LengthField(2, half))),
      LengthField(1, LengthField(2, LengthField(2, half)) + LengthField(1, "f") +
                         LengthField(2, LengthField(2, half))),
      Entry("f", LengthField(1, LengthField(1, "x")) + LengthField(2, two)),
      Entry("f", LengthField(3, "\x08\x01")) + Entry("f", LengthField(2, two)),
      Entry("f", "") + Entry("f", LengthField(2, two)),
  };
  for (const std::string& form : forms) {
    ASSERT_EQ(ReadBytes(Request({LengthField(1, form + v)})), OkStatus());
    EXPECT_EQ(Input("f").element_count(), 2);
    // Features in two pieces.
    ASSERT_EQ(ReadBytes(Request({LengthField(1, form) + LengthField(1, v)})), OkStatus());
  }
  // The size that a replaced entry would give does not count.
  ASSERT_EQ(ReadBytes(Request({LengthField(1, forms[0] + Entry("v", LengthField(2, two)) + v)})),
            OkStatus());
  EXPECT_EQ(Input("v").shape(), (Shape{1, 0}));
}

TEST_F(ExampleReaderTest, MergesThePiecesOfAnInput) {
  const std::string example = MakeExample({1, 2}).SerializeAsString();
  const std::string list = LengthField(kExamplesField, example);
  const std::string plain = LengthField(kExampleListField, list);
  const std::string with_context = LengthField(kListWithContextField, list);
  ASSERT_EQ(ReadBytes(LengthField(kInputField, plain) + LengthField(kInputField, plain + plain)),
            OkStatus());
  EXPECT_EQ(Input("f").shape().dim(0), 3);
  // A list of the other kind replaces those before.
  ASSERT_EQ(ReadBytes(LengthField(kInputField, plain + with_context + plain + plain)), OkStatus());
  EXPECT_EQ(Input("f").shape().dim(0), 2);
  ASSERT_EQ(
      ReadBytes(LengthField(kInputField, plain + plain) + LengthField(kInputField, with_context)),
      OkStatus());
  EXPECT_EQ(Input("f").shape().dim(0), 1);
}

TEST_F(ExampleReaderTest, MalformedExamplesAreRefused) {
  const std::string good = MakeExample({1, 2}).SerializeAsString();
  EXPECT_EQ(ReadBytes(Request({good, good.substr(0, good.size() - 1)})).code(),
            StatusCode::kInvalidArgument);
  EXPECT_THAT(MessageOf(ReadBytes(Request({good, "\x0a\x05"}))),
              HasSubstr("example 1 is malformed: a length exceeds what holds it at byte 2 of 2"));
  EXPECT_THAT(MessageOf(ReadBytes(Request({LengthField(1, Entry("\xff", ""))}))),
              HasSubstr("the name of a feature is not UTF-8"));
  EXPECT_THAT(MessageOf(ReadBytes(Request({LengthField(1, Entry("f", LengthField(2,
                                                                                 "\x0a\x02"
                                                                                 "ab")))}))),
              HasSubstr("packed values end within a value"));
}

TEST_F(ExampleReaderTest, MemoryIsCountedBeforeItIsAllocated) {
  // Each Example has 2 bytes, and its row 16.
  std::string list;
  for (int i = 0; i < 100'000; ++i) list += LengthField(kExamplesField, "");
  const std::string context = LengthField(kContextField, MakeExample({1, 2}).SerializeAsString());
  bytes_max_ = 1 << 20;
  EXPECT_EQ(ReadBytes(LengthField(kInputField, LengthField(kListWithContextField, list + context)))
                .code(),
            StatusCode::kResourceExhausted);
}

// In the tests below, work that is not linear in the bytes of the message takes minutes.
constexpr int kManyExamples = 50'000;

// A request with a context that has `features`, and "f" and "v"; and with kManyExamples Examples:
// `first`, then those of `examples` in turns.
std::string ManyExamples(const std::string& features, std::string_view first,
                         std::initializer_list<std::string_view> examples) {
  std::string context = MakeExample({1, 2}, {3}).SerializeAsString();
  context += LengthField(1, features);
  std::string list = LengthField(kContextField, context) + LengthField(kExamplesField, first);
  for (size_t i = 1; i < kManyExamples; ++i) {
    list += LengthField(kExamplesField, examples.begin()[i % examples.size()]);
  }
  return LengthField(kInputField, LengthField(kListWithContextField, list));
}

// Many fields that a Feature does not have.
std::string UnknownFields() {
  std::string fields;
  for (int i = 0; i < 200'000; ++i) fields.append("\x20\0", 2);
  return fields;
}

TEST_F(ExampleReaderTest, AContextWithoutAKindIsReadOnce) {
  const std::string fields = UnknownFields();
  bytes_max_ = 1 << 24;
  ASSERT_EQ(
      ReadWithoutReference(ManyExamples(Entry("o", fields) + Entry("i", fields), "", {"", ""})),
      OkStatus());
  EXPECT_EQ(inputs_.size(), 4U);
  EXPECT_THAT(Input("i").as<int32_t>(), Each(7));
}

TEST_F(ExampleReaderTest, TheValueOfTheContextIsReadOnce) {
  Feature one;
  one.mutable_int64_list()->add_value(1);
  const std::string value = UnknownFields() + one.SerializeAsString();
  const std::string without_kind = LengthField(1, Entry("i", "") + Entry("o", ""));
  bytes_max_ = 1 << 24;
  ASSERT_EQ(ReadWithoutReference(ManyExamples(Entry("i", value) + Entry("o", value), without_kind,
                                              {"", without_kind})),
            OkStatus());
  EXPECT_EQ(inputs_.size(), 5U);
  EXPECT_THAT(Input("i").as<int32_t>(), Each(1));
  EXPECT_THAT(Input("o").as<int64_t>(), Each(1));
}

TEST_F(ExampleReaderTest, OnlyTheLastEntryOfANameAllocates) {
  Feature one, two;
  one.mutable_float_list()->add_value(1);
  two = one;
  two.mutable_float_list()->add_value(2);
  std::string entries;
  for (int i = 0; i < 40'000; ++i) {
    entries += Entry("v", two.SerializeAsString()) + Entry("v", one.SerializeAsString());
  }
  bytes_max_ = 1 << 24;
  ASSERT_EQ(ReadWithoutReference(ManyExamples("", LengthField(1, entries), {""})), OkStatus());
  EXPECT_EQ(Input("v").shape(), (Shape{kManyExamples, 1}));
  EXPECT_EQ(Input("v").as<double>()[0], 1);
  EXPECT_EQ(Input("v").as<double>()[1], 3);
}

TEST_F(ExampleReaderTest, AnEntryThatIsReplacedDoesNotDecideTheSize) {
  Example example = MakeExample({}, {1, 2});
  const std::string two = FeatureOf(example, "v").SerializeAsString();
  // The context decides, since the last entry has no kind.
  const std::string first = LengthField(1, Entry("v", two) + Entry("v", ""));
  const std::string list =
      LengthField(kContextField, MakeExample({1, 2}, {3}).SerializeAsString()) +
      LengthField(kExamplesField, first) + LengthField(kExamplesField, "");
  ASSERT_EQ(ReadBytes(LengthField(kInputField, LengthField(kListWithContextField, list))),
            OkStatus());
  EXPECT_EQ(Input("v").shape(), (Shape{2, 1}));
}

TEST_F(ExampleReaderTest, DamagedMessagesAreReadAsProtobufReadsThem) {
  Example context = MakeExample({1, 2}, {3});
  FeatureOf(context, "o").mutable_int64_list()->add_value(1);
  ClassificationRequest request;
  auto& list = *request.mutable_input()->mutable_example_list_with_context();
  for (int i = 0; i < 3; ++i) {
    Example& example = *list.add_examples();
    example = MakeExample({4, 5});
    FeatureOf(example, "s").mutable_bytes_list()->add_value("s");
    FeatureOf(example, "i").mutable_int64_list()->add_value(300);
  }
  *list.mutable_context() = context;
  const std::string whole = request.SerializeAsString();
  std::mt19937 random(1);
  for (int i = 0; i < 20'000; ++i) {
    std::string damaged = whole;
    for (int n = 0; n < 1 + i % 3; ++n) {
      damaged[random() % damaged.size()] = static_cast<char>(random() % 256);
    }
    if (i % 7 == 0) damaged.resize(random() % damaged.size());
    ASSERT_EQ(CompareExamples(damaged), "") << "at " << i;
  }
}

}  // namespace
}  // namespace penstock::tfs
