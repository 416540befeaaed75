// SPDX-License-Identifier: Apache-2.0
// The numbers are those of opentelemetry/proto/trace/v1/trace.proto. The names of attributes are
// those of OpenTelemetry's semantic conventions, as far as it has one.
#include "observe/spans.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <span>
#include <vector>

#include "access/caller.h"
#include "base/encoding/proto_writer.h"
#include "base/random.h"
#include "base/utf8.h"
#include "net/request_id.h"

namespace penstock {
namespace {

enum class SpanKind : uint8_t { kInternal = 1, kServer = 2 };
constexpr uint64_t kStatusError = 2;
constexpr size_t kCallSpanBytes = 1024;  // most spans of calls have fewer

// The bytes of a field with a tag of one byte and `size` bytes of content.
constexpr size_t FieldBytes(size_t size) { return 1 + VarintBytes(size) + size; }

// Appends an attribute of a span up to its value, which has `value_bytes` bytes.
void AppendAttributeHead(std::string& span, std::string_view name, size_t value_bytes) {
  AppendBytesHead(span, 9, FieldBytes(name.size()) + FieldBytes(value_bytes));
  AppendBytesField(span, 1, name);
  AppendBytesHead(span, 2, value_bytes);
}

void AppendText(std::string& span, std::string_view name, std::string_view value) {
  if (value.empty()) return;
  value = value.substr(0, kRecordTextBytesMax);
  // A collector refuses a whole batch with a string that is not UTF-8.
  std::string converted;
  if (!IsUtf8(value)) value = converted = ToUtf8(value);
  AppendAttributeHead(span, name, FieldBytes(value.size()));
  AppendBytesField(span, 1, value);
}

void AppendNumber(std::string& span, std::string_view name, int64_t value) {
  const auto bits = static_cast<uint64_t>(value);
  AppendAttributeHead(span, name, 1 + VarintBytes(bits));
  AppendVarintField(span, 3, bits);
}

// What every span begins with.
struct SpanHead {
  const TraceIds& ids;
  std::array<uint8_t, 8> id;
  std::array<uint8_t, 8> parent;  // zero: none
  SpanKind kind;
  std::string_view name;  // UTF-8
  uint64_t start_ns;      // since 1970
  uint64_t end_ns;

