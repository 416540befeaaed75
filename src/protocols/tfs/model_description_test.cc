// SPDX-License-Identifier: Apache-2.0
#include "protocols/tfs/model_description.h"

#include <gmock/gmock.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include "serving/get_model_metadata.pb.h"
#include "serving/get_model_status.pb.h"

namespace penstock::tfs {
namespace {

using testing::HasSubstr;

ModelInfo SampleInfo() {
  TensorSpec input;
  input.name = "x";
  input.backend_name = "serving_default_x:0";
  input.dtype = DType::kFloat32;
  input.shape = {-1, 28};
  TensorSpec output;
  output.name = "y";
  output.dtype = DType::kString;
  output.unknown_rank = true;
  ModelInfo info;
  info.signatures.push_back({"serving_default", "tensorflow/serving/predict", {input}, {output}});
  return info;
}

TEST(ModelDescription, DescribesSignatures) {
  tensorflow::serving::SignatureDefMap map;
  FillSignatureDefMap(SampleInfo(), map);
  const auto& signature = map.signature_def().at("serving_default");
  EXPECT_EQ(signature.method_name(), "tensorflow/serving/predict");
  const auto& x = signature.inputs().at("x");
  EXPECT_EQ(x.name(), "serving_default_x:0");
  EXPECT_EQ(x.dtype(), tensorflow::DT_FLOAT);
  ASSERT_EQ(x.tensor_shape().dim_size(), 2);
  EXPECT_EQ(x.tensor_shape().dim(0).size(), -1);
  const auto& y = signature.outputs().at("y");
  EXPECT_EQ(y.name(), "y");
  EXPECT_TRUE(y.tensor_shape().unknown_rank());
}

// Sparse and ragged inputs, an initialiser: whatever our signatures cannot say.
TEST(ModelDescription, AnswersTheSignaturesOfTheFile) {
  tensorflow::serving::SignatureDefMap of_file;
  auto& inputs = *(*of_file.mutable_signature_def())["sparse"].mutable_inputs();
  inputs["s"].mutable_coo_sparse()->set_values_tensor_name("values:0");
  inputs["r"].mutable_composite_tensor()->add_components()->set_name("part:0");
  ModelInfo info = SampleInfo();
  info.signature_def_map = of_file.SerializeAsString();
  tensorflow::serving::SignatureDefMap map;
  FillSignatureDefMap(info, map);
  EXPECT_EQ(map.ShortDebugString(), of_file.ShortDebugString());
  EXPECT_THAT(*ModelMetadataJson({"m", {3}}, info),
              HasSubstr("\"values_tensor_name\": \"values:0\""));
  info.signature_def_map = "\xFF";  // is no such message
  FillSignatureDefMap(info, map);
  EXPECT_TRUE(map.signature_def().contains("serving_default"));
}

TEST(ModelDescription, IncludesNotesIfThereAreAny) {
  ModelInfo info = SampleInfo();
  tensorflow::serving::GetModelMetadataResponse response;
  FillModelMetadata({"m", {3}}, info, response);
  EXPECT_FALSE(response.metadata().contains("notes"));
  EXPECT_THAT(*ModelMetadataJson({"m", {3}}, info), testing::Not(HasSubstr("notes")));
  info.notes = {"one", "the \"other\""};
  FillModelMetadata({"m", {3}}, info, response);
  google::protobuf::ListValue notes;
  ASSERT_TRUE(response.metadata().at("notes").UnpackTo(&notes));
  EXPECT_EQ(notes.values(1).string_value(), "the \"other\"");
  EXPECT_THAT(*ModelMetadataJson({"m", {3}}, info),
              HasSubstr(R"(, "notes": ["one", "the \"other\""]})"));
}

TEST(ModelDescription, WritesMetadataAsJson) {
  const auto json = ModelMetadataJson({"m", {3}}, SampleInfo());
  ASSERT_TRUE(json.ok());
  EXPECT_THAT(*json, HasSubstr("\"name\": \"m\""));
  EXPECT_THAT(*json, HasSubstr("\"version\": \"3\""));
  EXPECT_THAT(*json, HasSubstr("\"signature_name\": \"\""));
  EXPECT_THAT(*json, HasSubstr("\"dtype\": \"DT_FLOAT\""));
  EXPECT_THAT(*json, HasSubstr("\"size\": \"-1\""));
  EXPECT_THAT(*json, HasSubstr("\"unknown_rank\": true"));
  EXPECT_THAT(*json, testing::Not(HasSubstr("@type")));
  // The whole is one JSON object, with the map's name twice.
  google::protobuf::Struct parsed;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(*json, &parsed).ok());
  const auto& metadata = parsed.fields().at("metadata").struct_value();
  const auto& map = metadata.fields().at("signature_def").struct_value();
  EXPECT_EQ(map.fields().at("signature_def").struct_value().fields().count("serving_default"), 1u);
}

