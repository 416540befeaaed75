// SPDX-License-Identifier: Apache-2.0
// TensorFlow logs through abseil, which its shared libraries contain and export. To get the lines,
// the plugin must add a sink to that abseil. A sink is a C++ object, so it fits only one version of
// abseil. The version is a part of the mangled names of the functions: with another version, the
// functions are not found, and the log stays as it was. A sink can be added only after the library
// is open. So the lines that come while it opens are taken from the C library's stderr. Why
// TensorFlow's standard error is not taken as a whole:
// docs/decisions/0023-tensorflow-logs-through-a-sink.md.
#include "tf_log.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <mutex>
#include <string_view>

#include "absl/base/options.h"
#include "absl/log/log_sink.h"
#include "penstock/backend.hpp"

// The only virtual function of the base class that is not inline. Defined here because the plugin
// links nothing of TensorFlow.
void absl::LogSink::KeyFunction() const {}

namespace penstock::tensorflow {
namespace {

constexpr std::string_view kFramework = "libtensorflow_framework";
constexpr std::string_view kWhole = "libtensorflow_cc";

// Global, because the sink outlives each backend, and TensorFlow's threads may log after a backend
// was shut down. The mutex is held while the host logs, so the host cannot go away during the call.
std::mutex mutex;
const PenstockHost* current_host = nullptr;  // guarded by `mutex`

void Say(int32_t severity, std::string_view text) {
  while (text.ends_with('\n')) text.remove_suffix(1);
  if (text.empty()) return;
  const std::lock_guard lock(mutex);
  if (current_host != nullptr) current_host->log(current_host, severity, plugin::ToC(text));
}

std::string Text(std::string_view message, std::string_view place) {
  return std::string(message) + " (" + std::string(place) + ")";
}

// Passes the messages of the library's log on to the host. Thread-safe.
class HostSink final : public absl::LogSink {
 public:
  void Send(const absl::LogEntry& entry) override {
    const std::string text = Text(entry.text_message(), std::string(entry.source_basename()) + ":" +
                                                            std::to_string(entry.source_line()));
    switch (entry.log_severity()) {
      case absl::LogSeverity::kInfo:
        // What TensorFlow calls information is of use only to its developers.
        return Say(PENSTOCK_LOG_DEBUG, text);
      case absl::LogSeverity::kWarning:
        return Say(PENSTOCK_LOG_WARNING, text);
      case absl::LogSeverity::kError:
        return Say(PENSTOCK_LOG_ERROR, text);
      case absl::LogSeverity::kFatal:
        return;  // the process ends before the host's log is written; abseil writes it itself
    }
  }
};

// While it lives, takes what the process writes to the C library's `stderr`, line by line. It
// leaves file descriptor 2 alone, because the host's log and the messages of a crash go there. One
// thread at a time; any thread may write.
class StderrLines final {
 public:
  StderrLines()
      : file_(fopencookie(nullptr, "w", {nullptr, &Take, nullptr, nullptr})), before_(stderr) {
    if (file_ == nullptr) return;
    setvbuf(file_, nullptr, _IOLBF, 0);
    stderr = file_;
  }
  StderrLines(const StderrLines&) = delete;
  StderrLines& operator=(const StderrLines&) = delete;
  // Never closes the file, as another thread may just have read `stderr`.
  ~StderrLines() {
    if (file_ == nullptr) return;
    stderr = before_;
    fflush(file_);
  }

 private:
  static ssize_t Take(void*, const char* data, size_t size) {
    std::string_view rest(data, size);
    while (!rest.empty()) {
      const size_t end = std::min(rest.find('\n'), rest.size());
      TakeLine(rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    return static_cast<ssize_t>(size);
  }

  // A line of abseil starts with its severity, the time and the position in the source, as in
  // "I0000 00:00:1795975366.936605 24950 port.cc:153] ". Lines without such a beginning come from
  // other libraries.
  static void TakeLine(std::string_view line) {
    if (line.starts_with("WARNING: All log messages before absl::InitializeLog()")) return;
    const size_t end = line.find("] ");
    const bool has_prefix = line.size() > 5 && line[1] >= '0' && line[1] <= '9' && line[5] == ' ' &&
                            end != std::string_view::npos;
    if (!has_prefix) return Say(PENSTOCK_LOG_WARNING, line);
    if (line[0] == 'F') {  // for the reason that HostSink gives
      dprintf(STDERR_FILENO, "%.*s\n", static_cast<int>(line.size()), line.data());
      return;
    }
    const int32_t severity = line[0] == 'I'   ? PENSTOCK_LOG_DEBUG
                             : line[0] == 'W' ? PENSTOCK_LOG_WARNING
                                              : PENSTOCK_LOG_ERROR;
    const std::string_view prefix = line.substr(0, end);
    Say(severity, Text(line.substr(end + 2), prefix.substr(prefix.rfind(' ') + 1)));
  }

  FILE* const file_;
  FILE* const before_;
};

// Finds functions of the library's abseil by their mangled names. The name contains the inline
// namespace, which abseil changes with each release.
#define PENSTOCK_TEXT_OF(name) #name
#define PENSTOCK_TEXT(name) PENSTOCK_TEXT_OF(name)
constexpr std::string_view kAbseil = PENSTOCK_TEXT(ABSL_OPTION_INLINE_NAMESPACE_NAME);

std::string Mangled(std::string_view rest) {
  return "_ZN4absl" + std::to_string(kAbseil.size()) + std::string(kAbseil) + std::string(rest);
}

template <typename Function>
Function* Find(void* library, std::string_view rest) {
  return reinterpret_cast<Function*>(dlsym(library, Mangled(rest).c_str()));
}

}  // namespace

LibraryLog::LibraryLog(const PenstockHost& host) {
  const std::lock_guard lock(mutex);
  current_host = &host;
}

LibraryLog::~LibraryLog() {
  const std::lock_guard lock(mutex);
  current_host = nullptr;
}

void LibraryLog::TakeFrom(const std::string& path) {
  // The log lies in libtensorflow_framework, which libtensorflow_cc needs. A library that was built
  // as one file has it itself.
  std::string framework = path;
  if (const size_t at = path.rfind(kWhole); at != std::string::npos)
    framework.replace(at, kWhole.size(), kFramework);
  const StderrLines lines;
  void* const library = dlopen(framework.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return;
  const auto add = Find<void(absl::LogSink*)>(library, "12log_internal10AddLogSinkEPNS0_7LogSinkE");
  const auto set_threshold = Find<void(absl::LogSeverityAtLeast)>(
      library, "18SetStderrThresholdENS0_18LogSeverityAtLeastE");
  const auto set_initialized = Find<void()>(library, "12log_internal14SetInitializedEv");
  if (add == nullptr || set_threshold == nullptr || set_initialized == nullptr) return;
  // A process may open the backend several times; abseil ends it if a sink is added again.
  static HostSink* const sink = [add] {
    auto* const added = new HostSink;  // used until the process ends
    add(added);
    return added;
  }();
  static_cast<void>(sink);
  // Until abseil is told that it is initialised, it writes all lines to standard error, too.
  set_threshold(absl::LogSeverityAtLeast::kFatal);
  set_initialized();
}

void LogPrint(const char* text) { Say(PENSTOCK_LOG_INFO, text); }

}  // namespace penstock::tensorflow
