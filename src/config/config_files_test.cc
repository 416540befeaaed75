// SPDX-License-Identifier: Apache-2.0
#include "config/config_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

namespace penstock {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(ModelConfig, ReadsAllOfAModel) {
  const auto models = ParseModelConfig(R"(
    model_config_list {
      config {
        name: "a" base_path: "/models/a" model_platform: "tensorflow"
        model_version_policy { latest { num_versions: 2 } }
        version_labels { key: "stable" value: 1 }
        version_labels { key: "canary" value: 2 }
      }
      config: {
        name: 'b', base_path: '/models/b'  # a comment
        model_version_policy: { specific { versions: 3 versions: 5 } }
      }
      config { name: "c" base_path: "/c" model_version_policy { all {} } model_type: TENSORFLOW }
      config { name: "d" base_path: "/d" model_version_policy { latest {} } }
    })",
                                       "models.config");
  ASSERT_TRUE(models.ok()) << models.status();
  ASSERT_EQ(models->size(), 4u);
  const ConfiguredModel& a = (*models)[0];
  EXPECT_EQ(a.name, "a");
  EXPECT_EQ(a.base_path, "/models/a");
  EXPECT_EQ(a.platform, "tensorflow");
  EXPECT_EQ(a.versions, ConfiguredModel::Versions::kLatest);
  EXPECT_EQ(a.latest_count, 2u);
  EXPECT_EQ(a.labels.at("canary").value, 2);
  const ConfiguredModel& b = (*models)[1];
  EXPECT_EQ(b.versions, ConfiguredModel::Versions::kSpecific);
  EXPECT_EQ(b.specific.at(1).value, 5);
  EXPECT_EQ((*models)[2].versions, ConfiguredModel::Versions::kAll);
  EXPECT_EQ((*models)[2].platform, "tensorflow");
  EXPECT_EQ((*models)[3].latest_count, 1u);
}

TEST(ModelConfig, ReadsPenstockOptions) {
  const auto models = ParseModelConfig(R"(
    model_config_list {
      config { name: "a" base_path: "/a" penstock { warm_up { enabled: false iterations: 3 }
        transition: RESOURCE_PRESERVING load: ON_DEMAND unload_after_idle_ms: 5 keep_loaded: true
        load_timeout_ms: 0 memory_bytes: 7 } }
      config { name: "b" base_path: "/b" }
    })",
                                       "f");
  ASSERT_TRUE(models.ok()) << models.status();
  EXPECT_EQ((*models)[0].warm_up_enabled, false);
  EXPECT_EQ((*models)[0].warm_up_iterations, 3u);
  EXPECT_TRUE((*models)[0].preserves_resources);
  EXPECT_EQ((*models)[0].load_mode, core::LoadMode::kOnDemand);
  EXPECT_EQ((*models)[0].unload_after_idle, std::chrono::milliseconds(5));
  EXPECT_TRUE((*models)[0].keep_loaded);
  EXPECT_EQ((*models)[0].load_timeout, std::chrono::milliseconds(0));
  EXPECT_EQ((*models)[0].memory_bytes, 7u);
  EXPECT_FALSE((*models)[1].preserves_resources);
  EXPECT_EQ((*models)[1].load_mode, core::LoadMode::kAlways);
  EXPECT_EQ((*models)[1].load_timeout, std::nullopt);
  EXPECT_EQ((*models)[1].warm_up_enabled, std::nullopt);
  EXPECT_EQ((*models)[1].warm_up_iterations, 0u);
}

TEST(ModelConfig, AcceptsAnEmptyList) {
  const auto models = ParseModelConfig("model_config_list {}", "f");
  ASSERT_TRUE(models.ok());
  EXPECT_TRUE(models->empty());
}

std::string ModelError(std::string_view text) {
  const auto models = ParseModelConfig(text, "models.config");
  EXPECT_EQ(models.status().code(), StatusCode::kInvalidArgument);
  return std::string(MessageOf(models.status()));
}

std::string ErrorOfModel(const std::string& fields) {
  return ModelError("model_config_list { config { " + fields + " } }");
}

TEST(ModelConfig, NamesTheLineOfASyntaxError) {
  const std::string error = ModelError("model_config_list {\n  config {\n    nam: \"a\"\n  }\n}\n");
  EXPECT_THAT(error, testing::StartsWith(
                         "Invalid protobuf file: 'models.config': Error parsing text-format "
                         "tensorflow.serving.ModelServerConfig: 3:"));
  EXPECT_THAT(error, testing::EndsWith("named \"nam\"; did you mean \"name\"?"));
  EXPECT_THAT(ModelError("model_config_list {"), HasSubstr("Config: 1:"));
}

