// SPDX-License-Identifier: Apache-2.0
#include "frontends/tfs_rest/examples_decoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "serving/classification.pb.h"
#include "tensorflow/example.pb.h"

namespace penstock::tfs_rest {
namespace {

using tensorflow::Example;
using tensorflow::Feature;
using tensorflow::serving::ClassificationRequest;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

StatusOr<ClassificationRequest> Decode(std::string_view body, uint64_t bytes_max = 1 << 20) {
  RequestMemory memory(bytes_max);
  StatusOr<Slice> message =
      DecodeExamples(WholeSlice(CopyToBuffer(body)), tfs_json::DecoderOptions(), memory);
  if (!message.ok()) return message.status();
  ClassificationRequest request;
  EXPECT_TRUE(request.ParseFromString(std::string(message->view())));
  return request;
}

const Example& ExampleOf(const ClassificationRequest& request, int index) {
  return request.input().example_list_with_context().examples(index);
}

// The only feature "f" of the only Example.
Feature FeatureOf(const std::string& value) {
  const auto request = Decode("{\"examples\": [{\"f\": " + value + "}]}");
  EXPECT_TRUE(request.ok()) << request.status();
  return request.ok() ? ExampleOf(*request, 0).features().feature().at("f") : Feature();
}

std::string ErrorOf(std::string_view body) {
  const Status status = Decode(body).status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << body;
  return std::string(MessageOf(status));
}

TEST(ExamplesDecoder, TheFormOfAValueDecidesItsKind) {
  EXPECT_THAT(FeatureOf("5").int64_list().value(), ElementsAre(5));
  EXPECT_THAT(FeatureOf("[-1, 9223372036854775807, true, false]").int64_list().value(),
              ElementsAre(-1, INT64_MAX, 1, 0));
  EXPECT_THAT(FeatureOf("[1.0, 2e3]").float_list().value(), ElementsAre(1, 2000));
  EXPECT_THAT(FeatureOf("1e39").float_list().value(), ElementsAre(INFINITY));
  EXPECT_THAT(FeatureOf("[-Infinity]").float_list().value(), ElementsAre(-INFINITY));
  EXPECT_TRUE(std::isnan(FeatureOf("NaN").float_list().value(0)));
  EXPECT_THAT(FeatureOf("-9223372036854775809").float_list().value(),
              ElementsAre(-9223372036854775808.0F));
  EXPECT_THAT(FeatureOf("[\"a\", {\"b64\": \"/w==\"}, \"\\u00e4\"]").bytes_list().value(),
              ElementsAre("a", "\xff", "\xc3\xa4"));
  EXPECT_EQ(FeatureOf("[]").kind_case(), Feature::KIND_NOT_SET);
}

TEST(ExamplesDecoder, KeysMayComeInAnyOrder) {
  const auto request = Decode(R"({"examples": [{}, {"a": 1, "b": "x"}], "other": [null],
                                  "context": {"c": 2.5}, "signature_name": "s"} behind)");
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->model_spec().signature_name(), "s");
  const auto& list = request->input().example_list_with_context();
  EXPECT_EQ(list.examples_size(), 2);
  EXPECT_EQ(list.examples(0).features().feature_size(), 0);
  EXPECT_EQ(list.examples(1).features().feature_size(), 2);
  EXPECT_EQ(list.context().features().feature().at("c").float_list().value(0), 2.5);
  const auto context_first = Decode(R"({"context": {"c": 1}, "examples": [{"a": 1}]})");
  ASSERT_TRUE(context_first.ok());
  EXPECT_FALSE(context_first->has_model_spec() &&
               !context_first->model_spec().signature_name().empty());
  EXPECT_EQ(ExampleOf(*context_first, 0).features().feature_size(), 1);
}

TEST(ExamplesDecoder, OfARepeatedFeatureTheLastCounts) {
  const auto request = Decode(R"({"examples": [{"a": "x", "a": [1, 2]}]})");
  ASSERT_TRUE(request.ok());
  EXPECT_THAT(ExampleOf(*request, 0).features().feature().at("a").int64_list().value(),
              ElementsAre(1, 2));
}

TEST(ExamplesDecoder, ErrorsAreThoseOfTensorFlowServing) {
  EXPECT_THAT(ErrorOf(""), StartsWith("JSON Parse error: The document is empty"));
  EXPECT_THAT(ErrorOf("[]"), HasSubstr("Is not object"));
  EXPECT_THAT(ErrorOf("{}"),
              StartsWith("When method is classify, key 'examples' is expected and was not found. "
                         ":classify and :regress both need it"));
  EXPECT_THAT(ErrorOf(R"({"examples": {}})"),
              HasSubstr("Expecting 'examples' value to be an list/array"));
  EXPECT_THAT(ErrorOf(R"({"examples": []})"), StartsWith("'examples' value is an empty array"));
  EXPECT_THAT(ErrorOf(R"({"examples": [1]})"), HasSubstr("Example must be JSON object"));
  EXPECT_THAT(ErrorOf(R"({"examples": [{"f": null}]})"),
              StartsWith("Feature: f has element with unexpected JSON type: Null (at line 1"));
  EXPECT_THAT(ErrorOf(R"({"examples": [{"f": [[1]]}]})"),
              StartsWith("Feature: f has element with unexpected JSON type: Array"));
  EXPECT_THAT(ErrorOf(R"({"examples": [{"f": {"a": 1}}]})"),
              StartsWith("Feature: f has element with unexpected JSON type: Object"));
  EXPECT_THAT(ErrorOf(R"({"examples": [{"f": [1, 2.5]}]})"),
              StartsWith("Unexpected element type in feature: f expecting type: int64"));
  EXPECT_THAT(ErrorOf(R"({"examples": [{"f": 9223372036854775808}]})"),
              StartsWith("Feature: f has uint64 element. Only int64 is supported."));
  EXPECT_THAT(ErrorOf(R"({"examples": [{"f": {"b64": "?"}}]})"), HasSubstr("base64"));
  EXPECT_THAT(ErrorOf(R"({"signature_name": 1, "examples": [{}]})"),
              HasSubstr("not formatted correctly. 'signature_name' key must be a string value."));
  EXPECT_THAT(ErrorOf(R"({"examples": [{}], "examples": [{}]})"), HasSubstr("comes twice"));
  EXPECT_THAT(ErrorOf(R"({"context": {}, "context": {}})"), HasSubstr("comes twice"));
}

TEST(ExamplesDecoder, EveryPrefixOfABodyIsAnError) {
  const std::string_view body = R"({"signature_name":"s","context":{"a":[1,2]},)"
                                R"("examples":[{"f":[1.5,2],"g":{"b64":"eA=="}}]})";
  // As written, the list has an integer among floats.
  EXPECT_FALSE(Decode(body).ok());
  std::string good(body);
  good.replace(good.find("1.5,2"), 5, "1.5,2.0");
  ASSERT_TRUE(Decode(good).ok());
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(Decode(good.substr(0, size)).ok()) << size;
  }
}

TEST(ExamplesDecoder, MemoryIsLimited) {
  std::string body = R"({"examples": [{})";
  for (int i = 0; i < 1000; ++i) body += ",{}";
  EXPECT_EQ(Decode(body + "]}", 4096).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(Decode(body + "]}")->input().example_list_with_context().examples_size(), 1001);
}

}  // namespace
}  // namespace penstock::tfs_rest
