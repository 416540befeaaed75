// SPDX-License-Identifier: Apache-2.0
// The kernel's news of changes in folders.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace penstock {

// One change. `name` is that of the entry; empty: the folder itself.
struct InotifyEvent {
  int watch;
  uint32_t mask;    // IN_* of <sys/inotify.h>
  uint32_t cookie;  // joins the two halves of a move
  std::string_view name;
};

// An inotify instance. One thread at a time.
class Inotify final {
 public:
  // Off: Add fails, and the machine's limit of instances is spared.
  explicit Inotify(bool is_on);
  ~Inotify();
  Inotify(const Inotify&) = delete;
  Inotify& operator=(const Inotify&) = delete;

  // -1: this machine gives no instance, and Add fails.
  int fd() const { return fd_; }
  // Watches a folder for `mask`, beside what it is watched for already. Returns the watch, one for
  // each folder, whatever path leads to it; or minus the errno.
  int Add(const std::string& folder, uint32_t mask);
  void Remove(int watch);
  // Hands over what has happened, up to a bound. False if the kernel has dropped some of it.
  bool Read(const std::function<void(const InotifyEvent&)>& on_event);

 private:
  const int fd_;
};

}  // namespace penstock
