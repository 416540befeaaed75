// SPDX-License-Identifier: Apache-2.0
// The numbers are those of opentelemetry/proto/trace/v1/trace.proto. The names of attributes are
// those of OpenTelemetry's semantic conventions, as far as it has one.
#include "observe/spans.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>

#include "access/caller.h"
#include "base/encoding/proto_writer.h"
#include "base/random.h"
#include "base/utf8.h"
#include "net/request_id.h"

namespace penstock {
namespace {

enum class SpanKind : uint8_t { kInternal = 1, kServer = 2 };
constexpr uint64_t kStatusError = 2;

void AppendText(std::string& span, std::string_view name, std::string_view value) {
  if (value.empty()) return;
  std::string any, attribute;
  // A collector refuses a whole batch with a string that is not UTF-8.
  AppendBytesField(any, 1, ToUtf8(value.substr(0, kRecordTextBytesMax)));
  AppendBytesField(attribute, 1, name);
  AppendBytesField(attribute, 2, any);
  AppendBytesField(span, 9, attribute);
}

void AppendNumber(std::string& span, std::string_view name, int64_t value) {
  std::string any, attribute;
  AppendVarintField(any, 3, static_cast<uint64_t>(value));
  AppendBytesField(attribute, 1, name);
  AppendBytesField(attribute, 2, any);
  AppendBytesField(span, 9, attribute);
}

struct SpanTimes {
  SteadyTime start;
  SteadyTime end;
};

// The start of a span: its ids, name and times.
std::string BeginSpan(const TraceIds& ids, std::span<const uint8_t, 8> id,
                      std::span<const uint8_t, 8> parent, SpanKind kind, std::string_view name,
                      const UnixTimes& unix, const SpanTimes& times) {
  std::string span;
  AppendBytesField(span, 1, std::span<const uint8_t>(ids.trace));
  AppendBytesField(span, 2, std::span<const uint8_t>(id));
  if (!ids.state.empty()) AppendBytesField(span, 3, ids.state);
  if (std::any_of(parent.begin(), parent.end(), [](uint8_t byte) { return byte != 0; }))
    AppendBytesField(span, 4, std::span<const uint8_t>(parent));
  AppendBytesField(span, 5, ToUtf8(name));
  AppendVarintField(span, 6, static_cast<uint64_t>(kind));
  AppendFixed64Field(span, 7, unix.Of(times.start));
  AppendFixed64Field(span, 8, unix.Of(times.end));
  return span;
}

// Without the names of models, because tools group spans by their names.
std::string NameOf(const net::Call& call) {
  const net::RequestHead& head = call.head();
  if (call.record().http_status == 0)
    return std::string(head.path.substr(head.path.empty() ? 0 : 1, kRecordTextBytesMax));
  std::string name(head.method.substr(0, 16));
  const size_t colon = head.path.rfind(':');
  if (!head.path.starts_with("/v1/models/") || colon == head.path.npos) return name;
  const std::string_view verb = head.path.substr(colon + 1);
  const bool is_word = verb.size() <= 16 && std::all_of(verb.begin(), verb.end(), [](char c) {
                         return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
                       });
  if (is_word) name += " /v1/models/{model}:" + std::string(verb);
  return name;
}

// By OpenTelemetry's conventions a mistake of the client is no error of the server's span.
bool IsServerError(const CallRecord& record) {
  if (record.http_status != 0) return record.http_status >= 500 || record.FailsAfterHead();
  switch (record.code) {
    case StatusCode::kUnknown:
    case StatusCode::kDeadlineExceeded:
    case StatusCode::kUnimplemented:
    case StatusCode::kInternal:
    case StatusCode::kUnavailable:
    case StatusCode::kDataLoss:
      return true;
    default:
      return false;
  }
}

void AppendProtocol(std::string& span, const net::Call& call) {
  const net::RequestHead& head = call.head();
  const CallRecord& record = call.record();
  if (record.http_status != 0) {
    AppendText(span, "http.request.method", head.method);
    AppendText(span, "url.path", head.path);
    AppendNumber(span, "http.response.status_code", record.http_status);
    return;
  }
  const size_t slash = head.path.rfind('/');
  AppendText(span, "rpc.system", "grpc");
  if (slash != head.path.npos && slash > 0) {
    AppendText(span, "rpc.service", head.path.substr(1, slash - 1));
    AppendText(span, "rpc.method", head.path.substr(slash + 1));
  }
  AppendNumber(span, "rpc.grpc.status_code", static_cast<int64_t>(record.code));
}

void AppendAttributes(std::string& span, const net::Call& call) {
  const CallRecord& record = call.record();
  AppendProtocol(span, call);
  const std::string_view peer = call.head().peer;
  AppendText(span, "client.address", peer.substr(0, peer.rfind(':')));
  net::RequestIdText own;
  AppendText(span, "penstock.request_id", net::RequestIdOf(call, own));
  if (call.head().caller != nullptr)
    AppendText(span, "penstock.caller", call.head().caller->name());
  AppendNumber(span, "penstock.bytes_in", static_cast<int64_t>(record.bytes_in));
  AppendNumber(span, "penstock.bytes_out", static_cast<int64_t>(record.bytes_out));
  std::string_view error = record.error;
  if (record.has_details) {
    const CallDetails& details = *record.details;
    AppendText(span, "penstock.model", details.model);
    if (details.version) AppendNumber(span, "penstock.version", *details.version);
    AppendText(span, "penstock.label", details.label);
    AppendText(span, "penstock.arm", details.arm);
    AppendText(span, "penstock.signature", details.signature);
    if (error.empty()) error = details.error;
  }
  if (!IsServerError(record)) return;
  std::string status;
  if (!error.empty()) AppendBytesField(status, 2, ToUtf8(error));
  AppendVarintField(status, 3, kStatusError);
  AppendBytesField(span, 15, status);
}

// Appends the spans of the stages that the call went through.
size_t AppendStages(std::string& to, const net::Call& call, const UnixTimes& unix) {
  const CallRecord& record = call.record();
  if (!record.has_details) return 0;
  const StageTimes& times = record.details->times;
  const TraceIds& ids = *record.trace;
  const SteadyTime decoded = times.run_start - times.queued;
  const struct {
    std::string_view name;
    SpanTimes times;
  } stages[] = {
      {"receive", {call.start(), times.begun}},    {"decode", {times.begun, decoded}},
      {"queue", {decoded, times.run_start}},       {"run", {times.run_start, times.run_end}},
      {"encode", {times.run_end, times.answered}}, {"write", {times.answered, record.ended}}};
  size_t count = 0;
  for (const auto& stage : stages) {
    const auto [start, end] = stage.times;
    // The call did not get there, or did not stay.
    if (start <= SteadyTime{} || end <= start) continue;
    std::array<uint8_t, 8> id;
    const uint64_t random = RandomBits();
    std::memcpy(id.data(), &random, id.size());
    AppendBytesField(
        to, 2, BeginSpan(ids, id, ids.span, SpanKind::kInternal, stage.name, unix, stage.times));
    ++count;
  }
  return count;
}

}  // namespace

UnixTimes UnixTimes::Now() {
  using std::chrono::nanoseconds;
  const auto unix = std::chrono::system_clock::now().time_since_epoch();
  const auto steady = std::chrono::steady_clock::now().time_since_epoch();
  return {std::chrono::duration_cast<nanoseconds>(unix).count() -
          std::chrono::duration_cast<nanoseconds>(steady).count()};
}

size_t AppendSpans(std::string& to, const net::Call& call, const UnixTimes& times) {
  const TraceIds& ids = *call.record().trace;
  std::string span = BeginSpan(ids, ids.span, ids.parent, SpanKind::kServer, NameOf(call), times,
                               {call.start(), call.record().ended});
  AppendAttributes(span, call);
  AppendBytesField(to, 2, span);
  return 1 + AppendStages(to, call, times);
}

std::string MakeExportRequest(std::string_view spans, std::string_view service,
                              std::string_view version) {
  const auto attribute = [](std::string_view name, std::string_view value) {
    std::string any, pair;
    AppendBytesField(any, 1, value);
    AppendBytesField(pair, 1, name);
    AppendBytesField(pair, 2, any);
    return pair;
  };
  std::string resource, scope, scope_spans, resource_spans, request;
  AppendBytesField(resource, 1, attribute("service.name", service));
  AppendBytesField(resource, 1, attribute("service.version", version));
  AppendBytesField(scope, 1, std::string_view("penstock"));
  AppendBytesField(scope, 2, version);
  AppendBytesField(scope_spans, 1, scope);
  scope_spans += spans;
  AppendBytesField(resource_spans, 1, resource);
  AppendBytesField(resource_spans, 2, scope_spans);
  AppendBytesField(request, 1, resource_spans);
  return request;
}

}  // namespace penstock
