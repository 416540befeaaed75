// SPDX-License-Identifier: Apache-2.0
// TensorFlow Serving's REST API (docs/protocols.md): the paths below /v1/models.
#pragma once

#include "base/metrics/metrics.h"
#include "base/shared_page.h"
#include "frontends/tfs_rest/example_call.h"
#include "frontends/tfs_rest/predict_call.h"
#include "frontends/tfs_rest/rest_target.h"
#include "infer/engine.h"
#include "net/frontend.h"

namespace penstock::access {
class Caller;
}

namespace penstock::tfs_rest {

// Serves the REST API: parses the path, and passes the call to the class for its verb. Thread-safe.
// `engine`, `metrics` and `request_logs` outlive it.
class RestFrontend final : public net::Frontend {
 public:
  RestFrontend(RestOptions options, Engine& engine, MetricsRegistry& metrics,
               const RequestLogs* request_logs = nullptr);

  std::string_view name() const override { return "tfs_rest"; }
  void Register(net::Router& router) override;

 private:
  // Parses the path and the method, and calls one of the functions below or the class of a verb.
  void Handle(net::HttpCallRef call);
  void HandleList(net::HttpCall& call);
  void HandleMetadata(const net::HttpCallRef& call, RestTarget target);
  void HandleStatus(net::HttpCall& call, const RestTarget& target) const;
  StatusOr<std::string> StatusText(const RestTarget& target) const;
  // Lists the models whose status the caller may read. Null: all.
  std::string ListModels(const access::Caller* caller) const;

  Engine& engine_;
  PredictService predict_;
  ExampleService classify_;
  ExampleService regress_;
  SharedPage list_page_;
};

}  // namespace penstock::tfs_rest
