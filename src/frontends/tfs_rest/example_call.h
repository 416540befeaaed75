// SPDX-License-Identifier: Apache-2.0
// One :classify or :regress call.
#pragma once

#include <string_view>

#include "base/metrics/metrics.h"
#include "calls/answer_log.h"
#include "calls/net_call.h"
#include "frontends/tfs_rest/rest_target.h"
#include "protocols/tfs/example_request.h"
#include "protocols/tfs/request_metrics.h"
#include "protocols/tfs_json/predict_decoder.h"

namespace penstock::tfs_rest {

// Shared by all calls of one verb. Thread-safe. `engine`, `options`, `metrics` and `logs`
// outlive it.
struct ExampleService {
  ExampleService(tfs::ExampleApi the_api, const tfs_json::DecoderOptions& the_options,
                 Engine& the_engine, MetricsRegistry& registry, const RequestLogs* request_logs)
      : api(the_api),
        options(the_options),
        engine(the_engine),
        logs(request_logs),
        // TensorFlow Serving's label is in lower case over REST.
        metrics(registry, the_api == tfs::ExampleApi::kClassify ? "classify" : "regress", "REST") {}

  const tfs::ExampleApi api;
  const tfs_json::DecoderOptions& options;
  Engine& engine;
  const RequestLogs* const logs;  // may be null
  tfs::RequestMetrics metrics;
};

// One call. DecodeExamples makes the message of a gRPC client from its body, so that both protocols
// share the rest. One thread at a time.
class ExampleCall final : public NetCall<net::HttpCallRef> {
 public:
  // `service` outlives the call.
  static void Start(ExampleService& service, net::HttpCallRef call, RestTarget target);

 private:
  // The steps of InferCall, which says when each one is called and on which thread.
  bool PeekSelector(ModelSelector& selector) const override;
  Status ReadSelector(ModelSelector& selector, InferRequest& request) override;
  Status Decode(const ModelInfo& info, RequestMemory& memory, InferRequest& request) override;
  StatusOr<ByteChain> Encode(const NamedTensors& outputs, RequestMemory& memory) override;
  void Send(ByteChain&& answer) override;
  void SendError(const Status& status) override;
  void Record(std::string_view model, StatusCode code, Duration latency) override;
  void Release() override;

  void Log(const NamedTensors& outputs);

  ExampleService* service_ = nullptr;
  RestTarget target_;
  tfs::ExampleRequest examples_;
  Slice message_;  // the request in protobuf
  AnswerLog log_;
};

}  // namespace penstock::tfs_rest
