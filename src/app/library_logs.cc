// SPDX-License-Identifier: Apache-2.0
#include "app/library_logs.h"

#include <google/protobuf/stubs/logging.h>

#include <string>

#include "base/log.h"

namespace penstock {
namespace {

// Writes one message of protobuf to the log. May be called on any thread. After a message of
// LOGLEVEL_FATAL protobuf throws an exception.
void Take(google::protobuf::LogLevel level, const char* file, int line,
          const std::string& message) {
  switch (level) {
    case google::protobuf::LOGLEVEL_INFO:
      PENSTOCK_LOG(kInfo, "libprotobuf: {} ({}:{})", message, file, line);
      break;
    case google::protobuf::LOGLEVEL_WARNING:
      PENSTOCK_LOG(kWarning, "libprotobuf: {} ({}:{})", message, file, line);
      break;
    case google::protobuf::LOGLEVEL_ERROR:
    case google::protobuf::LOGLEVEL_FATAL:
      PENSTOCK_LOG(kError, "libprotobuf: {} ({}:{})", message, file, line);
      break;
  }
}

}  // namespace

void TakeLibraryLogs() { google::protobuf::SetLogHandler(&Take); }

}  // namespace penstock
