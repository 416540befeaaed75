// SPDX-License-Identifier: Apache-2.0
// One inference over GraphPipe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/metrics/metrics.h"
#include "calls/answer_log.h"
#include "calls/net_call.h"
#include "frontends/graphpipe/graphpipe_options.h"
#include "frontends/graphpipe/graphpipe_target.h"
#include "protocols/graphpipe/request_reader.h"
#include "protocols/graphpipe/response_writer.h"
#include "protocols/tfs/request_metrics.h"

namespace penstock::graphpipe {

// Shared by all calls. Thread-safe. `engine`, the registry and `logs` outlive it.
struct InferService {
  InferService(const GraphPipeOptions& options, Engine& the_engine, MetricsRegistry& registry,
               const RequestLogs* request_logs);

  const bool in_band_errors;
  const std::vector<std::string> named_outputs;  // as in GraphPipeOptions
  Engine& engine;
  const RequestLogs* const logs;  // may be null
  tfs::RequestMetrics metrics;
  // Bytes of tensors that were copied or converted, and not only viewed.
  Counter& copied_in;
  Counter& copied_out;
};

// One call. One thread at a time.
class GraphPipeInferCall final : public NetCall<net::HttpCallRef> {
 public:
  // Answers `call`, before this returns or later on another thread. `service` outlives the call.
  static void Start(InferService& service, net::HttpCallRef call, GraphPipeTarget target);

 private:
  // The steps of InferCall, which says when each one is called and on which thread.
  bool PeekSelector(ModelSelector& selector) const override;
  Status ReadSelector(ModelSelector& selector, InferRequest& request) override;
  Status Decode(const ModelInfo& info, RequestMemory& memory, InferRequest& request) override;
  bool DecodesInPlace() const override { return true; }
  StatusOr<ByteChain> Encode(const NamedTensors& outputs, RequestMemory& memory) override;
  void Send(ByteChain&& answer) override;
  void SendError(const Status& status) override;
  void Record(std::string_view model, StatusCode code, Duration latency) override;
  void Release() override;

  // Without names in the request, asks for all outputs but those that want to be named.
  void ChooseOutputs(const ModelInfo& info, InferRequest& request) const;
  // The outputs in the order that the client asked for, or that of the signature.
  StatusOr<NamedTensors> InOrder(const NamedTensors& outputs) const;
  void AppendToLog(const NamedTensors& outputs);
  void WriteLog();

  InferService* service_ = nullptr;
  GraphPipeTarget target_;
  RequestReader reader_;
  AnswerLog log_;
};

}  // namespace penstock::graphpipe
