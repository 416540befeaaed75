// SPDX-License-Identifier: Apache-2.0
#include "bench/model_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "serving/get_model_metadata.pb.h"
#include "serving/predict.pb.h"

namespace penstock::bench {
namespace {

using tensorflow::DataType;
using testing::HasSubstr;

// The answer of a server for a model with one input, "x", of these sizes.
std::string Metadata(DataType type, std::vector<int64_t> sizes) {
  tensorflow::serving::SignatureDefMap map;
  auto& x = (*(*map.mutable_signature_def())["serving_default"].mutable_inputs())["x"];
  x.set_dtype(type);
  for (const int64_t size : sizes) x.mutable_tensor_shape()->add_dim()->set_size(size);
  tensorflow::serving::GetModelMetadataResponse response;
  (*response.mutable_metadata())["signature_def"].PackFrom(map);
  return response.SerializeAsString();
}

RequestOptions OptionsFor(const std::string& model) {
  RequestOptions options;
  options.model = model;
  return options;
}

tensorflow::serving::PredictRequest Parsed(const StatusOr<ModelRequest>& made) {
  tensorflow::serving::PredictRequest request;
  EXPECT_TRUE(made.ok() && request.ParseFromString(made->bytes));
  return request;
}

TEST(ModelRequestTest, MakesInputsOfTheSignature) {
  RequestOptions options = OptionsFor("m");
  options.version = 3;
  options.batch_size = 4;
  const auto made = MakeRequest(Metadata(DataType::DT_FLOAT, {-1, 5}), options);
  const auto request = Parsed(made);
  EXPECT_EQ(made->summary, "x: DT_FLOAT 4x5");
  EXPECT_EQ(request.model_spec().name(), "m");
  EXPECT_EQ(request.model_spec().version().value(), 3);
  const std::string& content = request.inputs().at("x").tensor_content();
  ASSERT_EQ(content.size(), 4 * 5 * sizeof(float));
  for (size_t at = 0; at < content.size(); at += sizeof(float)) {
    float value = -1;
    std::memcpy(&value, content.data() + at, sizeof value);
    EXPECT_GE(value, 0);
    EXPECT_LT(value, 1);
  }
  EXPECT_EQ(made->bytes, MakeRequest(Metadata(DataType::DT_FLOAT, {-1, 5}), options)->bytes);
  options.seed = 2;
  EXPECT_NE(made->bytes, MakeRequest(Metadata(DataType::DT_FLOAT, {-1, 5}), options)->bytes);
}

TEST(ModelRequestTest, EveryTypeThatHasValues) {
  const RequestOptions options = OptionsFor("m");
  const std::pair<DataType, size_t> kSizes[] = {
      {DataType::DT_DOUBLE, 8},     {DataType::DT_HALF, 2},  {DataType::DT_BFLOAT16, 2},
      {DataType::DT_COMPLEX64, 8},  {DataType::DT_INT8, 1},  {DataType::DT_UINT16, 2},
      {DataType::DT_INT32, 4},      {DataType::DT_INT64, 8}, {DataType::DT_BOOL, 1},
      {DataType::DT_COMPLEX128, 16}};
  for (const auto& [type, size] : kSizes) {
    const auto request = Parsed(MakeRequest(Metadata(type, {-1, 3}), options));
    EXPECT_EQ(request.inputs().at("x").tensor_content().size(), 3 * size) << type;
  }
  const auto words = Parsed(MakeRequest(Metadata(DataType::DT_STRING, {2}), options));
  EXPECT_EQ(words.inputs().at("x").string_val_size(), 2);
  const auto scalar = MakeRequest(Metadata(DataType::DT_INT64, {}), options);
  EXPECT_EQ(scalar->summary, "x: DT_INT64 scalar");
  EXPECT_THAT(MessageOf(MakeRequest(Metadata(DataType::DT_RESOURCE, {1}), options).status()),
              HasSubstr("input 'x' is DT_RESOURCE, of which no values can be made up"));
}

TEST(ModelRequestTest, ShapesThatTheSignatureLeavesOpenMustBeGiven) {
  RequestOptions options = OptionsFor("m");
  const std::string open = Metadata(DataType::DT_INT64, {-1, -1});
  EXPECT_THAT(MessageOf(MakeRequest(open, options).status()),
              HasSubstr("input 'x' is ?x? in the signature, which leaves a size open: give its "
                        "shape, such as --shape=x:1x16"));
  options.shapes = {{.input = "x", .dims = {2, 7}}};
  EXPECT_EQ(MakeRequest(open, options)->summary, "x: DT_INT64 2x7");
  options.shapes = {{.input = "y", .dims = {2}}};
  EXPECT_THAT(MessageOf(MakeRequest(open, options).status()),
              HasSubstr("the signature has no input 'y'; there are: 'x'"));
  options.shapes = {{.input = "x", .dims = {1 << 20, 1 << 20, 1 << 30}}};
  EXPECT_THAT(MessageOf(MakeRequest(open, options).status()), HasSubstr("elements"));
}

TEST(ModelRequestTest, WhatTheModelDoesNotHaveIsNamed) {
  RequestOptions options = OptionsFor("m");
  options.signature = "other";
  const std::string fixed = Metadata(DataType::DT_FLOAT, {1, 5});
  EXPECT_THAT(MessageOf(MakeRequest(fixed, options).status()),
              HasSubstr("model 'm' has no signature 'other'; there are: 'serving_default'"));
  options.signature = "";
  options.batch_size = 2;
  EXPECT_THAT(MessageOf(MakeRequest(fixed, options).status()),
              HasSubstr("--batch_size=2: input 'x' is 1x5 in the signature"));
  EXPECT_THAT(MessageOf(MakeRequest("no message", options).status()), HasSubstr("--request=FILE"));
}

TEST(ModelRequestTest, ReadsFilesInBothForms) {
  RequestOptions options = OptionsFor("");
  const std::string json = R"( {"modelSpec": {"name": "a"},
    "inputs": {"x": {"dtype": "DT_FLOAT", "floatVal": [2],
                         "tensorShape": {"dim": [{"size": 1}]}}}})";
  const auto read = ReadRequest(json, options);
  EXPECT_EQ(Parsed(read).inputs().at("x").float_val(0), 2);
  EXPECT_EQ(read->model, "a");
  options.model = "b";
  const auto renamed = ReadRequest(read->bytes, options);
  EXPECT_EQ(Parsed(renamed).model_spec().name(), "b");
  EXPECT_EQ(renamed->summary, "x: DT_FLOAT 1");
  EXPECT_THAT(MessageOf(ReadRequest("{\"imputs\": 1}", options).status()), HasSubstr("imputs"));
  EXPECT_THAT(MessageOf(ReadRequest("\xff\xff", options).status()), HasSubstr("neither JSON"));
  options.model = "";
  EXPECT_THAT(MessageOf(ReadRequest("{}", options).status()), HasSubstr("it names no model"));
}

}  // namespace
}  // namespace penstock::bench
