// SPDX-License-Identifier: Apache-2.0
// Every request of a busy server may write a line, so this appends to one string and formats
// numbers itself.
//   text: 2026-01-31T23:59:59.123Z access  request=1f client=127.0.0.1:4012 protocol=grpc ...
//   JSON: {"time":"2026-01-31T23:59:59.123Z","level":"access","request_id":"1f", ...}
#include "observe/access_line.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <string_view>

#include "access/caller.h"
#include "net/request_id.h"

namespace penstock {
namespace {

// A value that may be written without quotes, which the eye reads more easily.
bool IsPlain(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return c > ' ' && c < 0x7F && c != '"' && c != '=' && c != '\\';
  });
}

// Appends fields in one of the two forms. One thread.
class Fields final {
 public:
  Fields(std::string& to, LogFormat format) : to_(to), is_json_(format == LogFormat::kJson) {}

  void Text(std::string_view name, std::string_view value) {
    Name(name);
    if (!is_json_ && IsPlain(value)) {
      to_ += value;
      return;
    }
    to_ += '"';
    AppendJsonEscaped(to_, value);
    to_ += '"';
  }
  void TextIfAny(std::string_view name, std::string_view value) {
    if (!value.empty()) Text(name, value);
  }
  void Number(std::string_view name, int64_t value) {
    Name(name);
    char digits[24];
    to_.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
  }
  // In microseconds. Nothing if one of the times is not known.
  void Time(std::string_view name, SteadyTime from, SteadyTime to) {
    if (from == SteadyTime{} || to < from) return;
    Time(name, to - from);
  }
  void Time(std::string_view name, Duration time) {
    Number(name, std::chrono::duration_cast<std::chrono::microseconds>(time).count());
  }

 private:
  void Name(std::string_view name) {
    if (is_json_) {
      to_ += ",\"";
      to_ += name;
      to_ += "\":";
    } else {
      to_ += ' ';
      to_ += name;
      to_ += '=';
    }
  }

  std::string& to_;
  const bool is_json_;
};

std::string_view ProtocolOf(const net::Call& call) {
  if (call.record().http_status == 0) return "grpc";
  return call.head().protocol == net::Protocol::kHttp1 ? "http/1.1" : "http/2";
}

// What was called and how it went.
void AddCall(Fields& fields, const net::Call& call) {
  const net::RequestHead& head = call.head();
  const CallRecord& record = call.record();
  net::RequestIdText own;
  fields.Text("request_id", net::RequestIdOf(call, own));
  if (record.is_traced)
    fields.Text("trace_id", std::string_view(record.trace->TraceParent()).substr(3, 32));
  fields.Text("client", head.peer);
  if (head.caller != nullptr) fields.TextIfAny("caller", head.caller->name());
  fields.Text("protocol", ProtocolOf(call));
  if (record.http_status == 0) {
    fields.Text("method", head.path.substr(0, kRecordTextBytesMax));
    fields.Text("code", StatusCodeName(record.code));
  } else {
    fields.Text("method", head.method.substr(0, kRecordTextBytesMax));
    fields.Text("path", head.path.substr(0, kRecordTextBytesMax));
    char digits[8];
    const auto end = std::to_chars(digits, digits + sizeof digits, record.http_status).ptr;
    fields.Text("code", {digits, end});
  }
}

void AddModel(Fields& fields, const CallDetails& details) {
  fields.TextIfAny("model", details.model);
  if (details.version) fields.Number("version", *details.version);
  fields.TextIfAny("label", details.label);
  fields.TextIfAny("arm", details.arm);
  fields.TextIfAny("signature", details.signature);
}

void AddStages(Fields& fields, const StageTimes& times, SteadyTime ended) {
  if (times.run_start != SteadyTime{}) {
    fields.Time("decode_us", times.run_start - times.begun - times.queued);
    fields.Time("queue_us", times.queued);
    if (times.steps_queued != Duration::zero()) fields.Time("steps_queue_us", times.steps_queued);
    fields.Time("run_us", times.run_start, times.run_end);
    if (times.batch_requests > 0) {
      fields.Text("batch", fmt::format("{:x}", times.batch));
      fields.Number("batch_requests", times.batch_requests);
      fields.Number("batch_rows", times.batch_rows);
    }
    fields.Time("encode_us", times.run_end, times.answered);
  }
  fields.Time("write_us", times.answered, ended);
}

}  // namespace

void AppendAccessLine(std::string& to, LogFormat format, const net::Call& call,
                      std::chrono::system_clock::time_point time) {
  const CallRecord& record = call.record();
  const bool is_json = format == LogFormat::kJson;
  if (is_json) to += R"({"time":")";
  AppendLogTime(to, time);
  to += is_json ? R"(","level":"access")" : " access ";
  Fields fields(to, format);
  AddCall(fields, call);
  if (record.has_details) AddModel(fields, *record.details);
  fields.Number("bytes_in", static_cast<int64_t>(record.bytes_in));
  fields.Number("bytes_out", static_cast<int64_t>(record.bytes_out));
  if (record.has_details) AddStages(fields, record.details->times, record.ended);
  fields.Time("total_us", call.start(), record.ended);
  std::string_view error = record.error;
  // The inference knows the reason of an error in the body of an HTTP answer.
  if (error.empty() && record.has_details) error = record.details->error;
  fields.TextIfAny("error", error);
  if (is_json) to += '}';
  to += '\n';
}

}  // namespace penstock
