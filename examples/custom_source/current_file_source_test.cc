// SPDX-License-Identifier: Apache-2.0
#include "current_file_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/os/test_folder.h"
#include "core/loader_fake.h"
#include "core/manager.h"

namespace penstock::examples {
namespace {

using testing::HasSubstr;

class CurrentFileSourceTest : public testing::Test {
 protected:
  CurrentFileSourceTest() { EXPECT_TRUE(manager_.SetModel({.name = "m"}).ok()); }
  ~CurrentFileSourceTest() override {
    source_.Stop();
    manager_.Stop();
  }

  // At once, as whoever deploys should: the source reads no half of it.
  void WriteCurrent(const std::string& text) {
    std::filesystem::rename(folder_.Write("next", text), folder_ / "current");
  }
  bool IsReady(int64_t version) { return manager_.GetHandle("m", {{version}}).ok(); }
  // The test's time-out is the limit.
  void WaitUntil(const std::function<bool()>& condition) {
    EXPECT_TRUE(manager_.WaitFor(condition));
  }

  const TestFolder folder_;
  core::Manager manager_;
  CurrentFileSource source_{
      "m", folder_.path(), std::chrono::milliseconds(1),
      [](const core::ServableId&, const std::string&) {
        return std::make_unique<core::FakeLoader>(std::make_shared<core::FakePlan>());
      }};
};

TEST_F(CurrentFileSourceTest, ServesWhatTheFileLists) {
  WriteCurrent("1\n");
  source_.Start(manager_);
  WaitUntil([&] { return IsReady(1); });
  WriteCurrent("2\n3\n");
  WaitUntil([&] { return IsReady(2) && IsReady(3) && !IsReady(1); });
  WriteCurrent("1\n");  // back again
  WaitUntil([&] { return IsReady(1) && !IsReady(2) && !IsReady(3); });
  WriteCurrent("");
  WaitUntil([&] { return !IsReady(1); });
}

TEST_F(CurrentFileSourceTest, AFileThatMakesNoSenseChangesNothing) {
  source_.Start(manager_);
  WaitUntil([&] { return manager_.SourceStatus("m").code() == StatusCode::kNotFound; });
  WriteCurrent("1\n");
  WaitUntil([&] { return IsReady(1) && manager_.SourceStatus("m").ok(); });
  for (const std::string bad : {"2\nx\n", "-1\n", "1 2\n", "\n"}) {
    WriteCurrent(bad);
    WaitUntil([&] { return !manager_.SourceStatus("m").ok(); });
    EXPECT_THAT(MessageOf(manager_.SourceStatus("m")), HasSubstr("which is no version number"));
    EXPECT_TRUE(IsReady(1));
    WriteCurrent("1\n");
    WaitUntil([&] { return manager_.SourceStatus("m").ok(); });
  }
}

TEST_F(CurrentFileSourceTest, ReportsNothingAfterTheStop) {
  WriteCurrent("1\n");
  source_.Start(manager_);
  WaitUntil([&] { return IsReady(1); });
  source_.Stop();
  WriteCurrent("2\n");
  EXPECT_TRUE(manager_.WaitUntilIdle());
  EXPECT_TRUE(IsReady(1));
}

}  // namespace
}  // namespace penstock::examples