TEST(ModelConfig, WrongNamesOfFieldsAndValuesGetTheRightOnes) {
  EXPECT_THAT(ErrorOfModel("nam: \"a\""), HasSubstr("\"nam\"; did you mean \"name\"?"));
  EXPECT_THAT(
      ModelError("model_config_list {\n  config {\n    penstock {\n      load: LAZY\n"
                 "      keep_loaded: true } } }"),
      HasSubstr("4:13: Unknown enumeration value of \"LAZY\" for field \"load\"; say ALWAYS, "
                "ON_DEMAND or NEVER"));
  EXPECT_THAT(ErrorOfModel("penstock { keep_loaded: maybe }"),
              HasSubstr("Value: \"maybe\"; say true or false"));
  EXPECT_THAT(ErrorOfModel("penstock { xyzxyzxyz { } }"),
              HasSubstr("; say transition, load, unload_after_idle_ms"));
  EXPECT_THAT(ErrorOfModel("base_path: 5"),
              HasSubstr("Expected string, got: 5, for the field \"base_path\""));
  EXPECT_THAT(ErrorOfModel("name: 'a' base_path: '/a\\000/b'"),
              HasSubstr("has the base_path '/a', followed by a NUL character"));
  // A number that no value has would be taken for one.
  EXPECT_THAT(ErrorOfModel("name: 'a' base_path: '/a' penstock { load: 7 }"),
              HasSubstr("has the load 7, which is none; say ALWAYS, ON_DEMAND or NEVER"));
  EXPECT_THAT(ErrorOfModel("name: 'a' base_path: '/a' penstock { transition: 7 }"),
              HasSubstr("has the transition 7, which is none; say AVAILABILITY_PRESERVING or"));
}

// A message of the list, and one in a list of its own.
TEST(ModelConfig, ErrorsInListsAreAboutTheirOwnField) {
  EXPECT_THAT(ErrorOfModel("penstock { shadow: [{ name: 'a' }, { nmae: 'b' }] }"),
              HasSubstr("\"penstock.config.Shadow\" has no field named \"nmae\"; did you mean "
                        "\"name\"?"));
  EXPECT_THAT(ErrorOfModel("penstock { shadow: [{ name: 'a' } 5"),
              HasSubstr("after the field \"shadow\""));
}

TEST(ModelConfig, RefusesModelsThatCannotBeServed) {
  EXPECT_THAT(ModelError(""), HasSubstr("there is no model_config_list"));
  EXPECT_THAT(ModelError("custom_model_config { type_url: \"x\" }"), HasSubstr("not supported"));
  EXPECT_THAT(ErrorOfModel("base_path: '/a'"), HasSubstr("model 1 of the list has no name"));
  EXPECT_THAT(ErrorOfModel("name: 'a'"), HasSubstr("model 'a' has no base_path"));
  EXPECT_THAT(ModelError("model_config_list { config { name: 'a' base_path: '/a' }"
                         " config { name: 'a' base_path: '/b' } }"),
              HasSubstr("models.config: Illegal to list model a multiple times in config list"));
  const std::string a = "name: 'a' base_path: '/a' ";
  EXPECT_THAT(ErrorOfModel(a + "penstock { memory_bytes: -1 }"),
              HasSubstr("model 'a' has a memory_bytes of -1, below 0"));
  EXPECT_THAT(ErrorOfModel(a + "penstock { memory_bytes: 9223372036854775807 }"),
              HasSubstr("memory_bytes of 9223372036854775807, above 1125899906842624"));
  EXPECT_THAT(ErrorOfModel(a + "penstock { load_timeout_ms: 9223372036854775807 }"),
              HasSubstr("load_timeout_ms of 9223372036854775807, above 4398046511104"));
  EXPECT_THAT(ErrorOfModel(a + "penstock { warm_up { iterations: -1 } }"),
              HasSubstr("model 'a' has warm_up with -1 iterations, below 0"));
  EXPECT_THAT(ErrorOfModel(a + "model_type: TENSORFLOW model_platform: 'x'"),
              HasSubstr("both model_type and model_platform"));
  EXPECT_THAT(ErrorOfModel(a + "model_type: OTHER"), HasSubstr("say model_platform"));
  EXPECT_THAT(ErrorOfModel(a + "logging_config { sampling_config { sampling_rate: 2 } }"),
              HasSubstr("model 'a' has a logging_config with a sampling_rate of 2"));
  EXPECT_THAT(ErrorOfModel(a + "model_version_policy { specific { versions: -1 } }"),
              HasSubstr("version -1"));
  EXPECT_THAT(ErrorOfModel(a + "version_labels { key: 'l' value: -2 }"), HasSubstr("version -2"));
  EXPECT_THAT(ErrorOfModel(a + "version_labels { value: 2 }"), HasSubstr("empty version label"));
}

TEST(ModelConfig, OtherBasePathsThanFileUrlsStay) {
  for (const char* path :
       {"/models/a", "models/a", "s3://bucket/a", "builtin:identity", "/models/gs://a", "a:b"})
    EXPECT_EQ(ReadBasePath(path).value_or("?"), path);
}

