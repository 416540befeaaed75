// SPDX-License-Identifier: Apache-2.0
#include "app/process_files.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/log.h"

namespace penstock {
namespace {

// Descriptors that connections cannot use. Loads on every core, object stores and reloads together
// need far fewer at a time. If the limit is small, a quarter of it.
constexpr uint64_t kFilesReserved = 256;

}  // namespace

void OpenStandardFiles() {
  for (const int file : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(file, F_GETFD) >= 0 || errno != EBADF) continue;
    // The lowest free descriptor is `file`, because all below it are open.
    if (open("/dev/null", O_RDWR) != file) return;
  }
}

uint64_t RaiseFileLimit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return UINT64_MAX;
  // The soft limit is usually 1024, for old programs that use select(). This one does not.
  const rlimit raised = {limit.rlim_max, limit.rlim_max};
  if (limit.rlim_cur < limit.rlim_max && setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  return limit.rlim_cur;
}

int64_t CapConnections(int64_t connections_max, uint64_t files_max) {
  const uint64_t reserved = std::min(kFilesReserved, files_max / 4);
  const uint64_t room = std::max<uint64_t>(files_max - reserved, 1);
  if (static_cast<uint64_t>(connections_max) <= room) return connections_max;
  PENSTOCK_LOG(
      kInfo,
      "--connections_max={} is taken as {}: the process may open {} files (ulimit -n), and "
      "{} are kept for models and configuration files",
      connections_max, room, files_max, reserved);
  return static_cast<int64_t>(room);
}

}  // namespace penstock
