// SPDX-License-Identifier: Apache-2.0
// One route takes all paths below /v1/, because names of models and the verb behind the colon are
// no fixed parts of a path. ParseRestPath decides what a path means. A wrong method gets 405 with
// the right ones, and an unknown path 404 with the known forms.
#include "frontends/tfs_rest/rest_frontend.h"

#include <optional>
#include <utility>

#include "access/caller.h"
#include "frontends/tfs_rest/rest_response.h"
#include "protocols/tfs/model_description.h"
#include "protocols/tfs_json/json_writer.h"

namespace penstock::tfs_rest {
namespace {

StatusOr<std::string> MetadataText(const StatusOr<ModelHandle>& handle) {
  if (!handle.ok()) return handle.status();
  return tfs::ModelMetadataJson(handle->id(), handle->info());
}

void RespondText(net::HttpCall& call, const StatusOr<std::string>& text) {
  if (!text.ok()) return RespondError(call, text.status());
  RespondJson(call, ByteChain(WholeSlice(CopyToBuffer(*text))));
}

}  // namespace

RestFrontend::RestFrontend(RestOptions options, Engine& engine, MetricsRegistry& metrics,
                           const RequestLogs* request_logs)
    : engine_(engine),
      predict_(options, engine, metrics, request_logs),
      classify_(tfs::ExampleApi::kClassify, predict_.options.decoder, engine, metrics,
                request_logs),
      regress_(tfs::ExampleApi::kRegress, predict_.options.decoder, engine, metrics, request_logs) {
}

void RestFrontend::Register(net::Router& router) {
  net::HttpRoute route;
  route.path = "/v1/*";
  route.access = net::RouteAccess::kCallers;
  // TensorFlow Serving's patterns ignore the case of the path.
  route.prefix_ignores_case = true;
  // Finds the tensor in a protobuf body. JSON has no tensor to align, and numpy aligns its own.
  route.landing = tfs::PredictLanding;
  route.handler = [this](net::HttpCallRef call) { Handle(std::move(call)); };
  router.AddHttp(std::move(route));
}

void RestFrontend::Handle(net::HttpCallRef call) {
  const net::RequestHead& head = call->head();
  StatusOr<RestTarget> target = ParseRestPath(head.method, head.path);
  if (!target.ok()) return RespondError(*call, target.status());
  const bool is_get = head.method == "GET" || head.method == "HEAD";
  if (IsPost(target->action) ? head.method != "POST" : !is_get) {
    return RespondMethodNotAllowed(*call, IsPost(target->action) ? "POST" : "GET, HEAD");
  }
  switch (target->action) {
    case RestAction::kPredict:
      return PredictCall::Start(predict_, std::move(call), *std::move(target));
    case RestAction::kClassify:
      return ExampleCall::Start(classify_, std::move(call), *std::move(target));
    case RestAction::kRegress:
      return ExampleCall::Start(regress_, std::move(call), *std::move(target));
    case RestAction::kListModels:
      return HandleList(*call);
    case RestAction::kStatus:
      return HandleStatus(*call, *target);
    case RestAction::kMetadata:
      return HandleMetadata(call, *std::move(target));
  }
}

void RestFrontend::HandleList(net::HttpCall& call) {
  const access::Caller* const caller = call.head().caller.get();
  if (access::MayAll(caller, access::Operation::kStatus))
    return RespondJson(call, ByteChain(list_page_.Get([this] { return ListModels(nullptr); })));
  RespondText(call, ListModels(caller));
}

// Loads a model on demand, as :predict does.
void RestFrontend::HandleMetadata(const net::HttpCallRef& call, RestTarget target) {
  const Status allowed =
      access::Check(call->head().caller.get(), access::Operation::kMetadata, target.name);
  if (!allowed.ok()) return RespondError(*call, allowed);
  // The selector refers to the target. The callback keeps it until the model is loaded.
  const auto kept = std::make_shared<const RestTarget>(std::move(target));
  const StatusOr<ModelHandle> handle = engine_.Find(SelectorOf(*kept));
  if (handle.status().code() == StatusCode::kUnavailable &&
      engine_.FindOnceLoaded(SelectorOf(*kept), /*headers=*/nullptr, call->deadline(),
                             call->cancel(), [call, kept](const StatusOr<ModelHandle>& loaded) {
                               RespondText(*call, MetadataText(loaded));
                             })) {
    return;
  }
  RespondText(*call, MetadataText(handle));
}

// While the model starts, the status is 503, which probes take for "not ready yet". Once a version
// has served, 503 is never sent again, whatever happens to the model: otherwise a liveness probe
// would restart the server.
void RestFrontend::HandleStatus(net::HttpCall& call, const RestTarget& target) const {
  const Status allowed =
      access::Check(call.head().caller.get(), access::Operation::kStatus, target.name);
  if (!allowed.ok()) return RespondError(call, allowed);
  // Ask this first. If the model becomes available in between, a probe gets 503 once more, and
  // repeats it. In the other order it could get 200 with a text that shows no available version.
  const bool is_starting = engine_.manager().IsModelStarting(target.name);
  const StatusOr<std::string> text = StatusText(target);
  if (text.status().code() == StatusCode::kNotFound && is_starting) {
    return RespondError(call, Error(StatusCode::kUnavailable, "{}", MessageOf(text.status())));
  }
  if (!text.ok()) return RespondError(call, text.status());
  RespondJson(call, ByteChain(WholeSlice(CopyToBuffer(*text))), is_starting ? 503 : 200);
}

StatusOr<std::string> RestFrontend::StatusText(const RestTarget& target) const {
  const core::Manager& manager = engine_.manager();
  const std::vector<core::VersionStatus> versions = manager.VersionStatuses(target.name);
  if (versions.empty()) return tfs::NoVersionsOf(manager, target.name, target.version);
  std::optional<core::VersionNumber> version = target.version;
  if (!target.label.empty()) {
    const auto labels = manager.Labels(target.name);
    const auto found = labels.find(target.label);
    if (found == labels.end()) return manager.UnknownLabel(target.name, target.label);
    version = found->second.in_force;
  }
  return tfs::ModelStatusJson(target.name, version, versions,
                              manager.SourceStatus(target.name, version));
}

std::string RestFrontend::ListModels(const access::Caller* caller) const {
  const core::Manager& manager = engine_.manager();
  tfs_json::JsonWriter writer(256);
  writer.Raw("{\"models\":[");
  bool is_first_model = true;
  for (const std::string& name : manager.ModelNames()) {
    if (!access::May(caller, access::Operation::kStatus, name)) continue;
    writer.Raw(std::exchange(is_first_model, false) ? "{\"name\":" : ",{\"name\":");
    writer.LossyString(name);
    writer.Raw(",\"versions\":[");
    bool is_first_version = true;
    for (const core::VersionStatus& status : manager.VersionStatuses(name)) {
      if (!std::exchange(is_first_version, false)) writer.Raw(',');
      // The number is text, as in the status of a model.
      writer.Raw(fmt::format("{{\"version\":\"{}\",\"state\":\"{}\"}}", status.id.version.value,
                             core::VersionStateName(status.state)));
    }
    writer.Raw("]}");
  }
  writer.Raw("]}\n");
  return std::string(Flatten(writer.Finish()).view());
}

}  // namespace penstock::tfs_rest
