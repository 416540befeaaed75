// SPDX-License-Identifier: Apache-2.0
// Reading the contents of all files at each scan would cost minutes for a large model. The metadata
// is enough: whoever changes a file also changes its size, its inode or its times.
#include "sources/directory/folder_stamp.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace penstock {
namespace {

constexpr int kEntriesMax = 100'000;
// The index of a table, which a load is making (tables/index_file.cc): no change of the version.
constexpr std::string_view kUnfinishedIndex = ".index.new";

std::chrono::system_clock::time_point TimeOf(const timespec& time) {
  constexpr time_t kSecondsMax = 9'000'000'000;  // a file can have any time; the clock counts in ns
  return std::chrono::system_clock::time_point(
      std::chrono::seconds(std::clamp<time_t>(time.tv_sec, 0, kSecondsMax)) +
      std::chrono::nanoseconds(time.tv_nsec));
}

// One walk over a folder. One thread.
class Walk final {
 public:
  explicit Walk(const std::function<void(const std::string& folder)>& on_folder)
      : on_folder_(on_folder) {}

  FolderStamp Run(const std::string& path) {
    Scan(path, "");
    while (!folders_.empty() && entries_ < kEntriesMax) {
      const auto [folder, name] = std::move(folders_.back());
      folders_.pop_back();
      List(folder, name);
    }
    return stamp_;
  }

 private:
  // Adds one entry. `name` is its path below the folder where the walk began.
  void Scan(const std::string& path, const std::string& name) {
    ++entries_;
    struct stat info;
    if (stat(path.c_str(), &info) != 0) {
      AddContent(name, 1);
      return Add(fmt::format("{} {}", name, errno));
    }
    const bool is_folder = S_ISDIR(info.st_mode);
    // For a file use ctime: every change sets it, and no program can set it back. For a folder use
    // mtime: its ctime also changes when it is renamed to its final path, and after such a rename
    // the version is complete and need not wait.
    const auto change = TimeOf(is_folder ? info.st_mtim : info.st_ctim);
    stamp_.newest_change = std::max(stamp_.newest_change, change);
    // The load refuses entries that are not files, such as pipes.
    if (!is_folder)
      AddContent(name, S_ISREG(info.st_mode) ? static_cast<uint64_t>(info.st_size) : 1);
    Add(fmt::format("{} {} {} {:o} {} {}.{} {}", name, info.st_dev, info.st_ino, info.st_mode,
                    is_folder ? 0 : info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec,
                    change.time_since_epoch().count()));
    if (is_folder && seen_.emplace(info.st_dev, info.st_ino).second) {
      folders_.emplace_back(path, name);
    }
  }

  void List(const std::string& folder, const std::string& name) {
    on_folder_(folder);
    std::error_code error;
    std::filesystem::directory_iterator entry(folder, error);
    for (const std::filesystem::directory_iterator end;
         !error && entry != end && entries_ < kEntriesMax; entry.increment(error)) {
      const std::string file = entry->path().filename();
      if (file.ends_with(kUnfinishedIndex)) continue;
      Scan(entry->path().string(), name + "/" + file);
    }
    if (!error) return;
    stamp_.content.Add("what cannot be read", 1);
    Add(fmt::format("{} {}", name, error.value()));
  }

  void AddContent(std::string_view name, uint64_t bytes) {
    if (!name.empty()) stamp_.content.Add(name.substr(1), bytes);
  }

  // Adds the hashes up, because entries are listed in any order.
  void Add(std::string_view entry) { stamp_.hash += std::hash<std::string_view>()(entry); }

  const std::function<void(const std::string& folder)>& on_folder_;
  FolderStamp stamp_;
  std::vector<std::pair<std::string, std::string>> folders_;  // to be listed: path, name
  std::set<std::pair<dev_t, ino_t>> seen_;                    // symbolic links may go in circles
  int entries_ = 0;
};

}  // namespace

FolderStamp StampFolder(const std::string& path,
                        const std::function<void(const std::string& folder)>& on_folder) {
  return Walk(on_folder).Run(path);
}

}  // namespace penstock
