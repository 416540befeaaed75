// SPDX-License-Identifier: Apache-2.0
#include "models/model_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/os/test_folder.h"
#include "models/sources_fixture.h"
#include "options/component_options.h"

namespace penstock {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ModelListTest : public testing::Test {
 protected:
  const TestFolder folder_;
  Settings settings_;
  const Sources sources_ =
      MakeTestSources({.settings = settings_, .make_loader = nullptr, .estimate_memory = nullptr});
};

TEST_F(ModelListTest, OneModelByFlags) {
  settings_.model_name = "m";
  settings_.model_base_path = "/models/m";
  const auto models = ReadModelList(settings_);
  ASSERT_TRUE(models.ok()) << models.status();
  ASSERT_EQ(models->size(), 1u);
  const core::SourceModel directory = SourceConfig((*models)[0]);
  EXPECT_EQ(directory.name, "m");
  EXPECT_EQ(directory.base_path, "/models/m");
  EXPECT_EQ(std::get<core::LatestVersions>(directory.selection).count, 1);
}

TEST_F(ModelListTest, ModelsByFile) {
  settings_.model_config_file = folder_.Write("file", R"(model_config_list {
    config { name: "a" base_path: "/a" model_version_policy { specific { versions: 3 } }
             version_labels { key: "stable" value: 3 } }
    config { name: "b" base_path: "/b" model_version_policy { all {} } } })");
  const auto models = ReadModelList(settings_);
  ASSERT_TRUE(models.ok()) << models.status();
  ASSERT_EQ(models->size(), 2u);
  const core::SourceModel directory = SourceConfig((*models)[0]);
  EXPECT_THAT(std::get<core::SpecificVersions>(directory.selection).versions,
              ElementsAre(core::VersionNumber{3}));
  EXPECT_EQ(ManagerConfig((*models)[0]).labels.at("stable"), core::VersionNumber{3});
  EXPECT_TRUE(std::holds_alternative<core::AllVersions>(SourceConfig((*models)[1]).selection));
}

TEST_F(ModelListTest, AFileUrlIsAFolder) {
  settings_.model_base_path = "file:///models/m";
  const auto models = ReadModelList(settings_);
  ASSERT_TRUE(models.ok()) << models.status();
  EXPECT_EQ(models->at(0).base_path, "/models/m");
}

TEST_F(ModelListTest, AModelThatAsksForNoVersionKeepsNobodyFromBeingReady) {
  ConfiguredModel model;
  model.versions = ConfiguredModel::Versions::kSpecific;
  EXPECT_EQ(ManagerConfig(model).load_mode, core::LoadMode::kNever);
  model.specific = {core::VersionNumber{1}};
  EXPECT_EQ(ManagerConfig(model).load_mode, core::LoadMode::kAlways);
}

TEST_F(ModelListTest, AByteOrderMarkIsNoPartOfAFile) {
  settings_.model_config_file = folder_.Write(
      "file", "\xEF\xBB\xBFmodel_config_list {\r\n  config { name: 'a' base_path: '/a' } }\r\n");
  const auto models = ReadModelList(settings_);
  ASSERT_TRUE(models.ok()) << models.status();
  EXPECT_EQ(models->size(), 1u);
}

TEST_F(ModelListTest, PlatformsMustBeInstalled) {
  folder_.Write("backends/onnxruntime/penstock_onnxruntime.so");
  settings_.backend_directory = folder_ / "backends";
  const BackendHost backends(MakeBackendOptions(settings_));
  const auto check = [&](const std::string& platform, const std::string& base_path) {
    ConfiguredModel model;
    model.name = "m";
    model.platform = platform;
    model.base_path = base_path;
    return CheckModels({model}, "models.config", sources_, backends);
  };
  EXPECT_TRUE(check("", "/m").ok());
  EXPECT_TRUE(check("onnxruntime", "/m").ok());
  EXPECT_TRUE(check("onnx", "/m").ok());
  EXPECT_TRUE(check("", "builtin:identity").ok());
  EXPECT_EQ(check("caffe", "builtin:identity"),
            InvalidArgument("models.config: model 'm' is built in (builtin:identity), so leave out "
                            "model_platform 'caffe'"));
  EXPECT_EQ(check("tensorflow", "/m"),
            InvalidArgument("models.config: model 'm' requests the unsupported model_platform "
                            "'tensorflow': there is no backend 'tensorflow'; installed: "
                            "onnxruntime"));
}

TEST_F(ModelListTest, ModelsThatCannotBeServed) {
  const BackendHost backends(MakeBackendOptions(settings_));
  const auto check = [&](const std::string& name, const std::string& base_path) {
    ConfiguredModel model;
    model.name = name;
    model.base_path = base_path;
    return std::string(MessageOf(CheckModels({model}, "file", sources_, backends)));
  };
  EXPECT_THAT(check("a", "builtin:nothing"),
              HasSubstr("file: model 'a': there is no built-in model"));
  EXPECT_THAT(check("a", "gs://bucket/a"),
              HasSubstr("file: model 'a' has the base_path 'gs://bucket/a': there is no source for "
                        "gs://, only for a built-in model, an ensemble, a remote model, a folder"));
  EXPECT_EQ(check("a\377", "/a"), "file: the model's name 'a\uFFFD' is not UTF-8");
}

TEST_F(ModelListTest, ModelListErrors) {
  settings_.model_config_file = folder_ / "none";
  EXPECT_THAT(std::string(MessageOf(ReadModelList(settings_).status())),
              HasSubstr("--model_config_file: cannot read"));
  settings_.model_config_file = folder_.Write("file", "model_config_list { config { nam: 'a' } }");
  EXPECT_THAT(std::string(MessageOf(ReadModelList(settings_).status())), HasSubstr(": 1:30: "));
}

}  // namespace
}  // namespace penstock
