// SPDX-License-Identifier: Apache-2.0
// One :predict call. The body may have any of the formats of BodyFormat, and so may the answer. An
// answer in parts is a stream of server-sent events; see SendPart.
#pragma once

#include <string_view>

#include "base/metrics/metrics.h"
#include "calls/answer_log.h"
#include "calls/net_call.h"
#include "frontends/tfs_rest/body_format.h"
#include "frontends/tfs_rest/numpy_body.h"
#include "frontends/tfs_rest/rest_target.h"
#include "protocols/tfs/predict_reader.h"
#include "protocols/tfs/predict_writer.h"
#include "protocols/tfs/request_metrics.h"
#include "protocols/tfs_json/predict_decoder.h"

namespace penstock::tfs_rest {

// The options of the REST API. Each default is that of the flag.
struct RestOptions {
  tfs_json::DecoderOptions decoder;
  tfs::TensorWriteOptions write;  // for answers in protobuf
};

// Shared by all :predict calls. Thread-safe. `engine`, `metrics` and `logs` outlive
// it.
struct PredictService {
  PredictService(const RestOptions& rest_options, Engine& the_engine, MetricsRegistry& registry,
                 const RequestLogs* request_logs)
      : options(rest_options),
        engine(the_engine),
        logs(request_logs),
        metrics(registry, "predict", "REST") {}

  const RestOptions options;
  Engine& engine;
  const RequestLogs* const logs;  // may be null
  tfs::RequestMetrics metrics;
};

// One call. One thread at a time.
class PredictCall final : public NetCall<net::HttpCallRef> {
 public:
  // Answers `call`, before this returns or later on another thread. `service` outlives the call.
  static void Start(PredictService& service, net::HttpCallRef call, RestTarget target);

 private:
  // The steps of InferCall, which says when each one is called and on which thread.
  bool PeekSelector(ModelSelector& selector) const override;
  Status ReadSelector(ModelSelector& selector, InferRequest& request) override;
  Status Decode(const ModelInfo& info, RequestMemory& memory, InferRequest& request) override;
  StatusOr<ByteChain> Encode(const NamedTensors& outputs, RequestMemory& memory) override;
  void Send(ByteChain&& answer) override;
  void SendPart(ByteChain&& part) override;
  void EndParts() override;
  void SendError(const Status& status) override;
  void Record(std::string_view model, StatusCode code, Duration latency) override;
  void Release() override;

  // The parts of these steps for one format each.
  Status DecodeProtobuf(RequestMemory& memory, InferRequest& request);
  Status ReadQuery(InferRequest& request);
  StatusOr<ByteChain> EncodeAnswer(const NamedTensors& outputs, RequestMemory& memory);
  void AppendToLog(const NamedTensors& outputs);
  void WriteLog();
  // Sends the head of an answer in server-sent events, before its first part.
  void BeginEvents();
  StatusOr<ByteChain> EncodeProtobuf(const NamedTensors& outputs, RequestMemory& memory) const;

  PredictService* service_ = nullptr;
  RestTarget target_;
  BodyFormat format_ = BodyFormat::kJson;  // of the request
  BodyFormat answer_format_ = BodyFormat::kJson;
  // The form of a JSON answer, rows or columns.
  tfs_json::PredictFormat json_form_ = tfs_json::PredictFormat::kColumn;
  tfs::PredictScan scan_;  // of a protobuf body
  NumpyQuery query_;       // of a numpy body
  bool has_begun_events_ = false;
  AnswerLog log_;
};

}  // namespace penstock::tfs_rest
