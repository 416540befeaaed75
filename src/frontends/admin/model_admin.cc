// SPDX-License-Identifier: Apache-2.0
// Every change takes the same way: find the verb, check that this port may change models, check the
// body, and hand a ModelChange to the reloader. The answer comes when the change has its effect, on
// a thread of the reloader.
//
// A browser that an operator uses may also show pages of others, and such a page can send requests
// to this server. CheckContentType stops that: without CORS, a page cannot send JSON to another
// site.
#include "frontends/admin/model_admin.h"

#include <fmt/format.h>
#include <google/protobuf/message.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "access/caller.h"
#include "base/log.h"
#include "base/os/process_memory.h"
#include "base/percent.h"
#include "frontends/admin/admin_json.h"
#include "frontends/admin/model_json.h"
#include "net/request_id.h"
#include "protocols/tfs/client_status.h"
#include "serving/model_server_config.pb.h"

namespace penstock {

using schedule::ModelQueueStates;
using schedule::QueueStates;

namespace {

using google::protobuf::Struct;
using google::protobuf::util::JsonStringToMessage;
using tensorflow::serving::ModelConfig;

constexpr std::string_view kModels = "/admin/v1/models";
// The limit of a body. It is parsed on an event loop, so it must be small.
constexpr size_t kBodyBytesMax = 256 << 10;

void RespondStatus(net::HttpCall& call, const Status& status) {
  call.Respond(UncachedError(tfs::HttpStatusOf(status.code()), MessageOf(status)));
}

void RespondNotAllowed(net::HttpCall& call, std::string_view allowed) {
  net::HttpResponse response = UncachedError(
      405, fmt::format("{:.64} is not allowed here; allowed: {}", call.head().method, allowed));
  response.headers.emplace_back("allow", std::string(allowed));
  call.Respond(std::move(response));
}

// Requires JSON. A page of another site can make a browser send forms to us, but not JSON.
Status CheckContentType(const net::RequestHead& head) {
  const std::string_view type = net::FindHeader(head.headers, "content-type");
  if (type == "application/json" || type.starts_with("application/json;")) return OkStatus();
  return InvalidArgument("the content-type must be application/json, not '{:.100}'", type);
}

Status CheckName(std::string_view name) {
  if (name.empty()) return InvalidArgument("the path names no model");
  for (const char c : name) {
    // In the paths of the REST and the admin API, '/' and ':' separate the parts.
    if (c == '/' || c == ':' || static_cast<unsigned char>(c) < ' ' || c == 127) {
      return InvalidArgument("a model's name has no '/', ':' or control characters: '{:.100}'",
                             name);
    }
  }
  return OkStatus();
}

// Parses a body. `what` names it in the error.
Status ReadJson(std::string_view body, std::string_view what, google::protobuf::Message& message) {
  const auto parsed = JsonStringToMessage({body.data(), body.size()}, &message);
  if (parsed.ok()) return OkStatus();
  std::string_view why(parsed.message().data(), parsed.message().size());
  // The error begins with the path of the wrong field, which may be empty.
  why.remove_prefix(std::min(why.find_first_not_of(": "), why.size()));
  return InvalidArgument("the body is not {}: {:.300}", what, why);
}

// Some editors write a byte order mark before a text.
std::string_view TextOf(const Slice& body) {
  std::string_view text = body.view();
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  return text;
}

StatusOr<Struct> ParseObject(std::string_view body) {
  Struct object;
  if (!body.empty()) TRY(ReadJson(body, "a JSON object", object));
  return object;
}

// Refuses unknown fields.
Status CheckFields(const Struct& object, std::initializer_list<std::string_view> known) {
  // A misspelt "version" that is ignored would remove the label instead of setting it.
  for (const auto& [field, value] : object.fields()) {
    if (std::find(known.begin(), known.end(), field) == known.end())
      return InvalidArgument("unknown field '{:.100}'; known: {}", field, fmt::join(known, ", "));
  }
  return OkStatus();
}

// The memory that is reserved for models, and that of the whole process. They differ: loads that
// ran at the same time have only estimates, and a runtime's own memory belongs to no model.
std::string MemoryJson(const core::Manager& manager) {
  const core::Manager::Memory memory = manager.MemoryUse();
  uint64_t measured_bytes = 0;
  for (const std::string& model : manager.ModelNames()) {
    for (const core::VersionStatus& version : manager.VersionStatuses(model))
      measured_bytes += version.is_memory_measured ? version.memory_bytes : 0;
  }
  // Loads continue between the two sums, so the first may be larger.
  measured_bytes = std::min(measured_bytes, memory.reserved_bytes);
  const std::optional<ProcessMemory> process = ReadProcessMemory("");
  return fmt::format(
      R"({{"reserved_bytes":{},"measured_bytes":{},"estimated_bytes":{},"limit_bytes":{},)"
      R"("process_bytes":{}}})",
      memory.reserved_bytes, measured_bytes, memory.reserved_bytes - measured_bytes,
      memory.limit_bytes, process ? process->own_bytes : 0);
}

// What waits and runs of the model. A model that has had no such request has no field.
std::string QueueField(const QueueStates& queues, std::string_view model) {
  const auto found = queues.find(model);
  if (found == queues.end()) return "";
  return fmt::format(R"(,"queue":{{"requests":{},"bytes":{},"runs":{}}})", found->second.requests,
                     found->second.bytes, found->second.runs);
}

StatusOr<core::VersionNumber> VersionIn(const Struct& object) {
  const auto found = object.fields().find("version");
  if (found == object.fields().end()) return InvalidArgument("the field 'version' is missing");
  constexpr double kWholeMax = 9007199254740992;  // 2^53: JSON numbers are exact up to here
  // A Struct holds every number as a double.
  const double number = found->second.number_value();
  const bool is_number = found->second.has_number_value();
  if (!is_number || number < 0 || number > kWholeMax || number != std::floor(number))
    return InvalidArgument("the field 'version' must be a whole number, at least 0");
  return core::VersionNumber{static_cast<int64_t>(number)};
}

Status ReadConfig(std::string_view body, ModelChange& change) {
  ModelConfig config;
  TRY(ReadJson(body, "a ModelConfig as JSON", config));
  // The path decides. A body that names another model is most likely a mistake.
  if (!config.name().empty() && config.name() != change.model) {
    return InvalidArgument("the body names the model '{:.100}', the path '{:.100}'", config.name(),
                           change.model);
  }
  config.set_name(change.model);
  change.config = config.SerializeAsString();
  return OkStatus();
}

Status ReadLabel(std::string_view body, ModelChange& change) {
  ASSIGN_OR_RETURN(const Struct object, ParseObject(body));
  TRY(CheckFields(object, {"label", "version"}));
  const auto label = object.fields().find("label");
  if (label != object.fields().end()) change.label = label->second.string_value();
  if (change.label.empty()) return InvalidArgument("the field 'label' must be a text, not empty");
  if (object.fields().contains("version")) {
    ASSIGN_OR_RETURN(change.version, VersionIn(object));
  } else {
    // A label without a version is removed.
    change.kind = ModelChange::Kind::kUnlabel;
  }
  return OkStatus();
}

Status ReadPin(std::string_view body, ModelChange& change) {
  ASSIGN_OR_RETURN(const Struct object, ParseObject(body));
  TRY(CheckFields(object, {"version"}));
  ASSIGN_OR_RETURN(change.version, VersionIn(object));
  return OkStatus();
}

// An experiment sends requests to other models. So it needs the permission for them, too.
Status CheckFurtherModels(const ModelChange& change, const access::Caller* caller) {
  if (access::MayAll(caller, access::Operation::kAdmin)) return OkStatus();
  ModelConfig config;  // was serialized by ReadConfig; empty for other changes
  if (!config.ParseFromString(change.config))
    return InvalidArgument("this is no ModelConfig: its texts must be UTF-8");
  std::vector<std::string> models;
  for (const auto& arm : config.penstock().traffic().arm()) models.push_back(arm.model());
  for (const auto& shadow : config.penstock().shadow()) models.push_back(shadow.model());
  for (const std::string& model : models)
    if (!model.empty()) TRY(access::Check(caller, access::Operation::kAdmin, model));
  return OkStatus();
}

struct Verb {
  std::string_view name;
  ModelChange::Kind kind;
  Status (*read)(std::string_view body, ModelChange& change);  // null: the verb has no body
};
constexpr Verb kVerbs[] = {
    {"load", ModelChange::Kind::kLoad, nullptr},
    {"unload", ModelChange::Kind::kUnload, nullptr},
    {"label", ModelChange::Kind::kLabel, ReadLabel},
    {"pin", ModelChange::Kind::kPin, ReadPin},
    {"unpin", ModelChange::Kind::kUnpin, nullptr},
};

// Finds the verb for the method and the text after the name; null if there is none.
const Verb* FindVerb(std::string_view method, std::string_view verb) {
  static constexpr Verb kPut{"", ModelChange::Kind::kPut, ReadConfig};
  static constexpr Verb kRemove{"", ModelChange::Kind::kRemove, nullptr};
  if (verb.empty() && method == "PUT") return &kPut;
  if (verb.empty() && method == "DELETE") return &kRemove;
  if (method != "POST") return nullptr;
  for (const Verb& known : kVerbs) {
    if (known.name == verb) return &known;
  }
  return nullptr;
}

}  // namespace

ModelAdminFrontend::ModelAdminFrontend(AdminAccess access, bool has_admin_port,
                                       const core::Manager& manager,
                                       const schedule::Scheduler& scheduler, ChangeFunction change,
                                       ModelEntriesFunction entries)
    : access_(access),
      has_admin_port_(has_admin_port),
      manager_(manager),
      scheduler_(scheduler),
      change_(std::move(change)),
      entries_(std::move(entries)) {}

void ModelAdminFrontend::Register(net::Router& router) {
  if (!has_admin_port_) RegisterAdmin(router);
}

void ModelAdminFrontend::RegisterAdmin(net::Router& router) {
  if (access_ == AdminAccess::kOff) return;
  const auto handle = [this](net::HttpCallRef call) { Handle(std::move(call)); };
  constexpr auto kAccess = net::RouteAccess::kCallers;
  router.AddHttp(
      {.path = std::string(kModels), .methods = {"GET"}, .handler = handle, .access = kAccess});
  router.AddHttp({.path = std::string(kModels) + "/*", .handler = handle, .access = kAccess});
}

void ModelAdminFrontend::Handle(net::HttpCallRef call) {
  std::string_view rest = call->head().path.substr(kModels.size());
  const std::string_view method = call->head().method;
  const bool is_read = method == "GET" || method == "HEAD";
  if (rest.empty() || (rest == "/" && is_read)) return RespondList(*call);
  rest.remove_prefix(1);
  const size_t colon = rest.rfind(':');
  std::string_view verb;
  if (colon != std::string_view::npos) {
    verb = rest.substr(colon + 1);
    rest = rest.substr(0, colon);
  }
  std::string name = PercentDecoded(rest);
  // Before anything else, so that a client without the right learns nothing from the other errors.
  const Status allowed = access::Check(call->head().caller.get(), access::Operation::kAdmin, name);
  if (!allowed.ok()) {
    net::AuditRefusal(*call, "admin API", allowed);
    return RespondStatus(*call, allowed);
  }
  if (!is_read) return Change(std::move(call), std::move(name), verb);
  if (!verb.empty()) return RespondNotAllowed(*call, "POST");
  const auto entries = entries_();
  const auto entry = entries.find(name);
  if (entry == entries.end()) {
    return RespondStatus(*call, Error(StatusCode::kNotFound, "no model is called '{:.200}'", name));
  }
  call->Respond(JsonResponse(200, ModelJson(name, entry->second, ModelQueueStates(scheduler_))));
}

void ModelAdminFrontend::RespondList(net::HttpCall& call) {
  const access::Caller* const caller = call.head().caller.get();
  const Status allowed = access::CheckAny(caller, access::Operation::kAdmin);
  if (!allowed.ok()) return RespondStatus(call, allowed);
  if (!access::MayAll(caller, access::Operation::kAdmin))
    return call.Respond(JsonResponse(200, ListJson(caller)));
  call.Respond(JsonResponse(200, ByteChain(list_page_.Get([this] { return ListJson(nullptr); }))));
}

// Returns PERMISSION_DENIED if clients of this port must not change models.
Status ModelAdminFrontend::CheckMayChange(const net::Endpoint& endpoint) const {
  if (access_ != AdminAccess::kFull) {
    return absl::PermissionDeniedError(
        "models can only be read here: the server was not started with --admin_api=full");
  }
  // TLS on another port shows that the operator wants encryption. A change must not go around it,
  // except from this machine.
  if (!endpoint.bypasses_tls || endpoint.is_local) return OkStatus();
  return absl::PermissionDeniedError(
      "models can only be read on this port, which has no TLS, while another port of the "
      "server "
      "has: send changes by https:// to that one, or give this one TLS too with "
      "--tls_certificate_file and --tls_key_file");
}

void ModelAdminFrontend::Change(net::HttpCallRef call, std::string name,
                                std::string_view verb) const {
  // Before anything else, so that a client without the right learns nothing from the other errors.
  if (const Status status = CheckMayChange(*call->head().endpoint); !status.ok()) {
    net::AuditRefusal(*call, "admin API", status);
    return RespondStatus(*call, status);
  }
  const Verb* const meant = FindVerb(call->head().method, verb);
  if (meant == nullptr) {
    return RespondNotAllowed(
        *call,
        "GET, PUT, DELETE /admin/v1/models/NAME; POST .../NAME:load, :unload, :label, :pin, "
        ":unpin");
  }
  ModelChange change;
  change.kind = meant->kind;
  change.model = name;
  Status status = CheckName(name);
  // DELETE has no body, and a page of another site cannot send it without asking first (CORS).
  if (status.ok() && call->head().method != "DELETE") status = CheckContentType(call->head());
  if (status.ok() && call->body().size > kBodyBytesMax) {
    status =
        InvalidArgument("the body has {} bytes, more than {}", call->body().size, kBodyBytesMax);
  }
  if (status.ok() && meant->read != nullptr) status = meant->read(TextOf(call->body()), change);
  if (status.ok()) status = CheckFurtherModels(change, call->head().caller.get());
  if (!status.ok()) {
    if (status.code() == StatusCode::kPermissionDenied)
      net::AuditRefusal(*call, "admin API", status);
    return RespondStatus(*call, status);
  }
  const auto done = [this, call, name = std::move(name)](const Status& applied) {
    if (!applied.ok()) return RespondStatus(*call, applied);
    const auto entries = entries_();
    const auto entry = entries.find(name);
    call->Respond(
        JsonResponse(200, entry == entries.end()
                              ? "{}"
                              : ModelJson(name, entry->second, ModelQueueStates(scheduler_))));
  };
  change_({.by = net::CallerOf(*call),
           .change = std::move(change),
           .deadline = call->deadline(),
           .is_wanted = [call] { return !call->cancel().IsCancelled(); },
           .done = done});
}

std::string ModelAdminFrontend::ListJson(const access::Caller* caller) const {
  std::string json = R"({"models":[)";
  const char* separator = "";
  const QueueStates queues = ModelQueueStates(scheduler_);
  for (const auto& [name, entry] : entries_()) {
    if (!access::May(caller, access::Operation::kAdmin, name)) continue;
    json += std::exchange(separator, ",") + ModelJson(name, entry, queues);
  }
  json += fmt::format(R"(],"compute":{{"slots":{},"slots_allowed":{},"slots_taken":{},)"
                      R"("queue_requests":{}}})",
                      scheduler_.slots(), scheduler_.slots_allowed(), scheduler_.slots_taken(),
                      scheduler_.queue_length());
  return json + ",\"memory\":" + MemoryJson(manager_) + "}";
}

std::string ModelAdminFrontend::ModelJson(const std::string& name, const ModelEntry& entry,
                                          const QueueStates& queues) const {
  std::string json =
      fmt::format(R"({{"name":{},"base_path":{},"platform":{},"load":"{}","ready":{})",
                  JsonQuoted(name), JsonQuoted(entry.base_path), JsonQuoted(entry.platform),
                  entry.load, manager_.IsModelReady(name).value_or(false));
  if (entry.pinned_version)
    json += fmt::format(R"(,"pinned_version":{})", entry.pinned_version->value);
  json += QueueField(queues, name) + ",\"labels\":{";
  const char* separator = "";
  for (const auto& [label, state] : manager_.Labels(name)) {
    // A label may wait for its version. Until then it leads to the former version, or to none.
    const std::string served = state.is_ready ? fmt::format("{}", state.in_force.value) : "null";
    json += fmt::format(R"({}{}:{{"version":{},"wanted":{}}})", std::exchange(separator, ","),
                        JsonQuoted(label), served, state.wanted.value);
  }
  return json + "}," + VersionFields(manager_, name, /*shows_runs=*/true) + "}";
}

}  // namespace penstock
