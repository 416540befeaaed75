// SPDX-License-Identifier: Apache-2.0
// The records of a request log.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/buffer.h"
#include "base/status.h"
#include "core/servable.h"

namespace penstock {

// A request that was answered. All of it lives only as long as the call that takes it.
struct AnsweredRequest {
  // The numbers of the fields in tensorflow.serving.PredictionLog.
  enum class Kind : uint8_t {
    kClassify = 2,
    kRegress = 3,
    kMultiInference = 4,
    kPredict = 6,
    kPredictStreamed = 7
  };
  Kind kind = Kind::kPredict;
  const core::ServableId& model;
  std::string_view signature;            // as the request names it; empty: the default one
  const ByteChain& request;              // the bytes of the request message
  std::span<const ByteChain> responses;  // one; of a stream, one for each part
};

// Returns a serialized tensorflow.serving.PredictionLog. It refers to the slices of the request and
// the responses, and holds small pieces between them; so it keeps their memory, and copies no
// tensor. `seconds` is the time since 1970. REQUIRES: there is at least one response.
ByteChain MakeLogRecord(const AnsweredRequest& answered, double sampling_rate, int64_t seconds);

// Returns the same record as a line of JSON, with its line break. It parses the messages, so it is
// for the writer's thread only. INVALID_ARGUMENT if `record` is none, or has bytes that JSON cannot
// hold.
StatusOr<std::string> LogRecordToJson(std::string_view record);

}  // namespace penstock
