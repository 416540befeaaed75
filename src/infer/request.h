// SPDX-License-Identifier: Apache-2.0
// What every protocol turns its bytes into, and what every model answers.
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
#include "base/cancel.h"
#include "base/clock.h"
#include "base/status.h"
#include "core/servable.h"
#include "tensor/tensor.h"

namespace penstock {

// A tensor and its name. The name's bytes are kept by the request's `names_owner`, by the model's
// signature, or are static: they live as long as the request.
struct NamedTensor {
  std::string_view name;
  Tensor tensor;
};
using NamedTensors = absl::InlinedVector<NamedTensor, 2>;

// Which version of which model a request means. Views into the received message.
struct ModelSelector {
  std::string_view name;
  std::optional<core::VersionNumber> version;  // at most one of version and label;
  std::string_view label;                      // neither: the newest ready version
};

// One inference. The front end that made it owns it and keeps it until the last response part has
// been delivered. One thread at a time; read-only while a model runs it, but for `cancel`.
struct InferRequest {
  std::string_view signature_name;  // empty: the default signature
  NamedTensors inputs;
  absl::InlinedVector<std::string_view, 2> output_filter;  // empty: all outputs
  SteadyTime deadline = kNoDeadline;
  CancelToken* cancel = nullptr;  // null: cannot be cancelled. Outlives the request.
  uint64_t request_id = 0;
  std::vector<std::pair<std::string, std::string>> options;  // protocol extensions as text pairs
  BufferRef names_owner;  // keeps the bytes of the names, if they need it
};

// One part of an answer. Most models give exactly one.
struct InferResponse {
  Status status;         // not OK: no outputs, and this is the last part
  NamedTensors outputs;  // names live as long as the request and the model handle
  bool is_last = true;
};

// Called once per part, in order, on any thread; exactly one call has is_last. The request may be
// destroyed in the call with is_last, not earlier.
using ResponseCallback = absl::AnyInvocable<void(InferResponse&&)>;

// Ends a run.
inline void AnswerError(ResponseCallback& done, Status status) {
  InferResponse response;
  response.status = std::move(status);
  done(std::move(response));
}

}  // namespace penstock
