// SPDX-License-Identifier: Apache-2.0
#include "models/model_overrides.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/os/test_folder.h"
#include "serving/model_server_config.pb.h"

namespace penstock {
namespace {

using Kind = ModelChange::Kind;

std::vector<ConfiguredModel> Base() {
  std::vector<ConfiguredModel> models(2);
  models[0].name = "a";
  models[0].base_path = "/a";
  models[0].labels = {{"stable", {1}}};
  models[1].name = "lazy";
  models[1].base_path = "/lazy";
  models[1].load_mode = core::LoadMode::kOnDemand;
  return models;
}

ModelChange Change(Kind kind, std::string model, int64_t version = 0, std::string label = "") {
  ModelChange change;
  change.kind = kind;
  change.model = std::move(model);
  change.version = {version};
  change.label = std::move(label);
  if (kind == Kind::kPut) {
    tensorflow::serving::ModelConfig config;
    config.set_name(change.model);
    config.set_base_path("/put");
    change.config = config.SerializeAsString();
  }
  return change;
}

// The model after the changes; none: it is not there.
std::optional<ConfiguredModel> After(const ModelOverrides& overrides, std::string_view name) {
  const auto models = overrides.Over(Base());
  for (const ConfiguredModel& model : *models) {
    if (model.name == name) return model;
  }
  return std::nullopt;
}

TEST(ModelOverridesTest, ModelsAreAddedReplacedAndRemoved) {
  ModelOverrides overrides;
  ASSERT_TRUE(overrides.Add(Change(Kind::kPut, "new"), Base()).ok());
  ASSERT_TRUE(overrides.Add(Change(Kind::kPut, "a"), Base()).ok());
  EXPECT_EQ(After(overrides, "new")->base_path, "/put");
  EXPECT_EQ(After(overrides, "a")->base_path, "/put");
  EXPECT_EQ(overrides.Over(Base())->size(), 3U);
  for (const char* name : {"new", "a"})
    ASSERT_TRUE(overrides.Add(Change(Kind::kRemove, name), Base()).ok());
  EXPECT_EQ(overrides.Over(Base())->size(), 1U);
  EXPECT_EQ(overrides.Add(Change(Kind::kRemove, "a"), Base()).code(), StatusCode::kNotFound);
  ASSERT_TRUE(overrides.Add(Change(Kind::kPut, "a"), Base()).ok());
  EXPECT_EQ(After(overrides, "a")->base_path, "/put");
}

TEST(ModelOverridesTest, LoadEndsUnloadAsConfigured) {
  ModelOverrides overrides;
  for (const auto& [name, mode] :
       {std::pair{"a", core::LoadMode::kAlways}, std::pair{"lazy", core::LoadMode::kOnDemand}}) {
    ASSERT_TRUE(overrides.Add(Change(Kind::kUnload, name), Base()).ok());
    EXPECT_EQ(After(overrides, name)->load_mode, core::LoadMode::kNever);
    ASSERT_TRUE(overrides.Add(Change(Kind::kLoad, name), Base()).ok());
    EXPECT_EQ(After(overrides, name)->load_mode, mode);
  }
}

TEST(ModelOverridesTest, LabelsAndPins) {
  ModelOverrides overrides;
  ASSERT_TRUE(overrides.Add(Change(Kind::kLabel, "a", 7, "canary"), Base()).ok());
  ASSERT_TRUE(overrides.Add(Change(Kind::kUnlabel, "a", 0, "stable"), Base()).ok());
  EXPECT_EQ(After(overrides, "a")->labels,
            (std::map<std::string, core::VersionNumber>{{"canary", {7}}}));
  EXPECT_EQ(overrides.Add(Change(Kind::kUnlabel, "a", 0, "stable"), Base()).code(),
            StatusCode::kNotFound);
  ASSERT_TRUE(overrides.Add(Change(Kind::kLabel, "a", 2, "stable"), Base()).ok());
  EXPECT_EQ(After(overrides, "a")->labels.at("stable").value, 2);
  ASSERT_TRUE(overrides.Add(Change(Kind::kPin, "a", 3), Base()).ok());
  EXPECT_EQ(After(overrides, "a")->versions, ConfiguredModel::Versions::kSpecific);
  EXPECT_EQ(overrides.PinOf("a")->value, 3);
  // A client's list: what was pinned stays, labels do not.
  overrides.ForgetList();
  EXPECT_EQ(overrides.PinOf("a")->value, 3);
  EXPECT_EQ(After(overrides, "a")->labels.at("stable").value, 1);
  ASSERT_TRUE(overrides.Add(Change(Kind::kUnpin, "a"), Base()).ok());
  EXPECT_EQ(overrides.PinOf("a"), std::nullopt);
}

TEST(ModelOverridesTest, APinOrLabelIsRolledBackAndNothingElse) {
  ModelOverrides overrides;
  ASSERT_TRUE(overrides.Add(Change(Kind::kUnlabel, "a", 0, "stable"), Base()).ok());
  const ModelChange pin = Change(Kind::kPin, "a", 3);
  const ModelChange label = Change(Kind::kLabel, "a", 3, "stable");
  const ModelOverrides before = overrides;
  EXPECT_FALSE(overrides.RollBack(pin, before));  // it is not there
  EXPECT_FALSE(overrides.RollBack(label, before));
  ASSERT_TRUE(overrides.Add(pin, Base()).ok());
  ASSERT_TRUE(overrides.Add(label, Base()).ok());
  ASSERT_TRUE(overrides.Add(Change(Kind::kPut, "new"), Base()).ok());
  EXPECT_TRUE(overrides.RollBack(pin, before));
  EXPECT_TRUE(overrides.RollBack(label, before));
  EXPECT_EQ(overrides.PinOf("a"), std::nullopt);
  EXPECT_TRUE(After(overrides, "a")->labels.empty());
  EXPECT_TRUE(After(overrides, "new"));

  // As they were before, if they were.
  ASSERT_TRUE(overrides.Add(Change(Kind::kPin, "a", 1), Base()).ok());
  ASSERT_TRUE(overrides.Add(Change(Kind::kLabel, "a", 1, "stable"), Base()).ok());
  const ModelOverrides once = overrides;
  for (const ModelChange* change : {&pin, &label}) {
    ASSERT_TRUE(overrides.Add(*change, Base()).ok());
    EXPECT_TRUE(overrides.RollBack(*change, once));
  }
  EXPECT_EQ(overrides.PinOf("a")->value, 1);
  EXPECT_EQ(After(overrides, "a")->labels.at("stable").value, 1);

  // Another change has come.
  ASSERT_TRUE(overrides.Add(label, Base()).ok());
  overrides.ForgetList();
  EXPECT_FALSE(overrides.RollBack(label, once));
  ASSERT_TRUE(overrides.Add(pin, Base()).ok());
  ASSERT_TRUE(overrides.Add(Change(Kind::kRemove, "a"), Base()).ok());
  EXPECT_FALSE(overrides.RollBack(pin, once));
}

TEST(ModelOverridesTest, FileKeepsThem) {
  const TestFolder folder;
  const std::string path = folder / "state";
  ModelOverrides overrides;
  EXPECT_TRUE(overrides.Read(folder / "nowhere").ok());
  ASSERT_TRUE(overrides.Add(Change(Kind::kPut, "new"), Base()).ok());
  ASSERT_TRUE(overrides.Add(Change(Kind::kPin, "new", 5), Base()).ok());
  ASSERT_TRUE(overrides.Write(path).ok());
  ModelOverrides read;
  ASSERT_TRUE(read.Read(path).ok());
  EXPECT_EQ(After(read, "new")->specific, std::vector<core::VersionNumber>{{5}});
  folder.Write("state", "added { name: \"bad\" }");
  EXPECT_EQ(read.Read(path).code(), StatusCode::kInvalidArgument);
  folder.Write("state", "added {\n  nme: 'a' }");
  const Status status = read.Read(path);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(MessageOf(status),
              testing::HasSubstr(fmt::format("--state_file: Invalid protobuf file: '{}'", path)));
  EXPECT_THAT(MessageOf(status), testing::HasSubstr(": 2:3: "));
  EXPECT_THAT(MessageOf(status),
              testing::HasSubstr("named \"nme\"; did you mean \"name\"?: mend it, or remove it"));
  folder.Write("state", "models { key: 'm' value { pinned_version: -3 } }");
  EXPECT_THAT(MessageOf(read.Read(path)), testing::HasSubstr("model m is pinned to version -3"));
  EXPECT_EQ(read.Write("/nowhere/state").code(), StatusCode::kInternal);
}

TEST(ModelOverridesTest, TellsWhetherThereAreAny) {
  ModelOverrides overrides;
  EXPECT_TRUE(overrides.IsEmpty());
  ASSERT_TRUE(overrides.Add(Change(Kind::kPut, "new"), Base()).ok());
  EXPECT_FALSE(overrides.IsEmpty());
}

}  // namespace
}  // namespace penstock
