// SPDX-License-Identifier: Apache-2.0
#include "frontends/tfs_rest/rest_frontend.h"

#include <optional>
#include <utility>

#include "frontends/tfs_rest/json_writer.h"
#include "frontends/tfs_rest/predict_encoder.h"
#include "frontends/tfs_rest/rest_response.h"
#include "protocols/tfs/model_description.h"

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

// One :predict call, from its body to its answer; deletes itself then. One thread at a time.
class RestFrontend::PredictCall {
 public:
  PredictCall(RestFrontend& frontend, net::HttpCallRef call, ModelHandle handle)
      : frontend_(frontend), call_(std::move(call)), handle_(std::move(handle)) {}

  // Reads the body and runs the model, here or on the pool.
  static void Start(std::unique_ptr<PredictCall> self, bool is_on_loop);

 private:
  void Run(bool is_on_loop);
  void OnPart(InferResponse response);
  void Answer(const InferResponse& response);
  void Finish(const Status& status);

  RestFrontend& frontend_;
  const net::HttpCallRef call_;
  ModelHandle handle_;
  PredictFormat format_ = PredictFormat::kRow;
  bool has_several_parts_ = false;
  InferRequest request_;
};

void RestFrontend::PredictCall::Start(std::unique_ptr<PredictCall> self, bool is_on_loop) {
  PredictCall* const call = self.release();
  if (is_on_loop && call->call_->body().size <= call->frontend_.options_.inline_body_bytes_max) {
    call->Run(true);
    return;
  }
  if (!call->frontend_.engine_.pool().Submit([call] { call->Run(false); })) {
    call->Finish(absl::UnavailableError("too many requests are waiting for a thread"));
  }
}

void RestFrontend::PredictCall::Run(bool is_on_loop) {
  const StatusOr<PredictFormat> format =
      DecodePredictRequest(call_->body(), handle_.info(), frontend_.options_.decoder, request_);
  if (!format.ok()) {
    Finish(format.status());
    return;
  }
  format_ = *format;
  frontend_.engine_.Decide(handle_, request_);
  request_.deadline = call_->deadline();
  request_.cancel = &call_->cancel();
  request_.request_id = call_->request_id();
  frontend_.engine_.Run(handle_, request_, is_on_loop,
                        [this](InferResponse response) { OnPart(std::move(response)); });
}

void RestFrontend::PredictCall::OnPart(InferResponse response) {
  if (!response.is_last) {
    has_several_parts_ = true;
    return;
  }
  Answer(response);
}

void RestFrontend::PredictCall::Answer(const InferResponse& response) {
  if (!response.status.ok()) return Finish(response.status);
  if (has_several_parts_) {
    return Finish(absl::UnimplementedError(
        "the model answers in several parts, which REST cannot carry: use a streaming call"));
  }
  StatusOr<ByteChain> body = EncodePredictResponse(format_, response.outputs);
  if (!body.ok()) return Finish(body.status());
  RespondJson(*call_, *std::move(body));
  Finish(OkStatus());
}

// Answers errors, counts, and ends this.
void RestFrontend::PredictCall::Finish(const Status& status) {
  if (!status.ok()) RespondError(*call_, status);
  frontend_.predict_metrics_.Record(handle_.id().name, status.code(),
                                    frontend_.clock_.Now() - call_->start());
  delete this;
}

RestFrontend::RestFrontend(RestOptions options, Engine& engine, MetricsRegistry& metrics,
                           const Clock& clock)
    : options_(options),
      engine_(engine),
      clock_(clock),
      predict_metrics_(metrics, "predict", "REST") {}

void RestFrontend::Register(net::Router& router) {
  net::HttpRoute route;
  route.path = "/v1/*";
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
      return HandlePredict(std::move(call), *std::move(target));
    case RestAction::kClassify:
    case RestAction::kRegress:
      return RespondError(*call, absl::UnimplementedError(
                                     ":classify and :regress are not served yet; :predict is"));
    case RestAction::kListModels:
      return RespondJson(*call, ByteChain(WholeSlice(CopyToBuffer(ListModels()))));
    case RestAction::kStatus:
      return RespondText(*call, StatusText(*target));
    case RestAction::kMetadata:
      return HandleMetadata(call, *std::move(target));
  }
}

