// SPDX-License-Identifier: Apache-2.0
// How the limits of a container are found. /proc/self/cgroup names the group of this process in
// each hierarchy, and /proc/self/mountinfo says where the hierarchies are mounted, and which part
// of them a mount shows. A limit of a group also holds for all groups below it. So the files of the
// group and of each of its parents are read, as far as they are visible, and the tightest value
// counts. Version 2 has one hierarchy for all controllers; version 1 has several, with other names
// of files. What cannot be read sets no limit: too many threads are better than no start.
#include "base/os/machine.h"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <ctime>
#include <fstream>
#include <sstream>
#include <string_view>
#include <thread>
#include <vector>

namespace penstock {
namespace {

std::vector<std::string> Split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  size_t start = 0;
  for (size_t end; (end = text.find(separator, start)) != std::string_view::npos; start = end + 1)
    parts.emplace_back(text.substr(start, end - start));
  parts.emplace_back(text.substr(start));
  return parts;
}

bool Contains(const std::vector<std::string>& list, std::string_view item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

// Parses the number at the start of `text`; none if there is no number ("max").
std::optional<int64_t> ParseNumber(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  return value;
}

// One mounted cgroup hierarchy.
struct Mount {
  std::string group;                     // the group that appears at `point`, "/" = the root group
  std::string point;                     // where it is mounted
  std::vector<std::string> controllers;  // v1: as "cpu", "memory"; v2: empty
};

std::vector<Mount> ReadMounts(const std::string& root) {
  std::vector<Mount> mounts;
  std::istringstream lines(ReadSystemFile(root + "/proc/self/mountinfo"));
  for (std::string line; std::getline(lines, line);) {
    // id parent device root-of-mount mount-point options... - type source super-options
    // The number of options before the dash varies, so the fields after it are counted from there.
    const size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    const std::vector<std::string> left = Split(std::string_view(line).substr(0, dash), ' ');
    const std::vector<std::string> right = Split(std::string_view(line).substr(dash + 3), ' ');
    if (left.size() < 5 || right.size() < 3) continue;
    if (right[0] == "cgroup2") mounts.push_back({left[3], left[4], {}});
    if (right[0] == "cgroup") mounts.push_back({left[3], left[4], Split(right[2], ',')});
  }
  return mounts;
}

// The folders of a group and of its parents, as far as the mount shows them; innermost first.
std::vector<std::string> GroupFolders(const std::string& root, const Mount& mount,
                                      std::string group) {
  // In a container the mount may show only the container's own part of the hierarchy.
  if (mount.group != "/") {
    const bool inside = group == mount.group || group.starts_with(mount.group + "/");
    group = inside ? group.substr(mount.group.size()) : "";
  }
  // A group outside the namespace of this process is shown with "..". Its folder is not visible
  // here, so read the limits of what is.
  if (group == "/" || group.find("..") != std::string::npos) group.clear();
  std::vector<std::string> folders;
  for (;;) {
    folders.push_back(root + mount.point + group);
    if (group.empty()) return folders;
    const size_t slash = group.rfind('/');
    group.erase(slash == std::string::npos ? 0 : slash);
  }
}

template <typename T>
void Tighten(std::optional<T>& limit, T value) {
  limit = limit ? std::min(*limit, value) : value;
}

void TightenCpus(CgroupLimits& limits, std::optional<int64_t> quota,
                 std::optional<int64_t> period) {
  // A quota of "max" is no number, and -1 in version 1: both mean no limit.
  if (quota.value_or(0) <= 0 || period.value_or(0) <= 0) return;
  Tighten(limits.cpus, static_cast<double>(*quota) / static_cast<double>(*period));
}

void TightenMemory(CgroupLimits& limits, std::optional<int64_t> bytes) {
  if (bytes.value_or(0) > 0) Tighten(limits.memory_bytes, static_cast<uint64_t>(*bytes));
}

void ReadVersion2(CgroupLimits& limits, const std::string& folder) {
  const std::vector<std::string> quota = Split(ReadSystemFile(folder + "/cpu.max"), ' ');
  if (quota.size() == 2) TightenCpus(limits, ParseNumber(quota[0]), ParseNumber(quota[1]));
  TightenMemory(limits, ParseNumber(ReadSystemFile(folder + "/memory.max")));
}

void ReadVersion1(CgroupLimits& limits, const std::string& folder, const Mount& mount) {
  if (Contains(mount.controllers, "cpu")) {
    TightenCpus(limits, ParseNumber(ReadSystemFile(folder + "/cpu.cfs_quota_us")),
                ParseNumber(ReadSystemFile(folder + "/cpu.cfs_period_us")));
  }
  if (Contains(mount.controllers, "memory"))
    TightenMemory(limits, ParseNumber(ReadSystemFile(folder + "/memory.limit_in_bytes")));
}

// True if a line of /proc/self/cgroup with these controllers is about the hierarchy at `mount`.
bool IsOf(const Mount& mount, const std::string& controllers) {
  if (controllers.empty()) return mount.controllers.empty();
  for (const std::string& controller : Split(controllers, ',')) {
    if (Contains(mount.controllers, controller)) return true;
  }
  return false;
}

}  // namespace

std::string ReadSystemFile(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

CgroupLimits ReadCgroupLimits(const std::string& root) {
  CgroupLimits limits;
  const std::vector<Mount> mounts = ReadMounts(root);
  std::istringstream lines(ReadSystemFile(root + "/proc/self/cgroup"));
  for (std::string line; std::getline(lines, line);) {
    // The line is hierarchy-id:controllers:group. Version 2 has no controllers.
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    for (const Mount& mount : mounts) {
      if (!IsOf(mount, controllers)) continue;
      // A parent's limit applies to all groups below it, so the tightest one counts.
      for (const std::string& folder : GroupFolders(root, mount, line.substr(second + 1))) {
        if (mount.controllers.empty()) {
          ReadVersion2(limits, folder);
        } else {
          ReadVersion1(limits, folder, mount);
        }
      }
    }
  }
  return limits;
}

int UsableCpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  // The call fails on machines with more CPUs than the set can hold.
  int cpus = sched_getaffinity(0, sizeof(set), &set) == 0
                 ? CPU_COUNT(&set)
                 : static_cast<int>(std::thread::hardware_concurrency());
  if (const auto quota = ReadCgroupLimits("").cpus)
    // Rounded up, so that part of a CPU still gets a thread.
    cpus = static_cast<int>(std::min(std::ceil(*quota), static_cast<double>(cpus)));
  return std::max(cpus, 1);
}

Duration ProcessCpuTime() {
  timespec used{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return std::chrono::seconds(used.tv_sec) + Duration(used.tv_nsec);
}

uint64_t UsableMemoryBytes() {
  const uint64_t machine =
      static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  const uint64_t usable = std::min(machine, ReadCgroupLimits("").memory_bytes.value_or(machine));
  // The limit of the address space is also a limit of the memory.
  return std::min(usable, AddressSpaceBytesMax());
}

uint64_t AddressSpaceBytesMax() {
  rlimit limit{};
  const bool has_limit = getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
  return has_limit ? limit.rlim_cur : UINT64_MAX;
}

}  // namespace penstock
