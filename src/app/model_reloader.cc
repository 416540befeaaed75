// SPDX-License-Identifier: Apache-2.0
#include "app/model_reloader.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/executor.h"
#include "base/log.h"

namespace penstock {
namespace {

constexpr size_t kRequestsMax = 16;
// How often a wait looks whether it is still wanted.
constexpr Duration kWaitSlice = std::chrono::milliseconds(100);
constexpr Duration kFailureLasts = std::chrono::milliseconds(300);

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
  std::deque<tfs::ReloadRequest> left;
  {
    MutexLock lock(mutex_);
    left.swap(requests_);
  }
  for (auto& request : left) request.done(absl::UnavailableError("the server is shutting down"));
}

void ModelReloader::ReloadFile() {
  {
    MutexLock lock(mutex_);
    shall_read_file_ = true;
  }
  wake_.NotifyOne();
}

void ModelReloader::Submit(tfs::ReloadRequest request) {
  Status refused;
  {
    MutexLock lock(mutex_);
    if (is_stopping_) {
      refused = absl::UnavailableError("the server is shutting down");
    } else if (requests_.size() >= kRequestsMax) {
      refused = Error(StatusCode::kUnavailable,
                      "{} changes of the configuration are waiting: try again later", kRequestsMax);
    } else {
      requests_.push_back(std::move(request));
    }
  }
  if (!refused.ok()) return request.done(std::move(refused));
  wake_.NotifyOne();
}

void ModelReloader::RunThread() {
  SetThreadName("reload");
  bool read_file = false;
  std::deque<tfs::ReloadRequest> requests;
  while (WaitForWork(read_file, requests)) {
    const bool is_poll = !read_file && requests.empty();
    if (read_file || is_poll) ReadFile(/*is_forced=*/!is_poll);
    for (auto& request : requests) Serve(std::move(request));
    requests.clear();
  }
}

bool ModelReloader::WaitForWork(bool& read_file, std::deque<tfs::ReloadRequest>& requests) {
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
    const auto models = tfs::ParseModelConfig(*text, file);
    status = models.ok() ? models_.Apply(*models, file).status() : models.status();
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
  // Who has been told that nothing came of it must be right.
  if (!request.is_wanted()) return request.done(absl::CancelledError("the client has gone"));
  if (Clock::Real().Now() >= request.deadline)
    return request.done(absl::DeadlineExceededError("other changes took the time"));
  Awaited awaited;
  for (const tfs::ConfiguredModel& model : request.models) {
    awaited.names.push_back(model.name);
    if (!settings_.allow_version_labels_for_unavailable_models)
      awaited.labels[model.name] = model.labels;
  }
  awaited.since = std::chrono::system_clock::now();
  auto moved = models_.Apply(request.models, "ReloadConfigRequest");
  if (!moved.ok()) {
    PENSTOCK_LOG(kWarning, "the models stay as they are: {}", MessageOf(moved.status()));
    return request.done(moved.status());
  }
  PENSTOCK_LOG(kInfo, "a client has replaced the list of models: {}",
               fmt::join(awaited.names, ", "));
  awaited.moved = *std::move(moved);
  request.done(WaitForModels(awaited, request));
}

ModelReloader::Progress ModelReloader::ProgressOf(const Awaited& models, const std::string& name,
                                                  Status& reason) const {
  if (manager_.IsModelReady(name).value_or(false)) return Progress::kServed;
  if (reason = manager_.SourceStatus(name); !reason.ok()) {
    const bool is_waiting = reason.code() == StatusCode::kFailedPrecondition;
    return is_waiting ? Progress::kUnderWay : Progress::kFailed;
  }
  const bool has_moved = models.moved.contains(name);
  const auto now = std::chrono::system_clock::now();
  for (const core::VersionStatus& version : manager_.VersionStatuses(name)) {
    // A load of the old list may still fail before the source has told of the new one.
    const bool may_be_old = version.since < models.since || now - version.since < kFailureLasts;
    if (has_moved && may_be_old) continue;
    if (reason = version.status; !reason.ok()) return Progress::kFailed;
  }
  return Progress::kUnderWay;
}

ModelReloader::Progress ModelReloader::LabelProgress(const Awaited& models, const std::string& name,
                                                     Status& reason) const {
  const auto wanted = models.labels.find(name);
  if (wanted == models.labels.end()) return Progress::kServed;
  const auto states = manager_.Labels(name);
  const std::vector<core::VersionStatus> versions = manager_.VersionStatuses(name);
  Progress progress = Progress::kServed;
  for (const auto& [label, number] : wanted->second) {
    const auto state = states.find(label);
    if (state == states.end()) continue;  // another change has come
    const auto version = std::ranges::find_if(
        versions, [&](const auto& status) { return status.id.version == number; });
    const bool is_known = version != versions.end();
    if (is_known && version->state == core::VersionState::kAvailable) continue;
    const bool is_settled = std::chrono::system_clock::now() - models.since >= kFailureLasts;
    if (is_known && !version->status.ok() && version->state == core::VersionState::kEnd) {
      reason = version->status;
    } else if (is_settled && !state->second.is_coming) {
      reason = absl::NotFoundError("the model has no such version");
    } else {
      progress = Progress::kUnderWay;
      continue;
    }
    reason = Error(StatusCode::kFailedPrecondition,
                   "Request to assign label to version {} of model {}, which is not currently "
                   "available for inference: label \"{}\": {}",
                   number.value, name, label, MessageOf(reason));
    return Progress::kFailed;
  }
  return progress;
}

Status ModelReloader::WaitForModels(const Awaited& models, const tfs::ReloadRequest& request) {
  SteadyTime now = Clock::Real().Now();
  const SteadyTime end =
      std::min(request.deadline, now + std::chrono::seconds(settings_.reload_timeout_seconds));
  const auto is_settled = [&] {
    Status reason;
    return std::ranges::all_of(models.names, [&](const std::string& name) {
      return ProgressOf(models, name, reason) != Progress::kUnderWay &&
             LabelProgress(models, name, reason) != Progress::kUnderWay;
    });
  };
  while (now < end && !manager_.WaitFor(is_settled, std::min(end, now + kWaitSlice))) {
    if (IsStopping()) return absl::UnavailableError("the server is shutting down");
    if (!request.is_wanted()) return absl::CancelledError("the client has gone");
    if (TakeFileRequest()) ReadFile(/*is_forced=*/true);
    now = Clock::Real().Now();
  }
  return WhatIsMissing(models, /*is_late=*/now >= end);
}

Status ModelReloader::WhatIsMissing(const Awaited& models, bool is_late) const {
  std::string missing;
  size_t count = 0;
  Status label_error;
  for (const std::string& name : models.names) {
    Status reason;
    const Progress progress = ProgressOf(models, name, reason);
    if (progress == Progress::kServed) {
      if (LabelProgress(models, name, reason) == Progress::kUnderWay) {
        label_error = Error(StatusCode::kDeadlineExceeded,
                            "a version that a label of model {} names is still loading", name);
      } else if (!reason.ok()) {
        label_error = reason;
      }
      continue;
    }
    missing += fmt::format("{}{}: {}", count++ == 0 ? "" : "; ", name,
                           reason.ok() ? "still loading" : MessageOf(reason));
  }
  if (count == 0) return label_error;
  return Error(is_late ? StatusCode::kDeadlineExceeded : StatusCode::kUnknown,
               "{} model(s) did not become available: {{{}}}", count, missing);
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
