// SPDX-License-Identifier: Apache-2.0
// A PredictionLog holds the request and the response as bytes. So it is written by hand around
// them, and they are neither parsed nor copied here.
#include "request_log/log_record.h"

#include <google/protobuf/util/json_util.h>

#include <cstring>

#include "serving/classification.pb.h"
#include "serving/inference.pb.h"
#include "serving/predict.pb.h"
#include "serving/prediction_log.pb.h"
#include "serving/regression.pb.h"

namespace penstock {
namespace {

using google::protobuf::Message;
using tensorflow::serving::PredictionLog;

void AppendVarint(uint64_t value, std::string& to) {
  for (; value >= 0x80; value >>= 7) to += static_cast<char>(value | 0x80);
  to += static_cast<char>(value);
}

// The tag of a length-delimited field, and the length.
void AppendHead(uint32_t field, uint64_t bytes, std::string& to) {
  AppendVarint(field << 3 | 2, to);
  AppendVarint(bytes, to);
}

void AppendText(uint32_t field, std::string_view text, std::string& to) {
  if (text.empty()) return;
  AppendHead(field, text.size(), to);
  to += text;
}

uint64_t HeadBytes(uint32_t field, uint64_t bytes) {
  std::string head;
  AppendHead(field, bytes, head);
  return head.size();
}

// A LogMetadata as the first field of a PredictionLog.
std::string Metadata(const AnsweredRequest& answered, double sampling_rate, int64_t seconds) {
  std::string version, spec, sampling, metadata, field;
  AppendVarint(1 << 3, version);
  AppendVarint(static_cast<uint64_t>(answered.model.version.value), version);
  AppendText(1, answered.model.name, spec);
  AppendText(2, version, spec);
  AppendText(3, answered.signature, spec);
  AppendVarint(1 << 3 | 1, sampling);  // a double
  char rate[sizeof(sampling_rate)];
  std::memcpy(rate, &sampling_rate, sizeof(rate));
  sampling.append(rate, sizeof(rate));
  AppendText(1, spec, metadata);
  AppendText(2, sampling, metadata);
  AppendVarint(4 << 3, metadata);
  AppendVarint(static_cast<uint64_t>(seconds), metadata);
  AppendText(1, metadata, field);
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
  AppendHead(static_cast<uint32_t>(answered.kind), bytes, head);
  AppendHead(1, answered.request.bytes(), head);
  ByteChain record;
  record.AppendCopy(head);
  record.Append(answered.request);
  for (const ByteChain& response : answered.responses) {
    std::string response_head;
    AppendHead(2, response.bytes(), response_head);
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
