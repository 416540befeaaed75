// SPDX-License-Identifier: Apache-2.0
// A wrapper of the kernel's inotify, which reports changes in folders.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace penstock {

// One change. `name` is the entry that changed; empty: the folder itself.
struct InotifyEvent {
  int watch;
  uint32_t mask;    // IN_* of <sys/inotify.h>
  uint32_t cookie;  // joins the two halves of a move
  std::string_view name;
};

// An inotify instance. One thread at a time.
class Inotify final {
 public:
  // `is_on` false: Add fails, and no instance of the system's limited number is used.
  explicit Inotify(bool is_on);
  ~Inotify();
  Inotify(const Inotify&) = delete;
  Inotify& operator=(const Inotify&) = delete;

  // -1: the system gave no instance, and Add fails.
  int fd() const { return fd_; }
  // Watches a folder for `mask`, in addition to its earlier masks. Returns the watch, or minus the
  // errno. A folder has one watch, whatever path leads to it.
  int Add(const std::string& folder, uint32_t mask);
  void Remove(int watch);
  // Passes on the events so far, up to a limit, without waiting. The event is valid during the
  // call. Returns false if the kernel has dropped some: then anything may have changed.
  bool Read(const std::function<void(const InotifyEvent&)>& on_event);

 private:
  const int fd_;
};

}  // namespace penstock
