// SPDX-License-Identifier: Apache-2.0
// TensorFlow's log lines, and what models print, written by the host's log.
#pragma once

#include <string>

#include "penstock/backend.h"

namespace penstock::tensorflow {

// Connects TensorFlow's log with the log of `host` as long as this object lives. Lines that come
// when no object lives are dropped. At most one object at a time. Thread-safe.
class LibraryLog final {
 public:
  explicit LibraryLog(const PenstockHost& host);
  LibraryLog(const LibraryLog&) = delete;
  LibraryLog& operator=(const LibraryLog&) = delete;
  ~LibraryLog();

  // Takes over the log of the runtime whose library is at `path`. Call it before the library is
  // opened, because TensorFlow logs some lines while it opens. If the library's abseil has another
  // version than the plugin was compiled with, this does nothing, and the lines go to standard
  // error.
  static void TakeFrom(const std::string& path);
};

// Logs the text of a Print operation of a model. TensorFlow calls it on any of its threads.
// Thread-safe.
void LogPrint(const char* text);

}  // namespace penstock::tensorflow
