// SPDX-License-Identifier: Apache-2.0
#include "app/library_logs.h"

#include <google/protobuf/stubs/logging.h>

#include <string>

#include "base/log.h"

namespace penstock {
namespace {

// Writes one message of protobuf to the log. May be called on any thread. After a message of
// LOGLEVEL_FATAL protobuf throws an exception. All other messages are about bytes that were parsed:
// whoever parses them reports the error, and clients must not be able to fill the log.
void Take(google::protobuf::LogLevel level, const char* file, int line,
          const std::string& message) {
  if (level == google::protobuf::LOGLEVEL_FATAL) {
    PENSTOCK_LOG(kError, "libprotobuf: {} ({}:{})", message, file, line);
  } else {
    PENSTOCK_LOG(kDebug, "libprotobuf: {} ({}:{})", message, file, line);
  }
}

}  // namespace

void TakeLibraryLogs() { google::protobuf::SetLogHandler(&Take); }

}  // namespace penstock
