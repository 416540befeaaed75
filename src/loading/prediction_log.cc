// SPDX-License-Identifier: Apache-2.0
#include "loading/prediction_log.h"

#include <utility>

#include "protocols/tfs/wire_reader.h"
#include "serving/prediction_log.pb.h"

namespace penstock {
namespace {

using tensorflow::serving::PredictionLog;
using Kind = RecordedRequest::Kind;

// Sets the request to the only message of `recorded`.
template <typename Log>
RecordedRequest Take(Kind kind, Log* log) {
  RecordedRequest request{.kind = kind};
  request.messages.push_back(std::move(*log->mutable_request()));
  return request;
}

RecordedRequest TakeRequest(PredictionLog& log) {
  switch (log.log_type_case()) {
    case PredictionLog::kPredictLog:
      return Take(Kind::kPredict, log.mutable_predict_log());
    case PredictionLog::kClassifyLog:
      return Take(Kind::kClassify, log.mutable_classify_log());
    case PredictionLog::kRegressLog:
      return Take(Kind::kRegress, log.mutable_regress_log());
    case PredictionLog::kMultiInferenceLog:
      return Take(Kind::kMultiInference, log.mutable_multi_inference_log());
    case PredictionLog::kSessionRunLog:
      return Take(Kind::kSessionRun, log.mutable_session_run_log());
    case PredictionLog::kPredictStreamedLog: {
      const auto& requests = log.predict_streamed_log().request();
      return {.kind = Kind::kPredictStreamed, .messages = {requests.begin(), requests.end()}};
    }
    case PredictionLog::LOG_TYPE_NOT_SET:
      break;
  }
  return {};
}

}  // namespace

std::string_view KindName(Kind kind) {
  switch (kind) {
    case Kind::kNone:
      break;
    case Kind::kPredict:
      return "Predict";
    case Kind::kClassify:
      return "Classify";
    case Kind::kRegress:
      return "Regress";
    case Kind::kMultiInference:
      return "MultiInference";
    case Kind::kSessionRun:
      return "SessionRun";
    case Kind::kPredictStreamed:
      return "PredictStreamed";
  }
  return "none";
}

StatusOr<RecordedRequest> ReadPredictionLog(std::string_view record) {
  PredictionLog log;
  // ParseFromArray takes an int, so a larger size would turn negative.
  if (record.size() > tfs::kLengthMax ||
      !log.ParseFromArray(record.data(), static_cast<int>(record.size()))) {
    return InvalidArgument(
        "Failed to parse warmup record: it is no tensorflow.serving.PredictionLog");
  }
  return TakeRequest(log);
}

}  // namespace penstock
