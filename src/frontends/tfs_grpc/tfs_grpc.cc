// SPDX-License-Identifier: Apache-2.0
// Predict has a reader and a writer of its own (predict_call), because it is called thousands of
// times a second and carries large tensors. The other methods are rare and small, so they use
// protobuf's objects.
#include "frontends/tfs_grpc/tfs_grpc.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "access/caller.h"
#include "base/log.h"
#include "frontends/tfs_grpc/reload_size.h"
#include "net/request_id.h"
#include "penstock/streaming_prediction.pb.h"
#include "protocols/tfs/client_status.h"
#include "protocols/tfs/model_description.h"
#include "serving/model_service.pb.h"
#include "serving/prediction_service.pb.h"

namespace penstock::tfs {
namespace {

using tensorflow::serving::GetModelMetadataRequest;
using tensorflow::serving::GetModelMetadataResponse;
using tensorflow::serving::GetModelStatusRequest;
using tensorflow::serving::GetModelStatusResponse;
using tensorflow::serving::ModelSpec;
using tensorflow::serving::ReloadConfigRequest;
using tensorflow::serving::ReloadConfigResponse;

ModelSelector SelectorOf(const ModelSpec& spec) {
  ModelSelector selector{spec.name(), std::nullopt, spec.version_label()};
  if (spec.has_version()) selector.version = core::VersionNumber{spec.version().value()};
  return selector;
}

Status CheckMetadataRequest(const GetModelMetadataRequest& request) {
  if (!request.has_model_spec()) return MissingModelSpec();
  if (request.metadata_field().empty()) {
    return InvalidArgument("GetModelMetadataRequest must specify at least one metadata_field");
  }
  for (const std::string& field : request.metadata_field()) {
    if (field != kSignatureDefField) {
      return InvalidArgument("Metadata field {} is not supported", field);
    }
  }
  return OkStatus();
}

// Returns the version that a spec selects; none: all of them.
StatusOr<std::optional<core::VersionNumber>> WantedVersion(const core::Manager& manager,
                                                           const ModelSpec& spec) {
  if (spec.version_label().empty()) return SelectorOf(spec).version;
  const auto labels = manager.Labels(spec.name());
  const auto found = labels.find(spec.version_label());
  if (found == labels.end()) return manager.UnknownLabel(spec.name(), spec.version_label());
  return std::optional(found->second.in_force);
}

Status GetModelStatus(const core::Manager& manager, const GetModelStatusRequest& request,
                      GetModelStatusResponse& response) {
  if (!request.has_model_spec()) return MissingModelSpec();
  const ModelSpec& spec = request.model_spec();
  if (spec.name().empty()) return MissingModelName();
  const std::vector<core::VersionStatus> versions = manager.VersionStatuses(spec.name());
  if (versions.empty()) {
    std::optional<core::VersionNumber> version;
    if (spec.has_version()) version = core::VersionNumber{spec.version().value()};
    return NoVersionsOf(manager, spec.name(), version);
  }
  ASSIGN_OR_RETURN(const std::optional<core::VersionNumber> wanted, WantedVersion(manager, spec));
  return FillModelStatus(spec.name(), wanted, versions, manager.SourceStatus(spec.name(), wanted),
                         response);
}

// The metadata with which another server asks to keep versions: their numbers, with commas.
constexpr std::string_view kLeaseField = "x-penstock-lease";
constexpr int kLeasesMax = 16;  // of one call

// Keeps the versions in `text` for the caller.
void Lease(const LeaseFunction& lease, const std::string& model, std::string_view text) {
  for (int i = 0; i < kLeasesMax && !text.empty(); ++i) {
    core::VersionNumber version;
    const auto [end, error] = std::from_chars(text.begin(), text.end(), version.value);
    if (error != std::errc() || (end != text.end() && *end != ',')) return;
    lease({model, version});
    text.remove_prefix(std::min(static_cast<size_t>(end - text.begin()) + 1, text.size()));
  }
}

// Tells a server which versions stay only because of leases. Other clients do not expect the field.
void MarkLeaving(const std::vector<core::VersionStatus>& versions,
                 GetModelStatusResponse& response) {
  for (auto& each : *response.mutable_model_version_status()) {
    const auto known = std::ranges::find_if(versions, [&](const core::VersionStatus& status) {
      return status.id.version.value == each.version();
    });
    const bool is_wanted = known == versions.end() || known->is_aspired;
    if (!is_wanted && known->state == core::VersionState::kAvailable) each.set_is_leaving(true);
  }
}

// The largest list of models that HandleReloadConfigRequest takes: some ten thousand models.
constexpr uint64_t kReloadBytesMax = 16 << 20;

template <typename Message>
Status Parse(const net::GrpcCallRef& call, Message& message) {
  const std::string_view bytes = call->message().view();
  if (message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return OkStatus();
  return InvalidArgument("the message is not a well-formed {}", Message::descriptor()->full_name());
}

void Respond(const net::GrpcCallRef& call, const google::protobuf::Message& response) {
  const BufferRef bytes = AllocateBuffer(response.ByteSizeLong());
  // ByteSizeLong has cached the sizes of all nested messages, so they are not computed twice.
  response.SerializeWithCachedSizesToArray(reinterpret_cast<uint8_t*>(bytes->data()));
  call->Respond(ByteChain(WholeSlice(bytes)));
}

void RespondStatus(const core::Manager& manager, const LeaseFunction& lease,
                   const net::GrpcCallRef& call) {
  GetModelStatusRequest request;
  GetModelStatusResponse response;
  Status status = Parse(call, request);
  const access::Caller* const caller = call->head().caller.get();
  const std::string& model = request.model_spec().name();
  if (status.ok()) status = access::Check(caller, access::Operation::kStatus, model);
  if (!status.ok()) return call->Finish(Truncated(status));
  // Who may not send requests has no reason to keep a version.
  const std::string_view leases = net::FindHeader(call->head().headers, kLeaseField);
  const bool is_server = lease != nullptr && !leases.empty() &&
                         access::Check(caller, access::Operation::kInfer, model).ok();
  if (is_server) Lease(lease, model, leases);
  status = GetModelStatus(manager, request, response);
  if (!status.ok()) return call->Finish(Truncated(status));
  if (is_server) MarkLeaving(manager.VersionStatuses(model), response);
  Respond(call, response);
}

void RespondMetadata(const net::GrpcCallRef& call, const StatusOr<ModelHandle>& model) {
  if (!model.ok()) return call->Finish(Truncated(model.status()));
  GetModelMetadataResponse response;
  FillModelMetadata(model->id(), model->info(), response);
  Respond(call, response);
}

// Loads a model on demand, as a Predict call does.
void GetModelMetadata(Engine& engine, const net::GrpcCallRef& call) {
  // The selector refers to the request. The callback of FindOnceLoaded keeps it until the model is
  // loaded.
  const auto request = std::make_shared<GetModelMetadataRequest>();
  Status status = Parse(call, *request);
  if (status.ok()) status = CheckMetadataRequest(*request);
  if (status.ok())
    status = access::Check(call->head().caller.get(), access::Operation::kMetadata,
                           request->model_spec().name());
  if (!status.ok()) return call->Finish(Truncated(status));
  const ModelSelector selector = SelectorOf(request->model_spec());
  const StatusOr<ModelHandle> model = engine.Find(selector);
  // Only a model that is not loaded is worth waiting for. Find answers at once for all others,
  // without a callback.
  if (model.status().code() == StatusCode::kUnavailable &&
      engine.FindOnceLoaded(selector, /*headers=*/nullptr, call->deadline(), call->cancel(),
                            [call, request](const StatusOr<ModelHandle>& loaded) {
                              RespondMetadata(call, loaded);
                            })) {
    return;
  }
  RespondMetadata(call, model);
}

// Returns PERMISSION_DENIED if this client must not replace the models.
Status CheckReloadAccess(ReloadAccess access, const net::RequestHead& head) {
  if (access == ReloadAccess::kNone) {
    return Error(StatusCode::kPermissionDenied,
                 "HandleReloadConfigRequest is turned off by --reload_rpc=off");
  }
  const net::Endpoint& endpoint = *head.endpoint;
  if (access == ReloadAccess::kAdminPort && !endpoint.is_admin) {
    return Error(StatusCode::kPermissionDenied,
                 "HandleReloadConfigRequest is answered on --admin_port and --admin_socket only; "
                 "start the server with --reload_rpc=on to allow it on every port");
  }
  // With a token file the caller decides, and not the port. The list has all models.
  if (head.caller != nullptr) return access::CheckAll(head.caller.get(), access::Operation::kAdmin);
  if (access == ReloadAccess::kAll) return OkStatus();
  if (endpoint.demands_client_certificate || endpoint.is_local) return OkStatus();
  return Error(StatusCode::kPermissionDenied,
               "HandleReloadConfigRequest is not allowed on this port: --reload_rpc=auto allows it "
               "on ports that demand client certificates, on loopback addresses and on unix "
               "sockets; start the server with --reload_rpc=on to allow it on every port");
}

// The metrics that a ReloadConfigRequest names, with their values before the reload. TensorFlow
// Serving answers how much the first series of each has grown. Names of no metric are left out. One
// thread at a time.
class NamedMetrics final {
 public:
  NamedMetrics(const MetricsRegistry& metrics, const ReloadConfigRequest& request)
      : metrics_(metrics) {
    for (const std::string& name : request.metric_names()) {
      if (const auto value = metrics.FirstValue(name)) before_.emplace_back(name, *value);
    }
  }
  ReloadConfigResponse Response() const {
    ReloadConfigResponse response;
    for (const auto& [name, before] : before_) {
      auto& metric = *response.add_metric();
      metric.set_name(name);
      metric.set_int64_value_increase(metrics_.FirstValue(name).value_or(before) - before);
    }
    return response;
  }

 private:
  const MetricsRegistry& metrics_;
  std::vector<std::pair<std::string, int64_t>> before_;
};

// Answers when the models are available, or when it is certain that they will not be.
void Reload(const ChangeFunction& reload, ReloadAccess access, const MetricsRegistry& metrics,
            const net::GrpcCallRef& call) {
  // Check this first, so that a client without the right learns nothing from the other errors.
  if (const Status status = CheckReloadAccess(access, call->head()); !status.ok()) {
    net::AuditRefusal(*call, "HandleReloadConfigRequest", status);
    return call->Finish(status);
  }
  const std::string_view message = call->message().view();
  if (const Status status = CheckReloadSize(message); !status.ok()) return call->Finish(status);
  ReloadConfigRequest request;
  if (!request.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
    return call->Finish(InvalidArgument("the message is not a well-formed ReloadConfigRequest"));
  }
  if (!request.config().has_model_config_list()) {
    return call->Finish(
        InvalidArgument("ServerModelConfig type not supported by HandleReloadConfigRequest. Only "
                        "ModelConfigList is "
                        "currently supported; for no models send an empty one"));
  }
  StatusOr<std::vector<ConfiguredModel>> models =
      ConvertModelConfig(request.config(), "ReloadConfigRequest");
  if (!models.ok()) return call->Finish(Truncated(models.status()));
  reload({.by = net::CallerOf(*call),
          .change = ModelListChange{*std::move(models)},
          .deadline = call->deadline(),
          .is_wanted = [call] { return !call->cancel().IsCancelled(); },
          .done =
              [call, named = NamedMetrics(metrics, request)](const Status& status) {
                if (!status.ok()) return call->Finish(Truncated(status));
                Respond(call, named.Response());  // its status is 0
              }});
}

// Using the descriptor also links it into the program, so that reflection can find the service.
std::string MethodName(const google::protobuf::ServiceDescriptor& service, std::string_view name) {
  return fmt::format("/{}/{}", service.full_name(), name);
}

}  // namespace

TfsGrpc::TfsGrpc(const PredictOptions& options, Engine& engine, MetricsRegistry& metrics,
                 ReloadAccess reload_access, ChangeFunction reload, const RequestLogs* request_logs,
                 LeaseFunction lease)
    : engine_(engine),
      metrics_(metrics),
      predict_(options, PredictAnswer::kMessage, engine, metrics, request_logs),
      predict_streamed_(options, PredictAnswer::kStream, engine, metrics, request_logs),
      classify_(ExampleApi::kClassify, options.limits.names_max, engine, metrics, request_logs),
      regress_(ExampleApi::kRegress, options.limits.names_max, engine, metrics, request_logs),
      multi_inference_(ExampleApi::kMultiInference, options.limits.names_max, engine, metrics,
                       request_logs),
      reload_access_(reload_access),
      reload_(std::move(reload)),
      lease_(std::move(lease)) {}

void TfsGrpc::Register(net::Router& router) {
  const auto& prediction = *tensorflow::serving::PredictionService::descriptor();
  const auto& streaming = *penstock::StreamingPredictionService::descriptor();
  // Each handler checks what the caller may do with the model.
  constexpr auto kCallers = net::RouteAccess::kCallers;
  const auto add_predict = [&router](PredictService& service, std::string method) {
    net::GrpcRoute route;
    route.access = kCallers;
    route.method = std::move(method);
    route.handler = [&service](net::GrpcCallRef call) {
      PredictCall::Start(service, std::move(call));
    };
    // Only these have large messages whose tensors the model may use in place.
    route.landing = &PredictLanding;
    router.AddGrpc(std::move(route));
  };
  add_predict(predict_, MethodName(prediction, "Predict"));
  add_predict(predict_streamed_, MethodName(streaming, "PredictStreamed"));

  for (ExampleService* const service : {&classify_, &regress_, &multi_inference_}) {
    net::GrpcRoute route;
    route.access = kCallers;
    route.method = MethodName(prediction, ApiName(service->api));
    route.handler = [service](net::GrpcCallRef call) {
      ExampleCall::Start(*service, std::move(call));
    };
    router.AddGrpc(std::move(route));
  }

  net::GrpcRoute metadata;
  metadata.access = kCallers;
  metadata.message_bytes_max = net::kControlMessageBytesMax;
  metadata.method = MethodName(prediction, "GetModelMetadata");
  metadata.handler = [this](const net::GrpcCallRef& call) { GetModelMetadata(engine_, call); };
  router.AddGrpc(std::move(metadata));

  RegisterAdmin(router);
}

void TfsGrpc::RegisterAdmin(net::Router& router) {
  const auto& model = *tensorflow::serving::ModelService::descriptor();
  net::GrpcRoute status;
  status.access = net::RouteAccess::kCallers;
  status.message_bytes_max = net::kControlMessageBytesMax;
  status.method = MethodName(model, "GetModelStatus");
  status.handler = [this](const net::GrpcCallRef& call) {
    RespondStatus(engine_.manager(), lease_, call);
  };
  router.AddGrpc(std::move(status));

  net::GrpcRoute reload;
  reload.access = net::RouteAccess::kCallers;
  reload.message_bytes_max = kReloadBytesMax;
  reload.method = MethodName(model, "HandleReloadConfigRequest");
  reload.handler = [this](const net::GrpcCallRef& call) {
    Reload(reload_, reload_access_, metrics_, call);
  };
  router.AddGrpc(std::move(reload));
}

}  // namespace penstock::tfs
