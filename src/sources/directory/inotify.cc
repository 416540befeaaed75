// SPDX-License-Identifier: Apache-2.0
#include "sources/directory/inotify.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace penstock {
namespace {

constexpr size_t kBufferBytes = 16 * 1024;
constexpr int kReadsMax = 64;  // without a pause; the next Read continues

}  // namespace

Inotify::Inotify(bool is_on) : fd_(is_on ? inotify_init1(IN_NONBLOCK | IN_CLOEXEC) : -1) {}

Inotify::~Inotify() {
  if (fd_ >= 0) close(fd_);
}

int Inotify::Add(const std::string& folder, uint32_t mask) {
  if (fd_ < 0) return -ENOSYS;
  // IN_MASK_ADD, because several roles share the watch of a folder: without it, the last mask would
  // replace the earlier ones.
  const int watch = inotify_add_watch(fd_, folder.c_str(), mask | IN_MASK_ADD | IN_ONLYDIR);
  return watch >= 0 ? watch : -errno;
}

void Inotify::Remove(int watch) {
  // Fails if the folder is gone: the kernel has removed the watch then.
  inotify_rm_watch(fd_, watch);
}

bool Inotify::Read(const std::function<void(const InotifyEvent&)>& on_event) {
  bool is_complete = true;
  alignas(inotify_event) std::array<char, kBufferBytes> buffer;
  for (int i = 0; i < kReadsMax; ++i) {
    const ssize_t bytes = read(fd_, buffer.data(), buffer.size());
    if (bytes <= 0) break;
    for (size_t at = 0; at < static_cast<size_t>(bytes);) {
      inotify_event event;
      std::memcpy(&event, &buffer[at], sizeof event);
      const char* const name = &buffer[at + sizeof event];
      // The kernel's queue was full. It does not say which events are lost.
      if ((event.mask & IN_Q_OVERFLOW) != 0) {
        is_complete = false;
      } else {
        on_event({event.wd, event.mask, event.cookie, {name, strnlen(name, event.len)}});
      }
      at += sizeof event + event.len;
    }
  }
  return is_complete;
}

}  // namespace penstock
