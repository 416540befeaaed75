// SPDX-License-Identifier: Apache-2.0
#include "loading/prediction_log.h"

#include <utility>

#include "protocols/tfs/wire_reader.h"
#include "serving/prediction_log.pb.h"

namespace penstock {
namespace {

using tensorflow::serving::PredictionLog;
using Kind = RecordedRequest::Kind;

Kind KindOf(const PredictionLog& log) {
  switch (log.log_type_case()) {
    case PredictionLog::kPredictLog:
      return Kind::kPredict;
    case PredictionLog::kClassifyLog:
      return Kind::kClassify;
    case PredictionLog::kRegressLog:
      return Kind::kRegress;
    case PredictionLog::kMultiInferenceLog:
      return Kind::kMultiInference;
    case PredictionLog::kSessionRunLog:
      return Kind::kSessionRun;
    case PredictionLog::kPredictStreamedLog:
      return Kind::kPredictStreamed;
    case PredictionLog::LOG_TYPE_NOT_SET:
      break;
  }
  return Kind::kNone;
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
  RecordedRequest request;
  request.kind = KindOf(log);
  if (log.has_predict_log())
    request.predict = std::move(*log.mutable_predict_log()->mutable_request());
  return request;
}

}  // namespace penstock
