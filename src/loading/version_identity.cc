// SPDX-License-Identifier: Apache-2.0
#include "loading/version_identity.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <string_view>
#include <system_error>
#include <vector>

namespace penstock {
namespace {

namespace fs = std::filesystem;

// A text with its length before it, so that no two lists of texts look the same.
void Append(std::string_view text, std::string& to) {
  fmt::format_to(std::back_inserter(to), "{}:{},", text.size(), text);
}

}  // namespace

std::string VersionIdentity(const core::ServableId& id, const std::string& platform,
                            const std::string& folder) {
  std::vector<std::string> files;
  std::error_code error;
  fs::recursive_directory_iterator entries(folder, fs::directory_options::follow_directory_symlink,
                                           error);
  for (; !error && entries != fs::recursive_directory_iterator(); entries.increment(error)) {
    struct stat info = {};
    if (::stat(entries->path().c_str(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
    std::string& file = files.emplace_back();
    Append(entries->path().lexically_relative(folder).native(), file);
    fmt::format_to(std::back_inserter(file), "{},{}.{:09}", info.st_size, info.st_mtim.tv_sec,
                   info.st_mtim.tv_nsec);
  }
  std::ranges::sort(files);  // a folder has no order
  std::string identity;
  Append(id.name, identity);
  Append(std::to_string(id.version.value), identity);
  Append(platform, identity);
  for (const std::string& file : files) Append(file, identity);
  return identity;
}

}  // namespace penstock
