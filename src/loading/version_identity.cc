// SPDX-License-Identifier: Apache-2.0
#include "loading/version_identity.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <openssl/evp.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <set>
#include <span>
#include <sstream>
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

void AppendTime(const timespec& time, std::string& to) {
  fmt::format_to(std::back_inserter(to), ",{}.{:09}", time.tv_sec, time.tv_nsec);
}

// Larger files are not read.
constexpr off_t kReadBytesMax = 1 << 20;

// Appends a hash of the content. Returns false if the file does not have `size` bytes to read.
bool AppendContent(const std::string& path, size_t size, std::string& to) {
  std::string content(size, '\0');
  std::ifstream stream(path, std::ios::binary);
  if (!stream.read(content.data(), static_cast<std::streamsize>(size))) return false;
  std::array<unsigned char, EVP_MAX_MD_SIZE> hash{};
  unsigned int hash_size = 0;
  if (EVP_Digest(content.data(), size, hash.data(), &hash_size, EVP_sha256(), nullptr) != 1)
    return false;
  fmt::format_to(std::back_inserter(to), ",{:02x}",
                 fmt::join(std::span(hash).first(hash_size), ""));
  return true;
}

// Appends a file under this name, if there is one.
void AppendFile(const std::string& path, std::string_view name, std::vector<std::string>& to) {
  struct stat info = {};
  if (::stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return;
  std::string& file = to.emplace_back();
  Append(name, file);
  file += std::to_string(info.st_size);
  if (info.st_size <= kReadBytesMax && AppendContent(path, static_cast<size_t>(info.st_size), file))
    return;
  AppendTime(info.st_mtim, file);
  AppendTime(info.st_ctim, file);
}

// Appends all files below the folder, in an order of their own: a folder has none.
void AppendFolder(const std::string& folder, std::string& to) {
  std::vector<std::string> files;
  std::error_code error;
  fs::recursive_directory_iterator entries(folder, fs::directory_options::follow_directory_symlink,
                                           error);
  for (; !error && entries != fs::recursive_directory_iterator(); entries.increment(error))
    AppendFile(entries->path(), entries->path().lexically_relative(folder).native(), files);
  std::ranges::sort(files);
  for (const std::string& file : files) Append(file, to);
}

}  // namespace

std::string VersionIdentity(const core::ServableId& id, const std::string& platform,
                            const std::string& folder) {
  std::string identity;
  Append(id.name, identity);
  Append(std::to_string(id.version.value), identity);
  Append(platform, identity);
  AppendFolder(folder, identity);
  return identity;
}

std::string ServerIdentity(const std::vector<std::pair<std::string, std::string>>& options) {
  std::string identity;
  std::vector<std::string> files;
  AppendFile("/proc/self/exe", "program", files);
  for (const auto& [name, value] : options) {
    Append(name, identity);
    Append(value, identity);
    std::istringstream paths(value);
    for (std::string path; std::getline(paths, path, ',');) {
      AppendFile(path, path, files);
      std::error_code ignored;
      if (fs::is_directory(path, ignored)) AppendFolder(path, identity);
    }
  }
  for (const std::string& file : files) Append(file, identity);
  return identity;
}

std::string RuntimeIdentity(std::string_view runtime) {
  std::set<std::string> libraries;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    // Runtimes map data, too, such as files that each run of the server changes.
    const size_t rights = line.find(' ') + 1;
    const bool is_code = line.compare(rights, 3, "r-x") == 0;
    const size_t path = line.find('/');
    if (is_code && path != std::string::npos &&
        line.find(runtime, line.rfind('/')) != std::string::npos)
      libraries.insert(line.substr(path));
  }
  std::vector<std::string> files;
  for (const std::string& library : libraries) {
    if (library.ends_with(" (deleted)")) {
      files.push_back(std::to_string(std::random_device()()));
    } else {
      AppendFile(library, library, files);
    }
  }
  std::string identity;
  for (const std::string& file : files) Append(file, identity);
  return identity;
}

}  // namespace penstock
