// SPDX-License-Identifier: Apache-2.0
// Where tests find the files of the repository and of their build.
#pragma once

#include <string>
#include <string_view>

namespace penstock {

// Absolute paths. CMake writes them into a source of their own (cmake/Penstock.cmake). As compile
// definitions of the tests they would keep ccache from finding the tests' objects in another
// check-out.
extern const char kSourceFolder[];
extern const char kBuildFolder[];

inline std::string SourcePath(std::string_view path) {
  return std::string(kSourceFolder) + "/" + std::string(path);
}
inline std::string BuildPath(std::string_view path) {
  return std::string(kBuildFolder) + "/" + std::string(path);
}

}  // namespace penstock
