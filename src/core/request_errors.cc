// SPDX-License-Identifier: Apache-2.0
// One request can fail in many ways, and the code decides what its client does: NOT_FOUND ends its
// retries, UNAVAILABLE asks for another try. So an error says NOT_FOUND only if another try cannot
// help. The texts begin as those of TensorFlow Serving, which clients match, and continue with the
// reason.
#include "core/request_errors.h"

#include <utility>

#include "base/utf8.h"
#include "core/name_list.h"

namespace penstock::core {
namespace {

// Says why the model does not have the version, and which versions it has. NOT_FOUND; or
// UNAVAILABLE if a label names the version, since then the configuration is wrong and not the
// request.
Status VersionAbsent(const ModelRecord& model, VersionNumber version, std::string_view label) {
  const std::string& name = model.config.name;
  const std::string what = label.empty()
                               ? std::string(MessageOf(ServableNotFound(name, version)))
                               : fmt::format("label \"{}\" of model {} waits for version {}", label,
                                             name, version.value);
  std::string why;
  if (const Status problem = model.versions.NewestProblem(version); !problem.ok()) {
    why = fmt::format("it could not be loaded: {}", ToUtf8(MessageOf(problem)));
  } else if (model.versions.IsComing(version)) {
    why = "it is being loaded";
  } else {
    std::vector<VersionNumber> known;
    for (const auto& [status, load] : model.versions.Statuses()) {
      if (status.is_aspired || status.state == VersionState::kAvailable)
        known.push_back(status.id.version);
    }
    why = DescribeVersions(std::move(known));
    if (const Status source = model.SourceStatusFor(version); !source.ok())
      why += fmt::format("; {}", ToUtf8(MessageOf(source)));
  }
  return Error(label.empty() ? StatusCode::kNotFound : StatusCode::kUnavailable, "{}: {}", what,
               why);
}

}  // namespace

Status ModelNotFound(std::string_view name) {
  return Error(StatusCode::kNotFound, "there is no model called \"{}\"", name);
}

Status ServableNotFound(std::string_view name, std::optional<VersionNumber> version) {
  if (!version) {
    return Error(StatusCode::kNotFound, "Servable not found for request: Latest({})", name);
  }
  return Error(StatusCode::kNotFound, "Servable not found for request: Specific({}, {})", name,
               version->value);
}

std::optional<Status> AnswerFor(const ModelRecord& model, std::optional<VersionNumber> version,
                                std::string_view label, bool is_draining) {
  const ModelVersions& versions = model.versions;
  if (version ? versions.IsReady(*version) : !versions.Ready().empty()) return OkStatus();
  if (is_draining) {
    // A load that runs may still succeed, and then its waiters can be served.
    if (versions.IsAnyLoading()) return std::nullopt;
    return absl::UnavailableError("the server is shutting down");
  }
  // The source has not answered yet, so nobody can know that there is no version.
  if (!model.has_report || model.IsSourceWaiting()) return std::nullopt;
  if (version ? versions.IsComing(*version) : versions.IsAnyComing()) return std::nullopt;
  const Status error = version ? versions.ErrorOf(*version) : versions.NewestError();
  const Status& why = error.ok() ? model.source_status : error;
  if (!why.ok()) {
    return Error(StatusCode::kUnavailable, "model {} cannot be loaded: {}", model.config.name,
                 ToUtf8(MessageOf(why)));
  }
  if (version) return VersionAbsent(model, *version, label);
  return Error(StatusCode::kUnavailable, "model {} cannot be loaded: it has no version",
               model.config.name);
}

Status WhyNotReady(const ModelRecord& model, std::optional<VersionNumber> version,
                   std::string_view label, bool is_draining) {
  const std::string& name = model.config.name;
  if (version && !model.versions.Ready().empty() && !model.IsInFirstLoad(version))
    return VersionAbsent(model, *version, label);
  const Status problem = model.versions.NewestProblem(version);
  const std::optional<Status> answer = AnswerFor(model, version, label, is_draining);
  if (answer && !answer->ok()) return *answer;
  const bool waits_for_source = problem.ok() && model.IsSourceWaiting();
  const Status& why = waits_for_source ? model.source_status : problem;
  if (answer || why.ok()) {
    return Error(StatusCode::kUnavailable, "model {} is being loaded: try again later", name);
  }
  return Error(StatusCode::kUnavailable, "model {} is being loaded: {}", name,
               ToUtf8(MessageOf(why)));
}

Status UnknownLabelError(std::string_view label, const std::map<std::string, LabelState>& known,
                         bool is_configured) {
  std::vector<std::string> names;
  for (const auto& [name, state] : known) names.push_back(name);
  return InvalidArgument("Unrecognized servable version label: {}{}", label,
                         is_configured ? ": " + DescribeLabels(names) : "");
}

}  // namespace penstock::core
