// SPDX-License-Identifier: Apache-2.0
#include "loading/version_identity.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

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

TEST_F(VersionIdentityTest, OfSmallFilesTheContentCounts) {
  const std::string before = Identity();
  fs::remove(folder_ / "variables/data");
  Write("variables/data", "def", 2000);
  EXPECT_EQ(Identity(), before) << "the same content";
  Write("variables/data", "fed", 2000);
  EXPECT_NE(Identity(), before) << "the same size and time";
}

TEST_F(VersionIdentityTest, ChangesWithALargeFileOfTheSameSizeAndTime) {
  Write("variables/data", std::string((1 << 20) + 1, 'a'));
  const std::string before = Identity();
  // The clock of the file system may stand still for some milliseconds.
  while (true) {
    fs::remove(folder_ / "variables/data");
    Write("variables/data", std::string((1 << 20) + 1, 'b'));
    if (Identity() != before) break;
  }
  struct stat info = {};
  ASSERT_EQ(::stat((folder_ / "variables/data").c_str(), &info), 0);
  EXPECT_EQ(info.st_mtim.tv_sec, 1000);
}

TEST_F(VersionIdentityTest, OfTheServerChangesWithOptionsAndTheirFiles) {
  const std::string library = (folder_ / "saved_model.pb").string();
  std::set<std::string> seen = {ServerIdentity({})};
  EXPECT_EQ(ServerIdentity({{"saved_model_tags", "serve"}}),
            ServerIdentity({{"saved_model_tags", "serve"}}));
  EXPECT_TRUE(seen.insert(ServerIdentity({{"saved_model_tags", "serve"}})).second);
  EXPECT_TRUE(seen.insert(ServerIdentity({{"saved_model_tags", "gpu"}})).second);
  const std::string both = (folder_ / "variables").string() + "," + library;
  EXPECT_TRUE(seen.insert(ServerIdentity({{"op_libraries", both}})).second);
  Write("saved_model.pb", "abcd");
  EXPECT_TRUE(seen.insert(ServerIdentity({{"op_libraries", both}})).second);
  Write("variables/data", "defg");
  EXPECT_TRUE(seen.insert(ServerIdentity({{"op_libraries", both}})).second) << "in a folder";
}

TEST_F(VersionIdentityTest, OfARuntimeHasItsLibraries) {
  EXPECT_NE(RuntimeIdentity("libc.so").find("libc.so"), std::string::npos);
  EXPECT_EQ(RuntimeIdentity("libc.so"), RuntimeIdentity("libc.so"));
  EXPECT_EQ(RuntimeIdentity("no such runtime"), "");
}

TEST_F(VersionIdentityTest, DataThatARuntimeMapsDoesNotCount) {
  const fs::path path = folder_ / "libwonder.db";
  std::ofstream(path) << "data";
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  void* const data = mmap(nullptr, 4096, PROT_READ, MAP_SHARED, file, 0);
  EXPECT_EQ(RuntimeIdentity("libwonder"), "");
  munmap(data, 4096);
  void* const code = mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0);
  EXPECT_NE(RuntimeIdentity("libwonder"), "");
  munmap(code, 4096);
  close(file);
}

TEST_F(VersionIdentityTest, OfABuiltInModelIsItsName) {
  EXPECT_EQ(VersionIdentity({"m", {1}}, "builtin", "builtin:half_plus_two"),
            VersionIdentity({"m", {1}}, "builtin", "builtin:half_plus_two"));
}

}  // namespace
}  // namespace penstock
