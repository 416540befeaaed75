// SPDX-License-Identifier: Apache-2.0
#include "sources/directory/version_folders.h"

#include <charconv>
#include <filesystem>
#include <system_error>

namespace penstock {
namespace {

Status PathError(const std::string& base_path, const std::error_code& error) {
  StatusCode code = StatusCode::kUnavailable;
  if (error == std::errc::no_such_file_or_directory || error == std::errc::not_a_directory) {
    code = StatusCode::kNotFound;
  } else if (error == std::errc::permission_denied) {
    code = StatusCode::kPermissionDenied;
  }
  return Error(code, "cannot list the versions in base path {}: {}", base_path, error.message());
}

}  // namespace

std::optional<core::VersionNumber> ParseVersion(std::string_view folder_name) {
  if (folder_name.empty() || folder_name.front() == '-') return std::nullopt;
  core::VersionNumber version;
  const char* const end = folder_name.data() + folder_name.size();
  const auto [stop, error] = std::from_chars(folder_name.data(), end, version.value);
  if (error != std::errc() || stop != end) return std::nullopt;
  return version;
}

StatusOr<std::map<core::VersionNumber, std::string>> ListVersions(const std::string& base_path) {
  std::map<core::VersionNumber, std::string> folders;
  std::error_code error;
  std::filesystem::directory_iterator entry(base_path, error);
  for (const std::filesystem::directory_iterator end; !error && entry != end;
       entry.increment(error)) {
    const auto version = ParseVersion(entry->path().filename().string());
    std::error_code ignored;  // it may have gone since
    if (!version || !entry->is_directory(ignored)) continue;
    std::string path = entry->path().string();
    std::string& folder = folders[*version];
    if (folder.empty() || path < folder) folder = std::move(path);
  }
  if (error) return PathError(base_path, error);
  return folders;
}

}  // namespace penstock
