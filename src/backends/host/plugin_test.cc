// SPDX-License-Identifier: Apache-2.0
// With tests/backends/troubled_backend.cc, whose table is wrong as PENSTOCK_TROUBLE says.
#include "backends/host/plugin.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string_view>

#include "base/os/test_folder.h"
#include "base/os/test_paths.h"

namespace penstock {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

const std::string kTroubledBackend = BuildPath("tests/backends/troubled/penstock_troubled.so");

class PluginTest : public testing::Test {
 protected:
  void SetUp() override {
#ifndef HAS_TROUBLED_BACKEND
    GTEST_SKIP() << "built without plug-ins";
#endif
  }
  void TearDown() override { unsetenv("PENSTOCK_TROUBLE"); }

  StatusOr<std::unique_ptr<Plugin>> Open(const std::string& library = kTroubledBackend) {
    return Plugin::Open({"troubled", fs::path(library).parent_path(), library, {}}, options_,
                        watch_);
  }
  Status OpenError(const std::string& trouble) {
    setenv("PENSTOCK_TROUBLE", trouble.c_str(), 1);
    return Open().status();
  }
  StatusOr<std::unique_ptr<Model>> Load(Plugin& plugin, std::string_view how = "well") const {
    version_.Write("model.troubled", how);
    return plugin.Load(version_.path(), {});
  }
  static InferResponse Run(Model& model, const std::string& command) {
    Tensor text = *Tensor::Allocate(DType::kString, {1});
    text.mutable_as<StringElement>()[0] = {command.data(), command.size()};
    InferRequest request;
    request.inputs.push_back({"command", std::move(text)});
    InferResponse response;
    model.Run(request, [&](InferResponse part) { response = std::move(part); });
    return response;
  }

  const TestFolder version_;
  BackendHostOptions options_;
  DeadlineWatch watch_;
};

TEST_F(PluginTest, MissingFile) {
  const Status status = Open("/nowhere/penstock_troubled.so").status();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(MessageOf(status)),
              HasSubstr("cannot open the backend /nowhere/penstock_troubled.so"));
  EXPECT_THAT(std::string(MessageOf(status)), HasSubstr("No such file"));
}

TEST_F(PluginTest, FileThatIsNoSharedObject) {
  const std::string path = version_.Write("penstock_text.so", "no code at all");
  const Status status = Open(path).status();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(MessageOf(status)), HasSubstr(path));
}

TEST_F(PluginTest, MissingSymbol) {
  const Status status = Open("libm.so.6").status();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(MessageOf(status)), HasSubstr("does not export penstock_backend_get"));
}

TEST_F(PluginTest, TableThatDoesNotFit) {
  const std::pair<const char*, const char*> kTroubles[] = {
      {"null", "does not work with version 2 of the backend interface"},
      {"old",
       "was built for version 1 of the backend interface, and this server has version 2: "
       "build it again with include/penstock/backend.h of this server"},
      {"abi", "was built for version 99 of the backend interface, and this server has version 2"},
      {"short", "its table of functions has 16 bytes"},
      {"no_run", "lacks one of initialise, load, describe, run, unload"},
      {"throw", "the backend threw: thrown as asked"}};
  for (const auto& [trouble, text] : kTroubles) {
    const Status status = OpenError(trouble);
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition) << trouble;
    EXPECT_THAT(std::string(MessageOf(status)), HasSubstr(text));
    EXPECT_THAT(std::string(MessageOf(status)), HasSubstr(kTroubledBackend));
  }
}

TEST_F(PluginTest, BackendThatDoesNotStart) {
  const Status status = OpenError("start");
  EXPECT_EQ(status.code(), StatusCode::kPermissionDenied);
  EXPECT_EQ(MessageOf(status), "cannot start the backend troubled: no licence");
  options_.set_by["troubled"] = "--troubled_library=/x";
  EXPECT_EQ(MessageOf(OpenError("start")),
            "cannot start the backend troubled: no licence (--troubled_library=/x)");
}

TEST_F(PluginTest, LoadsThatGoWrong) {
  const auto plugin = *Open();
  const std::pair<const char*, Status> kLoads[] = {
      {"fail", absl::DataLossError("failed as asked")},
      {"throw", absl::InternalError("thrown as asked")},
      {"no_model", absl::InternalError("gave no model")}};
  for (const auto& [how, expected] : kLoads) {
    const Status status = Load(*plugin, how).status();
    EXPECT_EQ(status.code(), expected.code()) << how;
    EXPECT_THAT(std::string(MessageOf(status)), HasSubstr(std::string(MessageOf(expected))));
    EXPECT_THAT(std::string(MessageOf(status)), HasSubstr(version_.path()));
    EXPECT_THAT(std::string(MessageOf(status)), HasSubstr("backend troubled"));
  }
  EXPECT_TRUE(Load(*plugin).ok());
}

TEST_F(PluginTest, RunThatThrowsIsAStatus) {
  const auto plugin = *Open();
  const auto model = *Load(*plugin);
  EXPECT_EQ(Run(*model, "throw").status, absl::InternalError("thrown as asked"));
  EXPECT_TRUE(Run(*model, "hello").status.ok());
}

TEST_F(PluginTest, ABrokenModelIsUnavailableAndReportedOnce) {
  const auto plugin = *Open();
  const auto model = *Load(*plugin);
  const auto other = *Load(*plugin);
  std::vector<Status> reports;
  model->SetBrokenCallback([&](Status reason) { reports.push_back(std::move(reason)); });
  EXPECT_TRUE(Run(*model, "break").status.ok());  // it answered in spite of it
  const Status broken =
      absl::UnavailableError("the backend 'troubled' reported it as broken: broken as asked");
  EXPECT_EQ(Run(*model, "break").status, broken);
  EXPECT_THAT(reports, testing::ElementsAre(broken));
  EXPECT_TRUE(Run(*other, "hello").status.ok());
  EXPECT_TRUE(Run(**Load(*plugin), "hello").status.ok());
}

TEST_F(PluginTest, ModelThatIsBrokenByItsLoadIsKnownToBe) {
  const auto plugin = *Open();
  const auto model = *Load(*plugin, "break");
  std::vector<Status> reports;
  model->SetBrokenCallback([&](Status reason) { reports.push_back(std::move(reason)); });
  ASSERT_EQ(reports.size(), 1U);
  EXPECT_EQ(Run(*model, "hello").status, reports[0]);
  EXPECT_TRUE(Run(**Load(*plugin), "hello").status.ok());
}

TEST_F(PluginTest, BrokenBackendBreaksAllItsModelsAndLoadsNothingMore) {
  const auto plugin = *Open();
  const auto one = *Load(*plugin);
  const auto two = *Load(*plugin);
  int reports = 0;
  two->SetBrokenCallback([&](const Status&) { ++reports; });
  EXPECT_TRUE(Run(*one, "break_backend").status.ok());
  EXPECT_EQ(reports, 1);
  for (Model* model : {one.get(), two.get()}) {
    const InferResponse response = Run(*model, "hello");
    EXPECT_EQ(response.status.code(), StatusCode::kUnavailable);
    EXPECT_THAT(std::string(MessageOf(response.status)), HasSubstr("all broken as asked"));
  }
  const Status status = Load(*plugin).status();
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_THAT(std::string(MessageOf(status)), HasSubstr("needs a restart of the server"));
}

}  // namespace
}  // namespace penstock
