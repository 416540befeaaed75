// SPDX-License-Identifier: Apache-2.0
// One route takes all paths below /v1/, because names of models and the verb behind the colon are
// no fixed parts of a path. ParseRestPath decides what a path means. A wrong method gets 405 with
// the right ones, and an unknown path 404 with the known forms.
#include "frontends/tfs_rest/rest_frontend.h"

#include <optional>
#include <utility>

#include "calls/net_call.h"
#include "frontends/tfs_rest/rest_response.h"
#include "protocols/tfs/model_description.h"
#include "protocols/tfs_json/json_writer.h"
#include "protocols/tfs_json/predict_encoder.h"

namespace penstock::tfs_rest {
namespace {

ModelSelector SelectorOf(const RestTarget& target) {
  return {target.name, target.version, target.label};
}

StatusOr<std::string> MetadataText(const StatusOr<ModelHandle>& handle) {
  if (!handle.ok()) return handle.status();
  return tfs::ModelMetadataJson(handle->id(), handle->info());
}

void RespondText(net::HttpCall& call, const StatusOr<std::string>& text) {
  if (!text.ok()) return RespondError(call, text.status());
  RespondJson(call, ByteChain(WholeSlice(CopyToBuffer(*text))));
}

}  // namespace

// One :predict call. One thread at a time.
class RestFrontend::PredictCall final : public NetCall<net::HttpCallRef> {
 public:
  // `frontend` outlives the call.
  static void Start(RestFrontend& frontend, net::HttpCallRef call, RestTarget target);

 private:
  Status ReadSelector(ModelSelector& selector, InferRequest& request) override;
  Status Decode(const ModelInfo& info, RequestMemory& memory, InferRequest& request) override;
  StatusOr<ByteChain> Encode(const NamedTensors& outputs, RequestMemory& memory) override;
  void Send(ByteChain&& answer) override;
  void SendError(const Status& status) override;
  void Record(std::string_view model, StatusCode code, Duration latency) override;
  void Release() override;

  RestFrontend* frontend_ = nullptr;
  RestTarget target_;
  tfs_json::PredictFormat format_ = tfs_json::PredictFormat::kRow;
};

void RestFrontend::PredictCall::Start(RestFrontend& frontend, net::HttpCallRef call,
                                      RestTarget target) {
  // Release gives it back to the pool.
  PredictCall* const self = CallPool<PredictCall>::Take().release();
  self->frontend_ = &frontend;
  self->target_ = std::move(target);
  // The body belongs to the call, so this reference stays valid when `call` is moved.
  const Slice& body = call->body();
  self->NetCall::Start(frontend.engine_, std::move(call), body);
}

Status RestFrontend::PredictCall::ReadSelector(ModelSelector& selector, InferRequest&) {
  selector = SelectorOf(target_);
  return OkStatus();
}

Status RestFrontend::PredictCall::Decode(const ModelInfo& info, RequestMemory& memory,
                                         InferRequest& request) {
  // The answer will have the form of the request, rows or columns.
  ASSIGN_OR_RETURN(format_, tfs_json::DecodePredictRequest(
                                call().body(), info, frontend_->options_.decoder, memory, request));
  return OkStatus();
}

StatusOr<ByteChain> RestFrontend::PredictCall::Encode(const NamedTensors& outputs,
                                                      RequestMemory& memory) {
  return tfs_json::EncodePredictResponse(format_, outputs, &memory);
}

void RestFrontend::PredictCall::Send(ByteChain&& answer) { RespondJson(call(), std::move(answer)); }

void RestFrontend::PredictCall::SendError(const Status& status) { RespondError(call(), status); }

void RestFrontend::PredictCall::Record(std::string_view model, StatusCode code, Duration latency) {
  frontend_->predict_metrics_.Record(model, code, latency);
}

void RestFrontend::PredictCall::Release() {
  Reset();
  CallPool<PredictCall>::Give(std::unique_ptr<PredictCall>(this));
}

RestFrontend::RestFrontend(RestOptions options, Engine& engine, MetricsRegistry& metrics)
    : options_(options),
      engine_(engine),
      predict_metrics_(metrics, "predict", "REST"),
      classify_(tfs::ExampleApi::kClassify, options_.decoder, engine, metrics),
      regress_(tfs::ExampleApi::kRegress, options_.decoder, engine, metrics) {}

void RestFrontend::Register(net::Router& router) {
  net::HttpRoute route;
  route.path = "/v1/*";
  // TensorFlow Serving's patterns ignore the case of the path.
  route.prefix_ignores_case = true;
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
      return PredictCall::Start(*this, std::move(call), *std::move(target));
    case RestAction::kClassify:
      return ExampleCall::Start(classify_, std::move(call), *std::move(target));
    case RestAction::kRegress:
      return ExampleCall::Start(regress_, std::move(call), *std::move(target));
    case RestAction::kListModels:
      return RespondJson(*call, ByteChain(list_page_.Get([this] { return ListModels(); })));
    case RestAction::kStatus:
      return HandleStatus(*call, *target);
    case RestAction::kMetadata:
      return HandleMetadata(call, *std::move(target));
  }
}

// Loads a model on demand, as :predict does.
void RestFrontend::HandleMetadata(const net::HttpCallRef& call, RestTarget target) {
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
  if (versions.empty()) return tfs::NoVersionsOf(manager, target.name);
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

std::string RestFrontend::ListModels() const {
  const core::Manager& manager = engine_.manager();
  tfs_json::JsonWriter writer(256);
  writer.Raw("{\"models\":[");
  bool is_first_model = true;
  for (const std::string& name : manager.ModelNames()) {
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
