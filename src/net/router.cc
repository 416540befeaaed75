// SPDX-License-Identifier: Apache-2.0
#include "net/router.h"

#include <algorithm>

#include "base/check.h"
#include "net/headers.h"

namespace penstock::net {
namespace {

bool Matches(const HttpRoute& route, std::string_view path) {
  const std::string_view prefix(route.path);
  if (path.size() < prefix.size()) return false;
  path = path.substr(0, prefix.size());
  return route.prefix_ignores_case ? EqualsIgnoringCase(path, prefix) : path == prefix;
}

}  // namespace

void Router::AddGrpc(GrpcRoute route) {
  const auto [it, is_new] = grpc_.try_emplace(route.method, nullptr);
  PENSTOCK_CHECK(is_new, "a gRPC method is registered twice");
  it->second = std::make_unique<GrpcRoute>(std::move(route));
}

void Router::AddHttp(HttpRoute route) {
  if (!route.path.ends_with('*')) {
    const auto [it, is_new] = exact_.try_emplace(route.path, nullptr);
    PENSTOCK_CHECK(is_new, "a path is registered twice");
    it->second = std::make_unique<HttpRoute>(std::move(route));
    return;
  }
  route.path.pop_back();
  for (const auto& other : prefixes_)
    PENSTOCK_CHECK(other->path != route.path, "a path prefix is registered twice");
  // Longer prefixes first, so that FindHttp may take the first match.
  const auto longer = [&](const auto& other) { return other->path.size() >= route.path.size(); };
  const auto at = std::partition_point(prefixes_.begin(), prefixes_.end(), longer);
  prefixes_.insert(at, std::make_unique<HttpRoute>(std::move(route)));
}

const GrpcRoute* Router::FindGrpc(std::string_view method) const {
  const auto it = grpc_.find(method);
  return it == grpc_.end() ? nullptr : it->second.get();
}

const HttpRoute* Router::FindHttp(std::string_view path) const {
  if (const auto it = exact_.find(path); it != exact_.end()) return it->second.get();
  for (const auto& route : prefixes_)
    if (Matches(*route, path)) return route.get();
  return nullptr;
}

std::vector<std::string> Router::GrpcServices() const {
  std::vector<std::string> services;
  for (const auto& [method, route] : grpc_) {
    const size_t slash = method.rfind('/');
    services.push_back(method.substr(1, slash - 1));
  }
  std::sort(services.begin(), services.end());
  services.erase(std::unique(services.begin(), services.end()), services.end());
  return services;
}

std::vector<std::string> Router::RoutesForNobody() const {
  std::vector<std::string> found;
  const auto add = [&found](const auto& route, const std::string& name) {
    if (route.access == RouteAccess::kNobody) found.push_back(name);
  };
  for (const auto& [method, route] : grpc_) add(*route, method);
  for (const auto& [path, route] : exact_) add(*route, path);
  for (const auto& route : prefixes_) add(*route, route->path + "*");
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace penstock::net
