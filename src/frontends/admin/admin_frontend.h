// SPDX-License-Identifier: Apache-2.0
// The pages for operators: metrics, liveness, readiness.
//   GET /                     the name and version of the program, as JSON
//   GET /healthz              200 while the process can answer at all
//   GET /readyz               200 if the models that count are available,
//                             else 503 and what is missing
//   GET /readyz/models/NAME   the same for one model; 404 if it is not configured
//   GET /metrics              Prometheus text; also at the path of the
//                             monitoring configuration
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/metrics/metrics.h"
#include "base/shared_page.h"
#include "core/manager.h"
#include "infer/readiness.h"
#include "net/frontend.h"

namespace penstock::access {
class Caller;
}

namespace penstock {

// The options of the pages for operators and probes.
struct AdminOptions {
  std::vector<std::string> metrics_paths = {"/metrics", "/monitoring/prometheus/metrics"};
  std::string version = {};            // of the program
  core::ReadinessRule readiness = {};  // the same as the manager's
  bool has_admin_port = false;         // only that port serves the metrics
};

// Serves the pages above. Thread-safe. The constructor's arguments outlive it.
class AdminFrontend final : public net::Frontend {
 public:
  AdminFrontend(AdminOptions options, const core::Manager& manager, const Readiness& readiness,
                const MetricsRegistry& metrics);

  std::string_view name() const override { return "admin"; }
  void Register(net::Router& router) override;
  void RegisterProbes(net::Router& router) override;
  void RegisterAdmin(net::Router& router) override;

 private:
  // Adds the probes: they are not counted as requests, and answer during a drain.
  void AddHealth(net::Router& router);
  // Adds the pages of metrics, for callers with the operation kMetrics.
  void AddMetrics(net::Router& router);
  // The same paths on other ports: says where the metrics are.
  void AddMetricsHint(net::Router& router);
  // Each shows only what the caller may see. Null: everything.
  net::HttpResponse Root(const access::Caller* caller) const;
  net::HttpResponse Metrics(const access::Caller* caller);
  net::HttpResponse ServerReadiness(const access::Caller* caller) const;
  std::vector<std::string> ModelsThatCount() const;
  net::HttpResponse ModelReadiness(std::string_view escaped_name,
                                   const access::Caller* caller) const;

  const AdminOptions options_;
  const core::Manager& manager_;
  const Readiness& readiness_;
  const MetricsRegistry& metrics_;
  SharedPage metrics_page_;
};

}  // namespace penstock
