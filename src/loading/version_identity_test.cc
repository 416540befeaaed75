// SPDX-License-Identifier: Apache-2.0
#include "loading/version_identity.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "base/os/test_folder.h"

namespace penstock {
namespace {

namespace fs = std::filesystem;

class VersionIdentityTest : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(folder_ / "variables");
    Write("saved_model.pb", "abc");
    Write("variables/data", "def");
  }

  // Writes a file whose time of change is always the same.
  void Write(const std::string& name, const std::string& text, int64_t seconds = 1000) const {
    std::ofstream(folder_ / name) << text;
    const timespec times[2] = {{seconds, 5}, {seconds, 5}};
    ASSERT_EQ(::utimensat(AT_FDCWD, (folder_ / name).c_str(), times, 0), 0);
  }
  std::string Identity(const std::string& name = "m", int64_t version = 1,
                       const std::string& platform = "p") const {
    return VersionIdentity({name, {version}}, platform, folder_.string());
  }

  const TestFolder own_;
  const fs::path folder_ = own_.path();
};

TEST_F(VersionIdentityTest, StaysWhileNothingChanges) {
  const std::string before = Identity();
  EXPECT_EQ(before, Identity());
  EXPECT_EQ(before.find(folder_.string()), std::string::npos) << "the model may be moved";
}

TEST_F(VersionIdentityTest, ChangesWithAnything) {
  std::set<std::string> seen = {Identity(), Identity("n"), Identity("m", 2), Identity("m", 1, "q")};
  EXPECT_EQ(seen.size(), 4u);
  Write("variables/data", "defg");
  EXPECT_TRUE(seen.insert(Identity()).second) << "another size";
  Write("variables/data", "DEFG", 1001);
  EXPECT_TRUE(seen.insert(Identity()).second) << "another time, and the same size";
  Write("variables/more", "");
  EXPECT_TRUE(seen.insert(Identity()).second) << "one more file";
  fs::rename(folder_ / "variables/more", folder_ / "variables/less");
  EXPECT_TRUE(seen.insert(Identity()).second) << "another name";
}

TEST_F(VersionIdentityTest, OfABuiltInModelIsItsName) {
  EXPECT_EQ(VersionIdentity({"m", {1}}, "builtin", "builtin:half_plus_two"),
            VersionIdentity({"m", {1}}, "builtin", "builtin:half_plus_two"));
}

}  // namespace
}  // namespace penstock
