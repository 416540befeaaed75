// SPDX-License-Identifier: Apache-2.0
// GraphPipe (docs/graphpipe.md): the paths below /graphpipe, and those of --graphpipe_port.
#pragma once

#include <string>
#include <string_view>

#include "base/metrics/metrics.h"
#include "frontends/graphpipe/graphpipe_options.h"
#include "frontends/graphpipe/graphpipe_target.h"
#include "frontends/graphpipe/infer_call.h"
#include "infer/engine.h"
#include "infer/readiness.h"
#include "net/frontend.h"

namespace penstock::graphpipe {

// Finds out what a call wants: an inference or metadata, of which model. Thread-safe. `engine`,
// `readiness`, `metrics` and `request_logs` outlive it.
class GraphPipeFrontend final : public net::Frontend {
 public:
  GraphPipeFrontend(GraphPipeOptions options, Engine& engine, const Readiness& readiness,
                    MetricsRegistry& metrics, const RequestLogs* request_logs = nullptr);

  std::string_view name() const override { return "graphpipe"; }
  void Register(net::Router& router) override;

 private:
  // Adds "/" and the probes of --graphpipe_port.
  void RegisterOwnPaths(net::Router& router);
  // The handlers of a path that names a model, and of "/".
  void HandleModel(net::HttpCallRef call);
  void HandleDefault(net::HttpCallRef call);
  StatusOr<GraphPipeTarget> DefaultTarget() const;
  // Answers the call. `target` is what its path names.
  void Handle(net::HttpCallRef call, StatusOr<GraphPipeTarget> target);
  void HandlePost(net::HttpCallRef call, GraphPipeTarget target);
  // `is_json`: for people, and not for GraphPipe's clients.
  void HandleMetadata(const net::HttpCallRef& call, GraphPipeTarget target, bool is_json);
  void RespondMetadata(net::HttpCall& call, const StatusOr<ModelHandle>& model,
                       std::string_view signature_name, bool is_json) const;
  void RespondInferError(net::HttpCall& call, const Status& status) const;

  const GraphPipeOptions options_;
  Engine& engine_;
  const Readiness& readiness_;
  InferService service_;
};

}  // namespace penstock::graphpipe
