// SPDX-License-Identifier: Apache-2.0
// TensorFlow's log lines, and what models print, written by the host's log.
#pragma once

#include <string>

#include "penstock/backend.h"

namespace penstock::tensorflow {

// Sends to the log of `host` what TensorFlow logs, for as long as this object lives; afterwards it
// is dropped. One of them at a time. Thread-safe.
class LibraryLog final {
 public:
  explicit LibraryLog(const PenstockHost& host);
  LibraryLog(const LibraryLog&) = delete;
  LibraryLog& operator=(const LibraryLog&) = delete;
  ~LibraryLog();

  // Takes over the log of the runtime whose library is at `path`. Call it before the library is
  // opened: some lines come while that happens. Does nothing where the library's abseil is not of
  // the version that this was compiled with: then the lines go to standard error.
  static void TakeFrom(const std::string& path);
};

// One line of a model's Print operations. Thread-safe.
void LogPrint(const char* text);

}  // namespace penstock::tensorflow