TEST(ModelConfig, FileUrlsAreFolders) {
  for (const auto& [url, path] : std::initializer_list<std::pair<const char*, const char*>>{
           {"file:///models/a", "/models/a"},
           {"file://localhost/models/a", "/models/a"},
           {"file:///a%20b", "/a%20b"}}) {
    EXPECT_EQ(ReadBasePath(url).value_or("?"), path) << url;
  }
  const auto models = ParseModelConfig(
      "model_config_list { config { name: 'a' base_path: 'file:///models/a' } }", "f");
  ASSERT_TRUE(models.ok()) << models.status();
  EXPECT_EQ(models->at(0).base_path, "/models/a");
  EXPECT_THAT(ErrorOfModel("name: 'a' base_path: 'file://models/a'"),
              HasSubstr("'file://models/a': a file URL has three slashes before its path; say "
                        "file:///models/a"));
  EXPECT_THAT(ErrorOfModel("name: 'a' base_path: 'file://'"), HasSubstr("it names no folder"));
}

TEST(ModelConfig, AnEmptyFileIsAnEmptyListOnlyIfAllowed) {
  EXPECT_FALSE(ParseModelConfig("# nothing yet\n", "f").ok());
  const auto models = ParseModelConfig("# nothing yet\n", "f", EmptyFile::kNoModels);
  ASSERT_TRUE(models.ok()) << models.status();
  EXPECT_TRUE(models->empty());
  EXPECT_FALSE(
      ParseModelConfig("custom_model_config { type_url: 'x' }", "f", EmptyFile::kNoModels).ok());
}

TEST(ModelConfig, AcceptsAPolicyThatNamesNoVersion) {
  const auto models = ParseModelConfig(
      "model_config_list { config { name: 'a' base_path: '/a'"
      " model_version_policy { specific {} } } }",
      "f");
  ASSERT_TRUE(models.ok()) << models.status();
  EXPECT_EQ(models->at(0).versions, ConfiguredModel::Versions::kSpecific);
  EXPECT_TRUE(models->at(0).specific.empty());
}

TEST(MonitoringConfig, ReadsPathAndSwitch) {
  auto settings = ParseMonitoringConfig("prometheus_config { enable: true path: '/m' }", "f");
  ASSERT_TRUE(settings.ok());
  EXPECT_TRUE(settings->enable);
  EXPECT_EQ(settings->path, "/m");
  settings = ParseMonitoringConfig("", "f");
  ASSERT_TRUE(settings.ok());
  EXPECT_FALSE(settings->enable);
  EXPECT_EQ(settings->path, "/monitoring/prometheus/metrics");
  EXPECT_THAT(std::string(MessageOf(
                  ParseMonitoringConfig("prometheus_config { path: 'm' }", "f").status())),
              HasSubstr("must begin with '/'"));
}

TEST(SslConfig, ReadsPemTexts) {
  const auto settings = ParseSslConfig(
      "server_key: 'KEY\\n' server_cert: 'CERT' custom_ca: 'CA' client_verify: true", "f");
  ASSERT_TRUE(settings.ok());
  EXPECT_EQ(settings->server_key, "KEY\n");
  EXPECT_EQ(settings->server_cert, "CERT");
  EXPECT_EQ(settings->custom_ca, "CA");
  EXPECT_TRUE(settings->client_verify);
}

TEST(SslConfig, RefusesIncompleteConfigs) {
  const auto error = [](std::string_view text) {
    return std::string(MessageOf(ParseSslConfig(text, "ssl.config").status()));
  };
  EXPECT_THAT(error("server_key: 'k'"), HasSubstr("both needed"));
  EXPECT_THAT(error("server_key: 'k' server_cert: 'c' client_verify: true"),
              HasSubstr("needs custom_ca"));
  EXPECT_THAT(error("server_key 'k'"),
              HasSubstr("Invalid protobuf file: 'ssl.config': Error parsing text-format "
                        "tensorflow.serving.SSLConfig: 1:"));
}

// The file has the private key of the server, and errors go to the log.
TEST(SslConfig, ErrorsDoNotRepeatTheKey) {
  const auto settings = ParseSslConfig("server_key: MIIEvQ server_cert: \"C\"", "ssl");
  ASSERT_FALSE(settings.ok());
  EXPECT_THAT(MessageOf(settings.status()),
              HasSubstr("1:13: Expected string, for the field \"server_key\""));
  EXPECT_EQ(MessageOf(settings.status()).find("MIIE"), std::string_view::npos);
}

TEST(ConfigFilesTest, ATruncatedFileIsNamedAsSuch) {
  const auto error = [](std::string_view text) {
    return std::string(MessageOf(ParseModelConfig(text, "f").status()));
  };
  const std::string_view whole =
      "model_config_list {\n\tconfig { name: \"a\" base_path: \"/a\" }\n}\n";
  EXPECT_TRUE(ParseModelConfig(whole, "f").ok());
  for (const char* last :
       {"list ", "list {", "\tconf", "name: ", "\"a", "base_", "\"/a\"", "}\n"}) {
    const std::string_view start = whole.substr(0, whole.find(last) + std::strlen(last));
    EXPECT_THAT(error(start), HasSubstr("the text ends here: it is cut short")) << start;
    EXPECT_THAT(error(std::string(start) + " \n\n"), HasSubstr("the text ends here")) << start;
  }
  EXPECT_THAT(error(std::string(whole) + "}"), Not(HasSubstr("cut short")));
  EXPECT_THAT(error("model_config_list { config { nme: 'a' } }"), Not(HasSubstr("cut short")));
}

}  // namespace
}  // namespace penstock