std::vector<core::VersionStatus> SampleVersions() {
  return {{{"m", {2}}, core::VersionState::kAvailable, OkStatus(), {}},
          {{"m", {1}}, core::VersionState::kEnd, absl::NotFoundError("no file"), {}}};
}

TEST(ModelDescription, AMessageThatQuotesAnyBytesIsStillUtf8) {
  const std::vector<core::VersionStatus> versions = {
      {{"m", {1}}, core::VersionState::kEnd, InvalidArgument("files: a\xFF"), {}}};
  tensorflow::serving::GetModelStatusResponse response;
  ASSERT_TRUE(FillModelStatus("m", std::nullopt, versions, OkStatus(), response).ok());
  EXPECT_EQ(response.model_version_status(0).status().error_message(), "files: a\uFFFD");
  EXPECT_THAT(*ModelStatusJson("m", std::nullopt, versions, OkStatus()),
              HasSubstr("files: a\uFFFD"));
}

TEST(ModelDescription, WritesStatusAsJson) {
  const auto json = ModelStatusJson("m", std::nullopt, SampleVersions(), OkStatus());
  ASSERT_TRUE(json.ok());
  EXPECT_THAT(*json, HasSubstr("\"model_version_status\""));
  EXPECT_THAT(*json, HasSubstr("\"version\": \"2\""));
  EXPECT_THAT(*json, HasSubstr("\"state\": \"AVAILABLE\""));
  EXPECT_THAT(*json, HasSubstr("\"error_code\": \"OK\""));
  EXPECT_THAT(*json, HasSubstr("\"error_message\": \"\""));
  EXPECT_THAT(*json, HasSubstr("\"error_code\": \"NOT_FOUND\""));
  EXPECT_THAT(*json, HasSubstr("\"error_message\": \"no file\""));
}

TEST(ModelDescription, DescribesOneVersion) {
  tensorflow::serving::GetModelStatusResponse response;
  ASSERT_TRUE(
      FillModelStatus("m", core::VersionNumber{1}, SampleVersions(), OkStatus(), response).ok());
  ASSERT_EQ(response.model_version_status_size(), 1);
  EXPECT_EQ(response.model_version_status(0).state(), tensorflow::serving::ModelVersionStatus::END);
}

TEST(ModelDescription, NamesWhatIsMissing) {
  core::Manager manager;
  const auto none = Error(StatusCode::kNotFound, "Could not find any versions of model m");
  EXPECT_EQ(NoVersionsOf(manager, "m", std::nullopt), none);
  EXPECT_EQ(NoVersionsOf(manager, "m", core::VersionNumber{2}),
            Error(StatusCode::kNotFound, "Could not find version 2 of model m"));
  ASSERT_TRUE(manager.SetModel({.name = "m"}).ok());
  EXPECT_EQ(NoVersionsOf(manager, "m", std::nullopt), none);
  manager.SetSourceStatus("m", absl::NotFoundError("there is no /m"));
  EXPECT_EQ(NoVersionsOf(manager, "m", std::nullopt),
            Error(StatusCode::kNotFound, "Could not find any versions of model m: there is no /m"));
  EXPECT_EQ(ModelStatusJson("m", core::VersionNumber{7}, SampleVersions(),
                            absl::FailedPreconditionError("version 7 is not complete"))
                .status(),
            Error(StatusCode::kNotFound,
                  "Could not find version 7 of model m: the model has versions 1, 2; version 7 "
                  "is not complete"));
}

}  // namespace
}  // namespace penstock::tfs
