// SPDX-License-Identifier: Apache-2.0
// ResolveFolder follows a path as the kernel does, but also notes the symbolic links on the way.
// They must be watched: operators switch a version by replacing a link, and then nothing changes in
// the folder that the link led to. Each link can be relative and lead to further links, so its
// target is put before the steps that are left.
#include "sources/directory/version_folders.h"

#include <linux/magic.h>
#include <sys/vfs.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <system_error>

namespace penstock {
namespace {

namespace fs = std::filesystem;

constexpr int kLinksMax = 40;  // the same limit as in the kernel

// Advice for a path that is a file; empty if it is not.
std::string Advice(const fs::path& path) {
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored)) return "";
  const fs::path folder = path.parent_path();
  if (core::ParseVersion(folder.filename().string())) {
    return fmt::format("; it is a file of version {}: give the folder above that version, {}",
                       folder.filename().string(), folder.parent_path().string());
  }
  return "; it is a file: give a folder whose subfolders are versions, such as 1/" +
         path.filename().string();
}

Status PathError(const std::string& base_path, const std::error_code& error) {
  StatusCode code = StatusCode::kInternal;
  if (error == std::errc::no_such_file_or_directory || error == std::errc::not_a_directory) {
    code = StatusCode::kNotFound;
  } else if (error == std::errc::permission_denied) {
    code = StatusCode::kPermissionDenied;
  }
  return Error(code, "cannot list the versions in base path {}: {}{}", base_path, error.message(),
               error == std::errc::not_a_directory ? Advice(base_path) : "");
}

// Puts the steps of `path` before the remaining ones.
void Prepend(const fs::path& path, std::deque<fs::path>& left) {
  const fs::path steps = path.relative_path();
  left.insert(left.begin(), steps.begin(), steps.end());
}

}  // namespace

StatusOr<std::map<core::VersionNumber, std::string>> ListVersionFolders(
    const std::string& base_path) {
  std::map<core::VersionNumber, std::string> folders;
  std::error_code error;
  fs::directory_iterator entry(base_path, error);
  for (const fs::directory_iterator end; !error && entry != end; entry.increment(error)) {
    const auto version = core::ParseVersion(entry->path().filename().string());
    std::error_code ignored;  // it may have been deleted since
    if (!version || !entry->is_directory(ignored)) continue;
    // "1" and "001" are the same version. A fixed choice keeps the answer the same at each scan.
    std::string path = entry->path().string();
    std::string& folder = folders[*version];
    if (folder.empty() || path < folder) folder = std::move(path);
  }
  if (error) return PathError(base_path, error);
  return folders;
}

ResolvedPath ResolveFolder(const std::string& path) {
  ResolvedPath resolved;
  std::error_code error;
  const fs::path absolute = fs::absolute(path, error);
  if (error) return resolved;
  std::deque<fs::path> left;
  Prepend(absolute, left);
  fs::path current = absolute.root_path();
  for (int links = 0; !left.empty();) {
    const fs::path name = left.front();
    left.pop_front();
    if (name.empty() || name == ".") continue;
    if (name == "..") {
      current = current.parent_path();
      continue;
    }
    const fs::file_type type = fs::symlink_status(current / name, error).type();
    const bool is_link = type == fs::file_type::symlink;
    if (type == fs::file_type::directory) {
      current /= name;
      continue;
    }
    // A step that does not exist yet is noted, too: its creation is the change to wait for.
    if (type != fs::file_type::none) resolved.steps.push_back({current, name});
    if (!is_link || ++links > kLinksMax) return resolved;
    const fs::path target = fs::read_symlink(current / name, error);
    if (error) return resolved;
    if (target.is_absolute()) current = target.root_path();
    Prepend(target, left);
  }
  resolved.folder = current.string();
  return resolved;
}

bool IsOnNetwork(const std::string& path) {
  // Some numbers are missing in linux/magic.h.
  constexpr uint32_t kSmb2 = 0xFE534D42, kCifs = 0xFF534D42, kLustre = 0x0BD00BD0,
                     kGpfs = 0x47504653, kGfs2 = 0x01161970, kVirtualBox = 0x786F4256,
                     kFuse = 0x65735546;
  constexpr std::array<uint32_t, 13> kTypes = {NFS_SUPER_MAGIC,
                                               SMB_SUPER_MAGIC,
                                               CEPH_SUPER_MAGIC,
                                               V9FS_MAGIC,
                                               AFS_SUPER_MAGIC,
                                               CODA_SUPER_MAGIC,
                                               kSmb2,
                                               kCifs,
                                               kLustre,
                                               kGpfs,
                                               kGfs2,
                                               kVirtualBox,
                                               kFuse};
  struct statfs info;
  if (statfs(path.c_str(), &info) != 0) return false;
  return std::find(kTypes.begin(), kTypes.end(), static_cast<uint32_t>(info.f_type)) !=
         kTypes.end();
}

}  // namespace penstock
