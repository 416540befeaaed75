// SPDX-License-Identifier: Apache-2.0
// A line is formatted by the thread that logs, and written with one call, so that lines of several
// threads do not mix. While a LogQueue exists, the call goes to its sink, which never blocks.
// Names, paths and errors come from clients and models. So control characters are escaped in both
// forms, and a message keeps only its first and its last bytes if it is too long.
#include "base/log.h"

#include <unistd.h>

#include <array>
#include <cstdint>
#include <ctime>
#include <iterator>
#include <utility>

#include "base/log_output.h"
#include "base/terminal_line.h"
#include "base/utf8.h"

namespace penstock {
namespace {

std::atomic<LogFormat> log_format{LogFormat::kText};
// Null if log lines do not go to a terminal. Never freed: threads may log until the process ends.
std::atomic<TerminalLine*> status_line{nullptr};

std::atomic<LogSink> log_sink{nullptr};

// The most bytes of one message. Names, paths and errors of clients and models may have any length.
constexpr size_t kMessageBytesMax = 3000;

constexpr size_t kMessageEndBytes = 1000;  // of a cut message: the reason is often at the end

// A message: all of it, or its start, the number of bytes left out, and its end.
struct Shortened {
  explicit Shortened(std::string_view message) : text(message) {
    if (message.size() <= kMessageBytesMax) return;
    cut = fmt::format("{} ... {} bytes are left out ... {}",
                      message.substr(0, kMessageBytesMax - kMessageEndBytes),
                      message.size() - kMessageBytesMax,
                      message.substr(message.size() - kMessageEndBytes));
    text = cut;
  }
  std::string cut;
  std::string_view text;
};

std::string_view LevelName(LogLevel level) {
  constexpr std::array<std::string_view, 5> kNames = {"debug", "info", "warning", "error", "off"};
  return kNames[static_cast<size_t>(level)];
}

// Appends text for people: escapes control characters and bytes that are not UTF-8, and keeps all
// else. Names and errors come from clients. Without escapes they could forge log lines, or send
// commands to the terminal.
void AppendPlain(std::string& to, std::string_view text) {
  while (!text.empty()) {
    const size_t length = Utf8Length(text);
    const std::string_view character = text.substr(0, length);
    if (length == 0) {
      fmt::format_to(std::back_inserter(to), "\\x{:02x}", static_cast<unsigned char>(text[0]));
    } else if (const char32_t value = Utf8Value(character); !IsControl(value)) {
      to += character;
    } else if (value == '\n') {
      to += "\\n";
    } else if (value < 0x80) {
      fmt::format_to(std::back_inserter(to), "\\x{:02x}", static_cast<uint32_t>(value));
    } else {
      fmt::format_to(std::back_inserter(to), "\\u{:04x}", static_cast<uint32_t>(value));
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
}

}  // namespace

namespace log_internal {

// Relaxed order is enough: ConfigureLog sets the level before other threads start.
std::atomic<LogLevel> level{LogLevel::kInfo};

std::string FormatLine(LogFormat format, LogLevel line_level,
                       std::chrono::system_clock::time_point time, std::string_view message,
                       std::optional<uint64_t> request_id) {
  std::string line;
  line.reserve(message.size() + 80);
  if (format == LogFormat::kText) {
    AppendLogTime(line, time);
    fmt::format_to(std::back_inserter(line), " {:<7} ", LevelName(line_level));
    if (request_id) fmt::format_to(std::back_inserter(line), "request {:x}: ", *request_id);
    AppendPlain(line, message);
  } else {
    line += R"({"time":")";
    AppendLogTime(line, time);
    fmt::format_to(std::back_inserter(line), R"(","level":"{}",)", LevelName(line_level));
    if (request_id)
      fmt::format_to(std::back_inserter(line), R"("request_id":"{:x}",)", *request_id);
    line += R"("message":")";
    AppendJsonEscaped(line, message);
    line += "\"}";
  }
  line += '\n';
  return line;
}

void Write(LogLevel line_level, std::string_view message, std::optional<uint64_t> request_id) {
  // Writes the line with one call, so that lines of several threads do not mix.
  std::string line =
      FormatLine(log_format.load(std::memory_order_relaxed), line_level,
                 std::chrono::system_clock::now(), Shortened(message).text, request_id);
  if (const LogSink sink = log_sink.load(std::memory_order_relaxed)) return sink(std::move(line));
  WriteLogOutput(line);
}

}  // namespace log_internal

void WriteLogOutput(std::string_view line) {
  if (TerminalLine* const status = status_line.load(std::memory_order_relaxed)) {
    status->WriteAbove(line);
  } else {
    WriteToFile(STDERR_FILENO, line);
  }
}

void SetLogSink(LogSink sink) { log_sink.store(sink, std::memory_order_relaxed); }

void ConfigureLog(LogLevel level, LogFormat format) {
  log_internal::level.store(level, std::memory_order_relaxed);
  log_format.store(format, std::memory_order_relaxed);
  const bool shows_status = level <= LogLevel::kInfo && format == LogFormat::kText &&
                            TerminalLine::IsPossible(STDERR_FILENO);
  static TerminalLine* const line = new TerminalLine(STDERR_FILENO);
  status_line.store(shows_status ? line : nullptr, std::memory_order_relaxed);
}

int LogStatusColumns() {
  const TerminalLine* const status = status_line.load(std::memory_order_relaxed);
  return status == nullptr ? 0 : status->Columns();
}

void SetLogStatus(std::string line) {
  if (TerminalLine* const status = status_line.load(std::memory_order_relaxed))
    status->Set(std::move(line));
}

void AppendLogTime(std::string& to, std::chrono::system_clock::time_point time) {
  // Most lines of a busy server have the second of the line before.
  struct Second {
    time_t number = -1;
    std::array<char, 20> text{};  // "2026-01-31T23:59:59."
  };
  static thread_local constinit Second last;
  const auto since_1970 = time.time_since_epoch();
  const auto second = std::chrono::floor<std::chrono::seconds>(since_1970);
  if (last.number != second.count()) {
    last.number = second.count();
    tm utc{};
    gmtime_r(&last.number, &utc);
    fmt::format_to_n(last.text.data(), last.text.size(), "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.",
                     utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min,
                     utc.tm_sec);
  }
  const auto ms = std::chrono::floor<std::chrono::milliseconds>(since_1970 - second).count();
  to.append(last.text.data(), last.text.size());
  to += static_cast<char>('0' + ms / 100);
  to += static_cast<char>('0' + ms / 10 % 10);
  to += static_cast<char>('0' + ms % 10);
  to += 'Z';
}

void AppendJsonEscaped(std::string& to, std::string_view text) {
  while (!text.empty()) {
    const size_t length = Utf8Length(text);
    const std::string_view character = text.substr(0, length);
    const char c = text[0];
    if (length == 0) {
      // U+FFFD, the replacement character.
      to += "\xEF\xBF\xBD";
    } else if (c == '"' || c == '\\') {
      to += '\\';
      to += c;
    } else if (c == '\n') {
      to += "\\n";
    } else if (const char32_t value = Utf8Value(character); IsControl(value)) {
      fmt::format_to(std::back_inserter(to), "\\u{:04x}", static_cast<uint32_t>(value));
    } else {
      to += character;
    }
    // After a bad byte go on with the next one: valid text may follow.
    text.remove_prefix(length == 0 ? 1 : length);
  }
}

}  // namespace penstock
