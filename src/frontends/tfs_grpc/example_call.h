// SPDX-License-Identifier: Apache-2.0
// One Classify, Regress or MultiInference call, from the bytes of the request to the bytes of the
// answer, without protobuf objects.
#pragma once

#include <string_view>

#include "base/metrics/metrics.h"
#include "calls/answer_log.h"
#include "calls/net_call.h"
#include "protocols/tfs/example_request.h"
#include "protocols/tfs/request_metrics.h"

namespace penstock::tfs {

// Shared by all calls of one method. Thread-safe. `engine`, `metrics` and `logs` outlive
// it.
struct ExampleService {
  ExampleService(ExampleApi the_api, size_t tasks_limit, Engine& the_engine,
                 MetricsRegistry& registry, const RequestLogs* request_logs)
      : api(the_api),
        tasks_max(tasks_limit),
        engine(the_engine),
        logs(request_logs),
        metrics(registry, ApiName(the_api), "GRPC") {}

  const ExampleApi api;
  const size_t tasks_max;
  Engine& engine;
  const RequestLogs* const logs;  // may be null
  RequestMetrics metrics;
};

// One call. It lives from Start to Release, and then goes to the pool of its last thread. One
// thread at a time.
class ExampleCall final : public NetCall<net::GrpcCallRef> {
 public:
  // Reads the request and runs it. The answer goes to `call`, either before this returns or later
  // on another thread. `service` outlives the call.
  static void Start(ExampleService& service, net::GrpcCallRef call);

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

  ExampleService* service_ = nullptr;
  ExampleRequest examples_;
  AnswerLog log_;
};

}  // namespace penstock::tfs
