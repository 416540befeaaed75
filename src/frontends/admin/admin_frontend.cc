// SPDX-License-Identifier: Apache-2.0
// These pages must answer when nothing else does: at the limit of requests, and while the server
// drains. So they do not count as requests, take no locks that a load holds for long, and never
// wait for a model.
#include "frontends/admin/admin_frontend.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "access/caller.h"
#include "base/percent.h"
#include "frontends/admin/admin_json.h"
#include "frontends/admin/model_json.h"

namespace penstock {
namespace {

constexpr std::string_view kModelPath = "/readyz/models/";

// Formats the model, and what keeps it from being ready.
std::string ModelJson(const core::Manager& manager, std::string_view name, bool is_ready) {
  return fmt::format(R"({{"name":{},"ready":{},{}}})", JsonQuoted(name), is_ready,
                     VersionFields(manager, name));
}

}  // namespace

AdminFrontend::AdminFrontend(AdminOptions options, const core::Manager& manager,
                             const Readiness& readiness, const MetricsRegistry& metrics)
    : options_(std::move(options)), manager_(manager), readiness_(readiness), metrics_(metrics) {}

namespace {

// Adds a page that works even when the server is full, and while it drains: probes and scrapes must
// get through.
void AddProbe(net::Router& router, std::string_view path, net::RouteAccess access,
              net::HttpHandler handler) {
  router.AddHttp({.path = std::string(path),
                  .methods = {"GET"},
                  .handler = std::move(handler),
                  .counts_as_request = false,
                  .access = access});
}

}  // namespace

void AdminFrontend::Register(net::Router& router) {
  AddProbe(router, "/", net::RouteAccess::kCallers,
           [this](net::HttpCallRef call) { call->Respond(Root(call->head().caller.get())); });
  RegisterProbes(router);
}

void AdminFrontend::RegisterProbes(net::Router& router) {
  AddHealth(router);
  if (options_.has_admin_port) {
    AddMetricsHint(router);
  } else {
    AddMetrics(router);
  }
}

void AdminFrontend::RegisterAdmin(net::Router& router) {
  AddHealth(router);
  AddMetrics(router);
}

void AdminFrontend::AddHealth(net::Router& router) {
  // Load balancers and kubelets send no token. What they see then has no model in it.
  const auto add = [&router](std::string_view path, net::HttpHandler handler) {
    AddProbe(router, path, net::RouteAccess::kEveryone, std::move(handler));
  };
  add("/healthz",
      [](net::HttpCallRef call) { call->Respond(JsonResponse(200, R"({"status":"ok"})")); });
  add("/readyz",
      [this](net::HttpCallRef call) { call->Respond(ServerReadiness(call->head().caller.get())); });
  add(std::string(kModelPath) + "*", [this](net::HttpCallRef call) {
    call->Respond(
        ModelReadiness(call->head().path.substr(kModelPath.size()), call->head().caller.get()));
  });
}

void AdminFrontend::AddMetrics(net::Router& router) {
  for (const std::string& path : options_.metrics_paths)
    AddProbe(router, path, net::RouteAccess::kCallers,
             [this](net::HttpCallRef call) { call->Respond(Metrics(call->head().caller.get())); });
}

void AdminFrontend::AddMetricsHint(net::Router& router) {
  for (const std::string& path : options_.metrics_paths)
    AddProbe(router, path, net::RouteAccess::kCallers, [](net::HttpCallRef call) {
      call->Respond(UncachedError(404, "the metrics are on --admin_port and --admin_socket only"));
    });
}

net::HttpResponse AdminFrontend::Root(const access::Caller* caller) const {
  std::vector<std::string> names = manager_.ModelNames();
  std::erase_if(names, [caller](const std::string& name) {
    return !access::May(caller, access::Operation::kStatus, name);
  });
  return JsonResponse(
      200, fmt::format(R"({{"name":"penstock","version":{},"ready":{},"models":{}}})",
                       JsonQuoted(options_.version), readiness_.IsServerReady(), names.size()));
}

net::HttpResponse AdminFrontend::Metrics(const access::Caller* caller) {
  const Status allowed = access::CheckAll(caller, access::Operation::kMetrics);
  if (!allowed.ok()) return UncachedError(403, MessageOf(allowed));
  net::HttpResponse response;
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  response.body.Append(metrics_page_.Get([this] { return metrics_.Text(); }));
  return response;
}

net::HttpResponse AdminFrontend::ServerReadiness(const access::Caller* caller) const {
  if (readiness_.IsServerReady()) return JsonResponse(200, R"({"ready":true})");
  std::string json =
      fmt::format(R"({{"ready":false,"draining":{},"models":[)", readiness_.IsDraining());
  const char* separator = "";
  // Only models that are not ready: the list tells the operator what the server waits for.
  for (const std::string& name : ModelsThatCount()) {
    if (manager_.IsModelReady(name).value_or(false)) continue;
    if (!access::May(caller, access::Operation::kStatus, name)) continue;
    json += std::exchange(separator, ",") + ModelJson(manager_, name, false);
  }
  return JsonResponse(503, json + "]}");
}

// The models that readiness depends on: those that the rule names, configured or not; else those of
// the start, or those that are expected to be loaded.
std::vector<std::string> AdminFrontend::ModelsThatCount() const {
  const core::ReadinessRule& rule = options_.readiness;
  if (rule.kind == core::ReadinessRule::Kind::kNamedModels)
    return {rule.models.begin(), rule.models.end()};
  std::vector<std::string> names = manager_.ModelNames();
  std::erase_if(names, [&](const std::string& name) {
    return rule.kind == core::ReadinessRule::Kind::kAllModels ? !manager_.IsModelEstablished(name)
                                                              : !manager_.IsModelExpected(name);
  });
  return names;
}

net::HttpResponse AdminFrontend::ModelReadiness(std::string_view escaped_name,
                                                const access::Caller* caller) const {
  const std::string name = PercentDecoded(escaped_name);
  const std::optional<bool> is_ready = readiness_.IsModelReady(name);
  if (!is_ready || !access::May(caller, access::Operation::kStatus, name))
    return UncachedError(404, fmt::format("no model is called '{}'", name));
  return JsonResponse(*is_ready ? 200 : 503, ModelJson(manager_, name, *is_ready));
}

}  // namespace penstock
