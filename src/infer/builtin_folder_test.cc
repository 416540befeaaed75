// SPDX-License-Identifier: Apache-2.0
#include "infer/builtin_folder.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string_view>

#include "base/status.h"

namespace penstock {
namespace {

class BuiltinFolderTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "builtin_folder_" +
              testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void Write(std::string_view text) { std::ofstream(folder_ + "/model.builtin") << text; }

  StatusOr<std::unique_ptr<core::Servable>> Load() {
    return MakeBuiltinFolderLoader({"m", {1}}, folder_, metrics_)->Load();
  }

  MetricsRegistry metrics_;
  std::string folder_;
};

TEST_F(BuiltinFolderTest, IsRecognisedByItsFile) {
  EXPECT_FALSE(IsBuiltinFolder(folder_));
  EXPECT_FALSE(IsBuiltinFolder(folder_ + "/nowhere"));
  Write("identity");
  EXPECT_TRUE(IsBuiltinFolder(folder_));
}

TEST_F(BuiltinFolderTest, LoadsTheModelOfThatName) {
  for (const std::string_view text : {"identity", "identity\n", "half_plus_two\nmore\n"}) {
    Write(text);
    const auto servable = Load();
    ASSERT_TRUE(servable.ok()) << servable.status();
    EXPECT_NE(*servable, nullptr);
  }
}

TEST_F(BuiltinFolderTest, SaysWhichFileIsWrongAndWhatThereIs) {
  Write("nothing");
  const auto servable = Load();
  EXPECT_EQ(servable.status().code(), StatusCode::kNotFound);
  const std::string message(MessageOf(servable.status()));
  EXPECT_NE(message.find(folder_ + "/model.builtin"), std::string::npos) << message;
  EXPECT_NE(message.find("builtin:identity"), std::string::npos) << message;
}

TEST_F(BuiltinFolderTest, FailsWithoutTheFile) {
  EXPECT_EQ(Load().status().code(), StatusCode::kNotFound);
}

TEST_F(BuiltinFolderTest, ReadsNoMoreThanANameCanBe) {
  Write(std::string(10'000'000, 'x'));
  EXPECT_LT(MessageOf(Load().status()).size(), 1000U);
}

}  // namespace
}  // namespace penstock
