// SPDX-License-Identifier: Apache-2.0
// The facts about one call that logs, metrics and traces need when it has ended. The network layer
// and the inference fill it in while the call runs; see net/call_observer.h for who reads it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/calls/trace_ids.h"
#include "base/clock.h"
#include "base/status.h"

namespace penstock {

class Histogram;

// When the stages of an inference began. A time of zero (SteadyTime{}): the call never got there.
struct StageTimes {
  SteadyTime begun;      // the request was complete, and its handler started
  SteadyTime run_start;  // it was decoded, and the model started
  SteadyTime run_end;    // the model's last part was there
  SteadyTime answered;   // the answer was encoded and passed to the network
  Duration queued{};     // waited between begun and run_start: for a thread, or for a load
  // The batch that the request ran in. Zero requests: it ran alone.
  uint32_t batch_requests = 0;
  uint32_t batch_rows = 0;
  uint64_t batch = 0;  // the id of the first of its requests
  // Of an ensemble: what its steps have waited for slots, all together.
  Duration steps_queued{};
};

// A step of an ensemble that ran for one request.
struct StepTimes {
  std::string name;
  std::string model;
  int64_t version = 0;
  uint32_t depth = 0;  // of the ensemble in others; its steps follow the step that it is
  StageTimes times;    // begun, answered: not set
};
// The most steps that are kept of a request.
inline constexpr size_t kStepTimesMax = 200;

// Selects the calls whose record somebody reads. An observer says it once (CallObserver::filter),
// so that other calls need not be described.
struct CallFilter {
  bool all = false;
  bool errors = false;                  // calls that failed
  Duration slow_min = Duration::max();  // calls that took at least this long

  bool Wants(bool is_error, Duration time) const {
    return all || (errors && is_error) || time >= slow_min;
  }
  // True if a reader wants calls that succeed. Then the record must have the time until the answer
  // was written.
  bool wants_successes() const { return all || slow_min != Duration::max(); }
};

// What an inference adds to the record, if somebody reads it. Names that come from the client may
// have any characters.
struct CallDetails {
  std::string model;               // as requested, if the server has no such model
  std::optional<int64_t> version;  // nullopt: no version was found
  std::string label;               // the version label that the client asked for
  std::string arm;                 // the arm of the model's experiment
  std::string signature;           // empty: the default
  StatusCode code = StatusCode::kOk;
  std::string error;  // the message of `code`
  StageTimes times;
  std::vector<StepTimes> steps;  // of an ensemble, if the call is traced
};

// The most bytes that a record keeps of a name or a message. Clients choose how long they are, and
// the memory of a record is kept for the next call.
inline constexpr size_t kRecordTextBytesMax = 512;

// One call. It lives in the call's object, and is reused with it. The event loop of the call writes
// all fields but the details, which the thread of the handler writes. An observer gets the record
// after both are done.
struct CallRecord {
  const CallFilter* filter = nullptr;  // null: nobody reads records. Fixed
  // Set before the handler starts.
  uint64_t bytes_in = 0;  // of the body or the message, decompressed
  bool is_traced = false;
  std::unique_ptr<TraceIds> trace;  // valid if is_traced. Kept for the next call
  bool is_probe = false;            // a probe, a watch, or a scrape of the metrics
  // Set by the handler before it answers. Gets the time that the answer waited until the client had
  // room for it, in microseconds. Null: nobody counts it.
  Histogram* write_times = nullptr;
  // Set at the answer.
  StatusCode code = StatusCode::kOk;  // of gRPC; over HTTP, http_status counts
  int http_status = 0;                // 0: a gRPC call
  uint64_t bytes_out = 0;             // of the body or the messages, as sent
  SteadyTime ended = {};              // zero: not yet
  std::string error;                  // found by the network layer

  bool has_details = false;
  std::unique_ptr<CallDetails> details;  // valid if has_details. Kept for the next call

  bool IsError() const {
    if (http_status == 0) return code != StatusCode::kOk;
    return http_status >= 400 || FailsAfterHead();
  }
  // True for an answer in parts over HTTP that failed after its head had said 200.
  bool FailsAfterHead() const {
    return http_status != 0 && http_status < 400 && has_details && details->code != StatusCode::kOk;
  }
  bool Wants(bool is_error, Duration time) const {
    return is_traced || (filter != nullptr && filter->Wants(is_error, time));
  }
  TraceIds& MakeTrace() {
    is_traced = true;
    if (trace == nullptr) trace = std::make_unique<TraceIds>();
    return *trace;
  }
  CallDetails& MakeDetails() {
    has_details = true;
    if (details == nullptr) details = std::make_unique<CallDetails>();
    return *details;
  }
  // Sets `error` to the start of `message`, if somebody reads of errors.
  void NoteError(std::string_view message) {
    if (Wants(/*is_error=*/true, Duration::zero())) error = message.substr(0, kRecordTextBytesMax);
  }
  // Prepares it for the next call.
  void Clear() {
    bytes_in = bytes_out = 0;
    write_times = nullptr;
    code = StatusCode::kOk;
    http_status = 0;
    ended = {};
    error.clear();
    is_probe = is_traced = has_details = false;
  }
};

}  // namespace penstock
