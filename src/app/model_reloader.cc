// SPDX-License-Identifier: Apache-2.0
#include "app/model_reloader.h"

#include <algorithm>
#include <chrono>
#include <tuple>
#include <utility>

#include "base/executor.h"
#include "base/log.h"
#include "sources/directory/version_folders.h"

namespace penstock {
namespace {

constexpr size_t kRequestsMax = 16;
// How often a wait looks whether it is still wanted.
constexpr Duration kWaitSlice = std::chrono::milliseconds(100);

std::string_view NameOf(core::LoadMode mode) {
  switch (mode) {
    case core::LoadMode::kAlways:
      break;
    case core::LoadMode::kOnDemand:
      return "ON_DEMAND";
    case core::LoadMode::kNever:
      return "NEVER";
  }
  return "ALWAYS";
}

}  // namespace

ModelReloader::ModelReloader(const Settings& settings, ModelSet& models, core::Manager& manager)
    : settings_(settings), models_(models), manager_(manager) {}

ModelReloader::~ModelReloader() { Stop(); }

void ModelReloader::Start() {
  if (!settings_.model_config_file.empty()) {
    const auto text = ReadConfigFile("model_config_file", settings_.model_config_file);
    if (text.ok()) last_text_ = *text;
  }
  thread_ = std::thread([this] { RunThread(); });
}

void ModelReloader::Stop() {
  {
    MutexLock lock(mutex_);
    is_stopping_ = true;
  }
  wake_.NotifyOne();
  if (thread_.joinable()) thread_.join();
  Requests left;
  {
    MutexLock lock(mutex_);
    left.swap(requests_);
  }
  for (Request& request : left) {
    std::visit([](auto& each) { each.done(absl::UnavailableError("the server is shutting down")); },
               request);
  }
}

void ModelReloader::ReloadFile() {
  {
    MutexLock lock(mutex_);
    shall_read_file_ = true;
  }
  wake_.NotifyOne();
}

template <typename Kind>
void ModelReloader::Enqueue(Kind request) {
  Status refused;
  {
    MutexLock lock(mutex_);
    if (is_stopping_) {
      refused = absl::UnavailableError("the server is shutting down");
    } else if (requests_.size() >= kRequestsMax) {
      refused = Error(StatusCode::kUnavailable,
                      "{} changes of the configuration are waiting: try again later", kRequestsMax);
    } else {
      requests_.emplace_back(std::move(request));
    }
  }
  if (!refused.ok()) return request.done(std::move(refused));
  wake_.NotifyOne();
}

void ModelReloader::Submit(tfs::ReloadRequest request) { Enqueue(std::move(request)); }
void ModelReloader::Submit(ModelChange change) { Enqueue(std::move(change)); }

std::map<std::string, ModelPlace> ModelReloader::Places() const {
  MutexLock lock(mutex_);
  return places_;
}

Status ModelReloader::ApplyFirst(std::vector<tfs::ConfiguredModel> base, std::string_view where) {
  ModelOverrides overrides;
  if (!settings_.state_file.empty()) TRY(overrides.Read(settings_.state_file));
  return Apply(std::move(base), std::move(overrides), where).status();
}

StatusOr<std::set<std::string>> ModelReloader::Apply(std::vector<tfs::ConfiguredModel> base,
                                                     ModelOverrides overrides,
                                                     std::string_view where) {
  ASSIGN_OR_RETURN(const std::vector<tfs::ConfiguredModel> models, overrides.Over(base));
  ASSIGN_OR_RETURN(std::set<std::string> moved, models_.Apply(models, where));
  std::map<std::string, ModelPlace> places;
  for (const tfs::ConfiguredModel& model : models) {
    places.emplace(model.name,
                   ModelPlace{model.base_path, model.platform, std::string(NameOf(model.load_mode)),
                              overrides.PinOf(model.name)});
  }
  base_ = std::move(base);
  overrides_ = std::move(overrides);
  MutexLock lock(mutex_);
  places_ = std::move(places);
  return moved;
}

Status ModelReloader::WriteState() const {
  return settings_.state_file.empty() ? OkStatus() : overrides_.Write(settings_.state_file);
}

void ModelReloader::RunThread() {
  SetThreadName("reload");
  bool read_file = false;
  Requests requests;
  while (WaitForWork(read_file, requests)) {
    const bool is_poll = !read_file && requests.empty();
    if (read_file || is_poll) ReadFile(/*is_forced=*/!is_poll);
    for (Request& request : requests) {
      std::visit([this](auto& each) { Serve(std::move(each)); }, request);
    }
    requests.clear();
  }
}

bool ModelReloader::WaitForWork(bool& read_file, Requests& requests) {
  const auto period = std::chrono::seconds(settings_.model_config_file_poll_wait_seconds);
  const bool polls = period > Duration::zero() && !settings_.model_config_file.empty();
  const SteadyTime next = Clock::Real().Now() + period;
  MutexLock lock(mutex_);
  while (!is_stopping_ && !shall_read_file_ && requests_.empty()) {
    if (!polls) {
      wake_.Wait(mutex_);
    } else if (!wake_.WaitUntil(mutex_, next)) {
      break;
    }
  }
  read_file = std::exchange(shall_read_file_, false);
  if (!is_stopping_) requests.swap(requests_);
  return !is_stopping_;
}

void ModelReloader::ReadFile(bool is_forced) {
  const std::string& file = settings_.model_config_file;
  const StatusOr<std::string> text = ReadConfigFile("model_config_file", file);
  if (text.ok() && *text == last_text_ && !is_forced) return;
  Status status = text.status();
  if (status.ok()) {
    auto models = tfs::ParseModelConfig(*text, file);
    status = models.ok() ? Apply(*std::move(models), overrides_, file).status() : models.status();
  }
  // What is refused is tried again at the next look, since a platform's library may appear; but it
  // is said once.
  const std::string error(MessageOf(status));
  const bool is_known = std::exchange(last_error_, error) == error;
  if (status.ok()) {
    last_text_ = *text;
    PENSTOCK_LOG(kInfo, "{} was read again and is in force", file);
  } else if (!is_known || is_forced) {
    PENSTOCK_LOG(kError, "the models stay as they are: {}", error);
  }
}

void ModelReloader::Serve(tfs::ReloadRequest request) {
  if (IsStopping()) return request.done(absl::UnavailableError("the server is shutting down"));
  // Who has been told that nothing came of it must be right.
  if (!request.is_wanted()) return request.done(absl::CancelledError("the client has gone"));
  if (Clock::Real().Now() >= request.deadline)
    return request.done(absl::DeadlineExceededError("other changes took the time"));
  AwaitedModels awaited;
  for (const tfs::ConfiguredModel& model : request.models) {
    awaited.names.push_back(model.name);
    if (!settings_.allow_version_labels_for_unavailable_models)
      awaited.labels[model.name] = model.labels;
  }
  awaited.since = std::chrono::system_clock::now();
  ModelOverrides overrides = overrides_;
  overrides.ForgetList();
  auto moved = Apply(std::move(request.models), std::move(overrides), "ReloadConfigRequest");
  if (!moved.ok()) {
    PENSTOCK_LOG(kWarning, "the models stay as they are: {}", MessageOf(moved.status()));
    return request.done(moved.status());
  }
  PENSTOCK_LOG(kInfo, "a client has replaced the list of models: {}",
               fmt::join(awaited.names, ", "));
  const Status written = WriteState();
  awaited.moved = *std::move(moved);
  const ModelWait wait(std::move(awaited), manager_);
  const Status waited = WaitFor(wait, request.deadline, request.is_wanted);
  request.done(waited.ok() ? written : waited);
}

void ModelReloader::Serve(ModelChange change) {
  if (IsStopping()) return change.done(absl::UnavailableError("the server is shutting down"));
  if (!change.is_wanted()) return change.done(absl::CancelledError("the client has gone"));
  change.deadline =
      std::min(change.deadline,
               Clock::Real().Now() + std::chrono::seconds(settings_.reload_timeout_seconds));
  AwaitedModels awaited;
  awaited.since = std::chrono::system_clock::now();
  ModelOverrides before = overrides_;
  ModelOverrides overrides = overrides_;
  Status status = overrides.Add(change, base_);
  const bool names_version =
      change.kind == ModelChange::Kind::kPin || change.kind == ModelChange::Kind::kLabel;
  if (status.ok() && names_version) status = CheckVersion(change);
  if (status.ok()) {
    auto moved = Apply(base_, std::move(overrides), "the admin API");
    status = moved.status();
    if (moved.ok()) awaited.moved = *std::move(moved);
  }
  if (!status.ok()) return change.done(std::move(status));
  PENSTOCK_LOG(kInfo, "an operator has changed model {}", change.model);
  if (status = WriteState(); !status.ok()) {
    return change.done(Error(status.code(),
                             "the change is in force, but will not outlive the server: {}",
                             MessageOf(status)));
  }
  if (change.kind == ModelChange::Kind::kLoad && LoadNow(change)) return;
  if (change.kind != ModelChange::Kind::kRemove) awaited.names.push_back(change.model);
  if (change.kind == ModelChange::Kind::kLabel)
    awaited.labels[change.model][change.label] = change.version;
  if (change.kind == ModelChange::Kind::kPin) awaited.pinned[change.model] = change.version;
  status = WaitFor(ModelWait(std::move(awaited), manager_), change.deadline, change.is_wanted);
  if (names_version && status.code() == StatusCode::kFailedPrecondition) {
    // It cannot be had: all is as it was before.
    if (Apply(base_, std::move(before), "the admin API").ok()) std::ignore = WriteState();
  }
  // A model that does not load is no fault of the server.
  if (status.code() == StatusCode::kUnknown)
    status = Error(StatusCode::kFailedPrecondition, "{}", MessageOf(status));
  change.done(std::move(status));
}

bool ModelReloader::LoadNow(ModelChange& change) {
  const auto done = std::make_shared<absl::AnyInvocable<void(Status)>>(std::move(change.done));
  if (manager_.LoadOnDemand(change.model, change.deadline,
                            [done](Status status) { (*done)(std::move(status)); })) {
    return true;
  }
  change.done = std::move(*done);
  return false;
}

Status ModelReloader::CheckVersion(const ModelChange& change) const {
  for (const core::VersionStatus& version : manager_.VersionStatuses(change.model)) {
    if (version.id.version == change.version && version.state != core::VersionState::kEnd)
      return OkStatus();
  }
  const auto places = Places();
  const std::string& base_path = places.at(change.model).base_path;
  const auto folders = ListVersions(base_path);
  if (folders.ok() && folders->contains(change.version)) return OkStatus();
  if (change.kind == ModelChange::Kind::kPin) {
    return Error(StatusCode::kNotFound,
                 "model {} has no version {} in {}: nothing is changed, since pinning it would "
                 "unload all others",
                 change.model, change.version.value, base_path);
  }
  return Error(
      StatusCode::kFailedPrecondition,
      "Request to assign label to version {} of model {}, which is not currently available "
      "for inference: there is no such version in {}",
      change.version.value, change.model, base_path);
}

Status ModelReloader::WaitFor(const ModelWait& wait, SteadyTime deadline,
                              const std::function<bool()>& is_wanted) {
  SteadyTime now = Clock::Real().Now();
  const SteadyTime end =
      std::min(deadline, now + std::chrono::seconds(settings_.reload_timeout_seconds));
  const auto is_settled = [&] { return wait.IsSettled(); };
  while (now < end && !manager_.WaitFor(is_settled, std::min(end, now + kWaitSlice))) {
    if (IsStopping()) return absl::UnavailableError("the server is shutting down");
    if (!is_wanted()) return absl::CancelledError("the client has gone");
    if (TakeFileRequest()) ReadFile(/*is_forced=*/true);
    now = Clock::Real().Now();
  }
  return wait.WhatIsMissing(/*is_late=*/now >= end);
}

bool ModelReloader::TakeFileRequest() {
  MutexLock lock(mutex_);
  return std::exchange(shall_read_file_, false);
}

bool ModelReloader::IsStopping() {
  MutexLock lock(mutex_);
  return is_stopping_;
}

}  // namespace penstock
