// SPDX-License-Identifier: Apache-2.0
#include "backends/builtin/builtin_folder.h"

#include <gtest/gtest.h>

#include <string_view>

#include "base/os/test_folder.h"
#include "base/status.h"

namespace penstock {
namespace {

class BuiltinFolderTest : public testing::Test {
 protected:
  void Write(std::string_view text) { folder_.Write("model.builtin", text); }

  StatusOr<std::unique_ptr<core::Servable>> Load() {
    return MakeBuiltinFolderLoader({"m", {1}}, folder_.path(), metrics_)->Load();
  }

  MetricsRegistry metrics_;
  const TestFolder folder_;
};

TEST_F(BuiltinFolderTest, IsRecognisedByItsFile) {
  EXPECT_FALSE(IsBuiltinFolder(folder_.path()));
  EXPECT_FALSE(IsBuiltinFolder(folder_ / "nowhere"));
  Write("identity");
  EXPECT_TRUE(IsBuiltinFolder(folder_.path()));
}

TEST_F(BuiltinFolderTest, LoadsTheModelOfThatName) {
  for (const std::string_view text : {"identity", "identity\n", "half_plus_two\nmore\n"}) {
    Write(text);
    const auto servable = Load();
    ASSERT_TRUE(servable.ok()) << servable.status();
    EXPECT_NE(*servable, nullptr);
  }
}

TEST_F(BuiltinFolderTest, NamesTheWrongFileAndTheKnownModels) {
  Write("nothing");
  const auto servable = Load();
  EXPECT_EQ(servable.status().code(), StatusCode::kNotFound);
  const std::string message(MessageOf(servable.status()));
  EXPECT_NE(message.find(folder_ / "model.builtin"), std::string::npos) << message;
  EXPECT_NE(message.find("builtin:identity"), std::string::npos) << message;
}

TEST_F(BuiltinFolderTest, FailsWithoutTheFile) {
  EXPECT_EQ(Load().status().code(), StatusCode::kNotFound);
}

TEST_F(BuiltinFolderTest, ReadsAtMostTheLengthOfAName) {
  Write(std::string(10'000'000, 'x'));
  EXPECT_LT(MessageOf(Load().status()).size(), 1000U);
}

}  // namespace
}  // namespace penstock