  bool has_parent() const { return parent != std::array<uint8_t, 8>{}; }
};

// The bytes that AppendSpanHead appends.
size_t SpanHeadBytes(const SpanHead& head) {
  constexpr size_t kKindBytes = 2, kTimeBytes = 9;
  return FieldBytes(head.ids.trace.size()) + FieldBytes(head.id.size()) +
         (head.ids.state.empty() ? 0 : FieldBytes(head.ids.state.size())) +
         (head.has_parent() ? FieldBytes(head.parent.size()) : 0) + FieldBytes(head.name.size()) +
         kKindBytes + 2 * kTimeBytes;
}

void AppendSpanHead(std::string& span, const SpanHead& head) {
  AppendBytesField(span, 1, std::span<const uint8_t>(head.ids.trace));
  AppendBytesField(span, 2, std::span<const uint8_t>(head.id));
  if (!head.ids.state.empty()) AppendBytesField(span, 3, head.ids.state);
  if (head.has_parent()) AppendBytesField(span, 4, std::span<const uint8_t>(head.parent));
  AppendBytesField(span, 5, head.name);
  AppendVarintField(span, 6, static_cast<uint64_t>(head.kind));
  AppendFixed64Field(span, 7, head.start_ns);
  AppendFixed64Field(span, 8, head.end_ns);
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

void AppendBatch(std::string& span, const StageTimes& times) {
  if (times.batch_requests == 0) return;
  AppendText(span, "penstock.batch", fmt::format("{:x}", times.batch));
  AppendNumber(span, "penstock.batch_requests", times.batch_requests);
  AppendNumber(span, "penstock.batch_rows", times.batch_rows);
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
    AppendBatch(span, details.times);
    if (error.empty()) error = details.error;
  }
  if (!IsServerError(record)) return;
  std::string status;
  if (!error.empty()) AppendBytesField(status, 2, ToUtf8(error));
  AppendVarintField(status, 3, kStatusError);
  AppendBytesField(span, 15, status);
}

using SpanId = std::array<uint8_t, 8>;

SpanId NewSpanId() { return std::bit_cast<SpanId>(RandomBits()); }

// Appends the spans of the steps of an ensemble, whose run is the span `run`.
size_t AppendSteps(std::string& to, const CallRecord& record, const SpanId& run,
                   const UnixTimes& unix) {
  std::vector<SpanId> parents = {run};  // by depth
  size_t count = 0;
  for (const StepTimes& step : record.details->steps) {
    const StageTimes& times = step.times;
    parents.resize(std::min<size_t>(parents.size(), step.depth + 1));
    const SpanHead head = {.ids = *record.trace,
                           .id = NewSpanId(),
                           .parent = parents.back(),
                           .kind = SpanKind::kInternal,
                           .name = "step",
                           .start_ns = unix.Of(times.run_start - times.queued),
                           .end_ns = unix.Of(times.run_end)};
    parents.push_back(head.id);
    std::string span;
    AppendSpanHead(span, head);
    AppendText(span, "penstock.step", step.name);
    AppendText(span, "penstock.model", step.model);
    AppendNumber(span, "penstock.version", step.version);
    AppendNumber(span, "penstock.queue_us",
                 std::chrono::duration_cast<std::chrono::microseconds>(times.queued).count());
    AppendBatch(span, times);
    AppendBytesField(to, 2, span);
    ++count;
  }
  return count;
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
    SteadyTime start, end;
  } stages[] = {{"receive", call.start(), times.begun},    {"decode", times.begun, decoded},
                {"queue", decoded, times.run_start},       {"run", times.run_start, times.run_end},
                {"encode", times.run_end, times.answered}, {"write", times.answered, record.ended}};
  size_t count = 0;
  for (const auto& [name, start, end] : stages) {
    // The call did not get there, or did not stay.
    if (start <= SteadyTime{} || end <= start) continue;
    const SpanHead head = {.ids = ids,
                           .id = NewSpanId(),
                           .parent = ids.span,
                           .kind = SpanKind::kInternal,
                           .name = name,
                           .start_ns = unix.Of(start),
                           .end_ns = unix.Of(end)};
    AppendBytesHead(to, 2, SpanHeadBytes(head));
    AppendSpanHead(to, head);
    ++count;
    if (name == "run") count += AppendSteps(to, record, head.id, unix);
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
  std::string span;
  span.reserve(kCallSpanBytes);
  std::string name = NameOf(call);
  if (!IsUtf8(name)) name = ToUtf8(name);
  AppendSpanHead(span, {.ids = ids,
                        .id = ids.span,
                        .parent = ids.parent,
                        .kind = SpanKind::kServer,
                        .name = name,
                        .start_ns = times.Of(call.start()),
                        .end_ns = times.Of(call.record().ended)});
  AppendAttributes(span, call);
  AppendBytesField(to, 2, span);
  return 1 + AppendStages(to, call, times);
}

std::string ExportRequestHead(size_t spans_bytes, std::string_view service,
                              std::string_view version) {
  const auto attribute = [](std::string_view name, std::string_view value) {
    std::string any, pair;
    AppendBytesField(any, 1, value);
    AppendBytesField(pair, 1, name);
    AppendBytesField(pair, 2, any);
    return pair;
  };
  std::string resource, scope;
  AppendBytesField(resource, 1, attribute("service.name", service));
  AppendBytesField(resource, 1, attribute("service.version", version));
  AppendBytesField(scope, 1, std::string_view("penstock"));
  AppendBytesField(scope, 2, version);
  const size_t scope_spans = FieldBytes(scope.size()) + spans_bytes;
  std::string head;
  AppendBytesHead(head, 1, FieldBytes(resource.size()) + FieldBytes(scope_spans));
  AppendBytesField(head, 1, resource);
  AppendBytesHead(head, 2, scope_spans);
  AppendBytesField(head, 1, scope);
  return head;
}

}  // namespace penstock
