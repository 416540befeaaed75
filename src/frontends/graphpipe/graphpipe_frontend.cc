// SPDX-License-Identifier: Apache-2.0
// GraphPipe's messages name no model, so the path does. And they do not say beforehand whether they
// ask for an inference or for metadata: the first bytes of the body decide that.
#include "frontends/graphpipe/graphpipe_frontend.h"

#include <fmt/format.h>

#include <memory>
#include <utility>

#include "access/caller.h"
#include "frontends/graphpipe/graphpipe_response.h"
#include "protocols/graphpipe/metadata_writer.h"
#include "protocols/graphpipe/request_reader.h"

namespace penstock::graphpipe {
namespace {

constexpr std::string_view kServer = "penstock";

std::string DescriptionOf(const ModelHandle& model, const Signature& signature) {
  const ModelInfo& info = model.info();
  std::string text = fmt::format("version {}, signature {}, {}", model.id().version.value,
                                 signature.name, info.platform);
  if (info.traits.any_signature) text += "; takes any tensors, and gives those of its inputs";
  if (info.signatures.size() > 1) text += "; other signatures: ?signature_name=NAME in the URL";
  return text;
}

}  // namespace

GraphPipeFrontend::GraphPipeFrontend(GraphPipeOptions options, Engine& engine,
                                     const Readiness& readiness, MetricsRegistry& metrics,
                                     const RequestLogs* request_logs)
    : options_(std::move(options)),
      engine_(engine),
      readiness_(readiness),
      service_(options_, engine, metrics, request_logs) {}

void GraphPipeFrontend::Register(net::Router& router) {
  router.AddHttp({.path = "/graphpipe/*",
                  .handler = [this](net::HttpCallRef call) { HandleModel(std::move(call)); },
                  .landing = RequestLanding,
                  .access = net::RouteAccess::kCallers});
  if (!options_.own_paths.empty()) RegisterOwnPaths(router);
}

void GraphPipeFrontend::RegisterOwnPaths(net::Router& router) {
  router.AddHttp({.path = options_.own_paths + "/",
                  .handler = [this](net::HttpCallRef call) { HandleDefault(std::move(call)); },
                  .landing = RequestLanding,
                  .access = net::RouteAccess::kCallers});
  // As GraphPipe's own servers have them. Load balancers send no token.
  const auto add_probe = [&](std::string_view path, net::HttpHandler handler) {
    router.AddHttp({.path = options_.own_paths + std::string(path),
                    .methods = {"GET"},
                    .handler = std::move(handler),
                    .counts_as_request = false,
                    .access = net::RouteAccess::kEveryone});
  };
  add_probe("/control/is_alive", [](net::HttpCallRef call) { RespondText(*call, 200, "ok"); });
  add_probe("/control/is_ready", [this](net::HttpCallRef call) {
    const bool is_ready = readiness_.IsServerReady();
    RespondText(*call, is_ready ? 200 : 503, is_ready ? "ok" : "not ready");
  });
}

void GraphPipeFrontend::HandleModel(net::HttpCallRef call) {
  StatusOr<GraphPipeTarget> target = ParsePath(call->head().path);
  Handle(std::move(call), std::move(target));
}

void GraphPipeFrontend::HandleDefault(net::HttpCallRef call) {
  Handle(std::move(call), DefaultTarget());
}

StatusOr<GraphPipeTarget> GraphPipeFrontend::DefaultTarget() const {
  GraphPipeTarget target;
  target.name = options_.default_model;
  if (!target.name.empty()) return target;
  const std::vector<std::string> names = engine_.manager().ModelNames();
  if (names.size() != 1)
    return Error(StatusCode::kNotFound,
                 "this server has {}, so '/' is none: ask /graphpipe/NAME, or start the server "
                 "with --graphpipe_default_model",
                 names.empty() ? "no models" : "several models");
  target.name = names[0];
  return target;
}

void GraphPipeFrontend::Handle(net::HttpCallRef call, StatusOr<GraphPipeTarget> target) {
  const net::RequestHead& head = call->head();
  const bool is_get = head.method == "GET" || head.method == "HEAD";
  if (!is_get && head.method != "POST") return RespondMethodNotAllowed(*call);
  Status status = target.status();
  if (status.ok()) status = ParseQuery(head.query, *target);
  if (!status.ok()) return is_get ? RespondError(*call, status) : RespondInferError(*call, status);
  if (is_get) return HandleMetadata(call, *std::move(target), /*is_json=*/true);
  HandlePost(std::move(call), *std::move(target));
}

void GraphPipeFrontend::HandlePost(net::HttpCallRef call, GraphPipeTarget target) {
  const StatusOr<RequestKind> kind = ReadKind(call->body().view());
  if (!kind.ok()) return RespondInferError(*call, kind.status());
  if (*kind == RequestKind::kMetadata)
    return HandleMetadata(call, std::move(target), /*is_json=*/false);
  GraphPipeInferCall::Start(service_, std::move(call), std::move(target));
}

// Loads a model on demand, as an inference does.
void GraphPipeFrontend::HandleMetadata(const net::HttpCallRef& call, GraphPipeTarget target,
                                       bool is_json) {
  const Status allowed =
      access::Check(call->head().caller.get(), access::Operation::kMetadata, target.name);
  if (!allowed.ok()) return RespondError(*call, allowed);
  // The selector refers to the target. The callback keeps it until the model is loaded.
  const auto kept = std::make_shared<const GraphPipeTarget>(std::move(target));
  const StatusOr<ModelHandle> model = engine_.Find(SelectorOf(*kept));
  if (model.status().code() == StatusCode::kUnavailable &&
      engine_.FindOnceLoaded(SelectorOf(*kept), /*headers=*/nullptr, call->deadline(),
                             call->cancel(),
                             [this, call, kept, is_json](const StatusOr<ModelHandle>& loaded) {
                               RespondMetadata(*call, loaded, kept->signature_name, is_json);
                             })) {
    return;
  }
  RespondMetadata(*call, model, kept->signature_name, is_json);
}

void GraphPipeFrontend::RespondMetadata(net::HttpCall& call, const StatusOr<ModelHandle>& model,
                                        std::string_view signature_name, bool is_json) const {
  if (!model.ok()) return RespondError(call, model.status());
  const Signature* const signature = model->info().FindSignature(signature_name);
  if (signature == nullptr)
    return RespondError(
        call, Error(StatusCode::kFailedPrecondition, "the model has no signature '{:.100}'. {}",
                    signature_name, WhyNoSignature(model->info(), signature_name)));
  const std::string description = DescriptionOf(*model, *signature);
  const ServerFacts facts{.model = model->id().name,
                          .server = kServer,
                          .version = options_.server_version,
                          .description = description,
                          .inputs = signature->inputs,
                          .outputs = signature->outputs};
  if (!is_json) return RespondMessage(call, WriteMetadataResponse(facts));
  net::HttpResponse response;
  response.body.AppendCopy(MetadataJson(facts));
  call.Respond(std::move(response));
}

void GraphPipeFrontend::RespondInferError(net::HttpCall& call, const Status& status) const {
  if (options_.in_band_errors) return RespondInBandError(call, status);
  RespondError(call, status);
}

}  // namespace penstock::graphpipe
