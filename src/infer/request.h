// SPDX-License-Identifier: Apache-2.0
// The request and the response that all protocols and all models share.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/functional/any_invocable.h"
#include "base/buffer.h"
#include "base/calls/call_record.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/flow_control.h"
#include "base/status.h"
#include "core/servable.h"
#include "tensor/tensor.h"

namespace penstock {

// A tensor and its name. The bytes of the name live as long as the request: they belong to the
// request's `names_owner` or to the model's signature, or are static.
struct NamedTensor {
  std::string_view name;
  Tensor tensor;
  // For an output: the signature that it belongs to. 0 is the first one of the request, and n is
  // further_signatures[n - 1].
  uint32_t signature = 0;
};
using NamedTensors = absl::InlinedVector<NamedTensor, 2>;

// The model and version that a request asks for. The strings point into the received message.
struct ModelSelector {
  std::string_view name;
  std::optional<core::VersionNumber> version;  // at most one of version and label is set;
  std::string_view label;                      // if none is, the newest ready version is used
};

// The header fields, or the metadata, of a request. One thread at a time.
class RequestHeaders {
 public:
  // Returns the value of the first field with this name, in any case, or an empty view. The view is
  // valid as long as the request.
  virtual std::string_view Header(std::string_view name) const = 0;

 protected:
  ~RequestHeaders() = default;
};

using OutputFilter = absl::InlinedVector<std::string_view, 2>;  // empty: all outputs

// One more signature that a request asks for, with the same inputs.
struct FurtherSignature {
  std::string_view name;  // empty: the default signature
  OutputFilter output_filter = {};
};

// How a request uses the cache of its model's answers, if there is one.
enum class CacheUse : uint8_t {
  kNormal,   // gets what the cache has, and adds what it lacks
  kBypass,   // runs without it
  kRefresh,  // runs, and replaces what the cache has
};

// What a cache has given to an answer.
enum class CacheOutcome : uint8_t {
  kNone,     // nobody asked it
  kHit,      // all of it
  kPartial,  // some of its rows or outputs
  kMiss,     // nothing
};

// One inference. The front end that made it owns it, and keeps it until the last part of the
// response has been delivered. One thread at a time; while a model runs it, it is read-only except
// for `cancel`, `flow` and `times`.
struct InferRequest {
  std::string_view signature_name;  // empty: the default signature
  NamedTensors inputs;
  OutputFilter output_filter;
  std::vector<FurtherSignature> further_signatures;  // usually none
  SteadyTime deadline = kNoDeadline;
  CancelToken* cancel = nullptr;  // null: cannot be cancelled. Must outlive the request
  // Says whether the receiver of the parts is slow. Null: it never is. Must outlive the request.
  FlowControl* flow = nullptr;
  uint64_t request_id = 0;
  uint64_t message_bytes = 0;  // of the message that its tensors may point into; 0: unknown
  // The engine notes here how long the request waited, and when it ran. Null: nobody asks. Must
  // outlive the request.
  StageTimes* times = nullptr;
  // An ensemble notes here how its steps ran, at its end. Null: nobody asks. Must outlive the
  // request.
  std::vector<StepTimes>* steps = nullptr;
  CacheUse cache_use = CacheUse::kNormal;
  uint32_t hops = 0;  // how many servers have passed the request on, if the model asks for others
  std::vector<std::pair<std::string, std::string>> options;  // protocol extensions as text pairs
  BufferRef names_owner;  // keeps the bytes of the names alive; may be empty
};

// One part of an answer. Most models answer with exactly one part.
struct InferResponse {
  Status status;         // not OK: no outputs, and this is the last part
  NamedTensors outputs;  // the names live as long as the request and the model handle
  bool is_last = true;
  CacheOutcome cache = CacheOutcome::kNone;
};

// Called once for each part, in order, on any thread. Exactly one call has is_last. That call may
// destroy the request; no earlier call may.
using ResponseCallback = absl::AnyInvocable<void(InferResponse&&)>;

// Ends a run with an error.
inline void AnswerError(ResponseCallback& done, Status status) {
  InferResponse response;
  response.status = std::move(status);
  done(std::move(response));
}

}  // namespace penstock
