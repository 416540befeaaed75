// SPDX-License-Identifier: Apache-2.0
// The hot path: one Predict or PredictStreamed call, from the bytes of the request to the bytes of
// the answer, without protobuf objects. A small Predict allocates memory only for its answer.
#pragma once

#include <span>
#include <string_view>

#include "base/metrics/metrics.h"
#include "base/options/option_row.h"
#include "calls/answer_log.h"
#include "calls/net_call.h"
#include "protocols/tfs/predict_reader.h"
#include "protocols/tfs/predict_writer.h"
#include "protocols/tfs/request_metrics.h"

namespace penstock::tfs {

// The limits for reading a request, and the form of the answer. Each default is that of the flag.
struct PredictOptions {
  PredictReadLimits limits;
  TensorWriteOptions write;
};

// The flags of this front end, for app/builtins.cc. Static storage.
std::span<const OptionRow> PredictOptionRows();

// kMessage: Predict, one answer. kStream: PredictStreamed, a message for each part.
enum class PredictAnswer { kMessage, kStream };

// Shared by all calls of one method. Thread-safe. `engine`, `metrics` and `logs` outlive it.
struct PredictService {
  PredictService(const PredictOptions& predict_options, PredictAnswer the_answer,
                 Engine& the_engine, MetricsRegistry& registry, const RequestLogs* request_logs)
      : options(predict_options),
        answer(the_answer),
        engine(the_engine),
        logs(request_logs),
        metrics(registry, the_answer == PredictAnswer::kStream ? "PredictStreamed" : "Predict",
                "GRPC") {}

  const PredictOptions options;
  const PredictAnswer answer;
  Engine& engine;
  const RequestLogs* const logs;  // may be null
  RequestMetrics metrics;
};

// One call. It lives from Start to Release, and then goes to the pool of its last thread. One
// thread at a time.
class PredictCall final : public NetCall<net::GrpcCallRef> {
 public:
  // Reads the request and runs it. The answer goes to `call`, either before this returns or later
  // on another thread. `service` outlives the call.
  static void Start(PredictService& service, net::GrpcCallRef call);

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

  PredictService* service_ = nullptr;
  PredictScan scan_;
  AnswerLog log_;
};

}  // namespace penstock::tfs
