// SPDX-License-Identifier: Apache-2.0
// TensorFlow Serving's gRPC services: PredictionService (Predict, Classify, Regress,
// MultiInference, GetModelMetadata) and ModelService (GetModelStatus, HandleReloadConfigRequest).
// And PredictStreamed, which TensorFlow Serving has only the messages for.
#pragma once

#include <functional>
#include <string_view>

#include "base/metrics/metrics.h"
#include "config/change_request.h"
#include "frontends/tfs_grpc/example_call.h"
#include "frontends/tfs_grpc/predict_call.h"
#include "frontends/tfs_grpc/reload_access.h"
#include "infer/engine.h"
#include "net/frontend.h"

namespace penstock::tfs {

// Keeps a version loaded for another server, for some time.
using LeaseFunction = std::function<void(const core::ServableId& id)>;

// Serves these services. Thread-safe. `engine`, `metrics`, `request_logs` and
// what `reload` uses outlive it.
class TfsGrpc final : public net::Frontend {
 public:
  // `reload` gets the requests to change the models, on the event loop of the call. `request_logs`
  // may be null: nothing is logged. `lease` may be null: no version is kept for other servers.
  TfsGrpc(const PredictOptions& options, Engine& engine, MetricsRegistry& metrics,
          ReloadAccess reload_access, ChangeFunction reload,
          const RequestLogs* request_logs = nullptr, LeaseFunction lease = nullptr);

  std::string_view name() const override { return "tfs_grpc"; }
  void Register(net::Router& router) override;
  // ModelService alone.
  void RegisterAdmin(net::Router& router) override;

 private:
  Engine& engine_;
  const MetricsRegistry& metrics_;
  PredictService predict_;
  PredictService predict_streamed_;
  ExampleService classify_;
  ExampleService regress_;
  ExampleService multi_inference_;
  const ReloadAccess reload_access_;
  const ChangeFunction reload_;
  const LeaseFunction lease_;
};

}  // namespace penstock::tfs
