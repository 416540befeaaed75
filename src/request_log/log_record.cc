// SPDX-License-Identifier: Apache-2.0
// A PredictionLog holds the request and the response as bytes. So it is written by hand around
// them, and they are neither parsed nor copied here.
#include "request_log/log_record.h"

#include <google/protobuf/util/json_util.h>

#include <bit>

#include "base/encoding/proto_writer.h"
#include "serving/classification.pb.h"
#include "serving/inference.pb.h"
#include "serving/predict.pb.h"
#include "serving/prediction_log.pb.h"
#include "serving/regression.pb.h"

namespace penstock {
namespace {

using google::protobuf::Message;
using tensorflow::serving::PredictionLog;

uint64_t HeadBytes(uint32_t field, uint64_t bytes) {
  std::string head;
  AppendBytesHead(head, field, bytes);
  return head.size();
}

// A LogMetadata as the first field of a PredictionLog.
std::string Metadata(const AnsweredRequest& answered, double sampling_rate, int64_t seconds) {
  std::string version, spec, sampling, metadata, field;
  AppendVarintField(version, 1, static_cast<uint64_t>(answered.model.version.value));
  AppendBytesField(spec, 1, answered.model.name);
  AppendBytesField(spec, 2, version);
  if (!answered.signature.empty()) AppendBytesField(spec, 3, answered.signature);
  AppendFixed64Field(sampling, 1, std::bit_cast<uint64_t>(sampling_rate));
  AppendBytesField(metadata, 1, spec);
  AppendBytesField(metadata, 2, sampling);
  AppendVarintField(metadata, 4, static_cast<uint64_t>(seconds));
  AppendBytesField(field, 1, metadata);
  return field;
}

template <typename T>
Status AppendJson(std::string_view name, const std::string& bytes, std::string& line) {
  T message;
  if (!message.ParseFromString(bytes)) {
    return InvalidArgument("the {} is no {}", name, T::descriptor()->full_name());
  }
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(message, &json, options).ok())
    return InvalidArgument("the {} has bytes that JSON cannot hold", name);
  line += fmt::format("\"{}\":{}", name, json);
  return OkStatus();
}

template <typename Request, typename Response, typename Log>
Status AppendPair(const Log& log, std::string& line) {
  TRY(AppendJson<Request>("request", log.request(), line));
  line += ',';
  return AppendJson<Response>("response", log.response(), line);
}

Status AppendStream(const tensorflow::serving::PredictStreamedLog& log, std::string& line) {
  using namespace tensorflow::serving;
  TRY(AppendJson<PredictRequest>("request", log.request(0), line));
  line += ",\"responses\":[";
  for (int i = 0; i < log.response_size(); ++i) {
    line += i == 0 ? "{" : ",{";
    TRY(AppendJson<PredictResponse>("response", log.response(i), line));
    line += '}';
  }
  line += ']';
  return OkStatus();
}

Status AppendMessages(const PredictionLog& log, std::string& line) {
  using namespace tensorflow::serving;
  switch (log.log_type_case()) {
    case PredictionLog::kPredictLog:
      return AppendPair<PredictRequest, PredictResponse>(log.predict_log(), line);
    case PredictionLog::kClassifyLog:
      return AppendPair<ClassificationRequest, ClassificationResponse>(log.classify_log(), line);
    case PredictionLog::kRegressLog:
      return AppendPair<RegressionRequest, RegressionResponse>(log.regress_log(), line);
    case PredictionLog::kMultiInferenceLog:
      return AppendPair<MultiInferenceRequest, MultiInferenceResponse>(log.multi_inference_log(),
                                                                       line);
    case PredictionLog::kPredictStreamedLog:
      if (log.predict_streamed_log().request_size() != 1) break;
      return AppendStream(log.predict_streamed_log(), line);
    default:
      break;
  }
  return InvalidArgument("the record has no request");
}

}  // namespace

ByteChain MakeLogRecord(const AnsweredRequest& answered, double sampling_rate, int64_t seconds) {
  uint64_t bytes = HeadBytes(1, answered.request.bytes()) + answered.request.bytes();
  for (const ByteChain& response : answered.responses)
    bytes += HeadBytes(2, response.bytes()) + response.bytes();
  std::string head = Metadata(answered, sampling_rate, seconds);
  AppendBytesHead(head, static_cast<uint32_t>(answered.kind), bytes);
  AppendBytesHead(head, 1, answered.request.bytes());
  ByteChain record;
  record.AppendCopy(head);
  record.Append(answered.request);
  for (const ByteChain& response : answered.responses) {
    std::string response_head;
    AppendBytesHead(response_head, 2, response.bytes());
    record.AppendCopy(response_head);
    record.Append(response);
  }
  return record;
}

StatusOr<std::string> LogRecordToJson(std::string_view record) {
  PredictionLog log;
  if (!log.ParseFromArray(record.data(), static_cast<int>(record.size())))
    return InvalidArgument("the record is no PredictionLog");
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string metadata;
  if (!google::protobuf::util::MessageToJsonString(log.log_metadata(), &metadata, options).ok())
    return InvalidArgument("the metadata has bytes that JSON cannot hold");
  std::string line = fmt::format("{{\"log_metadata\":{},", metadata);
  TRY(AppendMessages(log, line));
  line += "}\n";
  return line;
}

}  // namespace penstock
