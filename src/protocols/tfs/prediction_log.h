// SPDX-License-Identifier: Apache-2.0
// A recorded request: what a record of a warm-up file holds.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace penstock::tfs {

// One thread at a time.
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
  std::string predict;  // of kPredict: the bytes of a PredictRequest
};

// As "Classify".
std::string_view KindName(RecordedRequest::Kind kind);

// The request of a PredictionLog; its answer is not looked at. INVALID_ARGUMENT if `record` is no
// PredictionLog.
StatusOr<RecordedRequest> ReadPredictionLog(std::string_view record);

}  // namespace penstock::tfs