void RestFrontend::HandlePredict(net::HttpCallRef call, RestTarget target) {
  StatusOr<ModelHandle> handle = engine_.FindToRun(SelectorOf(target), call->head());
  if (handle.status().code() != StatusCode::kUnavailable) [[likely]]
    return StartPredict(std::move(call), std::move(handle), /*is_on_loop=*/true);
  const net::RequestHead& head = call->head();
  CancelToken& cancel = call->cancel();
  const SteadyTime deadline = call->deadline();
  auto waiting =
      std::make_shared<std::pair<net::HttpCallRef, RestTarget>>(std::move(call), std::move(target));
  const bool waits = engine_.FindOnceLoaded(SelectorOf(waiting->second), &head, deadline, cancel,
                                            [this, waiting](StatusOr<ModelHandle> loaded) {
                                              StartPredict(std::move(waiting->first),
                                                           std::move(loaded), /*is_on_loop=*/false);
                                            });
  if (!waits) StartPredict(std::move(waiting->first), std::move(handle), /*is_on_loop=*/true);
}

void RestFrontend::StartPredict(net::HttpCallRef call, StatusOr<ModelHandle> handle,
                                bool is_on_loop) {
  if (!handle.ok()) {
    RespondError(*call, handle.status());
    // Under no name: clients could make up any.
    predict_metrics_.Record({}, handle.status().code(), clock_.Now() - call->start());
    return;
  }
  PredictCall::Start(std::make_unique<PredictCall>(*this, std::move(call), *std::move(handle)),
                     is_on_loop);
}

// A model that is loaded on demand is loaded for it.
void RestFrontend::HandleMetadata(const net::HttpCallRef& call, RestTarget target) {
  const auto kept = std::make_shared<const RestTarget>(std::move(target));
  const StatusOr<ModelHandle> handle = engine_.Find(SelectorOf(*kept));
  if (handle.status().code() == StatusCode::kUnavailable &&
      engine_.FindOnceLoaded(SelectorOf(*kept), /*head=*/nullptr, call->deadline(), call->cancel(),
                             [call, kept](const StatusOr<ModelHandle>& loaded) {
                               RespondText(*call, MetadataText(loaded));
                             })) {
    return;
  }
  RespondText(*call, MetadataText(handle));
}

StatusOr<std::string> RestFrontend::StatusText(const RestTarget& target) const {
  const core::Manager& manager = engine_.manager();
  const std::vector<core::VersionStatus> versions = manager.VersionStatuses(target.name);
  if (versions.empty()) return tfs::NoVersionsOf(manager, target.name);
  std::optional<core::VersionNumber> version = target.version;
  if (!target.label.empty()) {
    const auto labels = manager.Labels(target.name);
    const auto found = labels.find(target.label);
    if (found == labels.end()) {
      return InvalidArgument("Unrecognized servable version label: {}", target.label);
    }
    version = found->second.in_force;
  }
  return tfs::ModelStatusJson(target.name, version, versions);
}

std::string RestFrontend::ListModels() const {
  const core::Manager& manager = engine_.manager();
  JsonWriter writer(256);
  writer.Raw("{\"models\":[");
  bool is_first_model = true;
  for (const std::string& name : manager.ModelNames()) {
    writer.Raw(std::exchange(is_first_model, false) ? "{\"name\":" : ",{\"name\":");
    writer.LossyString(name);
    writer.Raw(",\"versions\":[");
    bool is_first_version = true;
    for (const core::VersionStatus& status : manager.VersionStatuses(name)) {
      if (!std::exchange(is_first_version, false)) writer.Raw(',');
      // The number as text, as in the status of a model.
      writer.Raw(fmt::format("{{\"version\":\"{}\",\"state\":\"{}\"}}", status.id.version.value,
                             core::VersionStateName(status.state)));
    }
    writer.Raw("]}");
  }
  writer.Raw("]}\n");
  return std::string(Flatten(writer.Finish()).view());
}

}  // namespace penstock::tfs_rest
