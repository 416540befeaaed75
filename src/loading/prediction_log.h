// SPDX-License-Identifier: Apache-2.0
// Reads recorded requests: the records of a warm-up file.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace penstock {

// One recorded request. One thread at a time.
struct RecordedRequest {
  enum class Kind {
    kNone,
    kPredict,
    kClassify,
    kRegress,
    kMultiInference,
    kSessionRun,
    kPredictStreamed
  };
  Kind kind = Kind::kNone;
  // The bytes of the request; of a stream, of each of its requests.
  std::vector<std::string> messages = {};
};

// The name, such as "Classify".
std::string_view KindName(RecordedRequest::Kind kind);

// Returns the request of a PredictionLog, and ignores its response. INVALID_ARGUMENT if `record` is
// not a PredictionLog. The request itself is not checked.
StatusOr<RecordedRequest> ReadPredictionLog(std::string_view record);

}  // namespace penstock
