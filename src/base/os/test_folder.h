// SPDX-License-Identifier: Apache-2.0
// Temporary files of one test.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "base/check.h"

namespace penstock {

// A temporary folder. The destructor removes it, with all that is in it.
//
//   const TestFolder folder;
//   folder.Write("m/1/model.onnx", bytes);   // makes the parent folders
//   Load(folder / "m/1");
//
// Thread-safe, as far as the file system is.
class TestFolder final {
 public:
  TestFolder() : path_(testing::TempDir() + "penstock_test_XXXXXX") {
    PENSTOCK_CHECK(mkdtemp(path_.data()) != nullptr, "a test needs a folder for temporary files");
  }
  ~TestFolder() { std::filesystem::remove_all(path_); }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;

  const std::string& path() const { return path_; }
  // The path of the file `name` in the folder. The file need not exist.
  std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }

  // These also create the parent folders, and return the path. An existing file is overwritten.
  std::string Make(std::string_view folder) const {
    std::string path = *this / folder;
    std::filesystem::create_directories(path);
    return path;
  }
  std::string Write(std::string_view file, std::string_view bytes = "") const {
    std::string path = *this / file;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }
  // Returns the contents of a file; empty if it does not exist.
  std::string Read(std::string_view file) const {
    std::ifstream stream(*this / file, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  }

 private:
  std::string path_;
};

}  // namespace penstock
