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

// What is known of a model whose load is waited for.
enum class Progress { kUnderWay, kServed, kFailed };

// Sets `reason` for kFailed.
Progress ProgressOf(const core::Manager& manager, const std::string& name, Status& reason) {
  if (manager.IsModelReady(name).value_or(false)) return Progress::kServed;
  if (reason = manager.SourceStatus(name); !reason.ok()) return Progress::kFailed;
  for (const core::VersionStatus& version : manager.VersionStatuses(name)) {
    if (reason = version.status; !reason.ok()) return Progress::kFailed;
  }
  return Progress::kUnderWay;
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
  Status status;
  if (const auto text = ReadConfigFile("model_config_file", file); !text.ok()) {
    // Said once, as of a text that is wrong.
    if (const bool is_known = std::exchange(last_text_, {}).empty(); is_known && !is_forced) return;
    status = text.status();
  } else {
    if (!is_forced && *text == last_text_) return;
    last_text_ = *text;
    const auto models = tfs::ParseModelConfig(*text, file);
    status = models.ok() ? models_.Apply(*models, file) : models.status();
  }
  if (status.ok()) {
    PENSTOCK_LOG(kInfo, "{} was read again and is in force", file);
  } else {
    PENSTOCK_LOG(kError, "the models stay as they are: {}", MessageOf(status));
  }
}

void ModelReloader::Serve(tfs::ReloadRequest request) {
  std::vector<std::string> names;
  for (const tfs::ConfiguredModel& model : request.models) names.push_back(model.name);
  Status status = models_.Apply(request.models, "ReloadConfigRequest");
  if (status.ok()) {
    PENSTOCK_LOG(kInfo, "a client has replaced the list of models: {}", fmt::join(names, ", "));
    status = WaitForModels(names, request);
  } else {
    PENSTOCK_LOG(kWarning, "the models stay as they are: {}", MessageOf(status));
  }
  request.done(std::move(status));
}

Status ModelReloader::WaitForModels(const std::vector<std::string>& names,
                                    const tfs::ReloadRequest& request) {
  const SteadyTime start = Clock::Real().Now();
  const SteadyTime end =
      std::min(request.deadline, start + std::chrono::seconds(settings_.reload_timeout_seconds));
  Status reason;
  const auto is_settled = [&] {
    return std::ranges::all_of(names, [&](const std::string& name) {
      return ProgressOf(manager_, name, reason) != Progress::kUnderWay;
    });
  };
  SteadyTime now = start;
  while (now < end && !manager_.WaitFor(is_settled, std::min(end, now + kWaitSlice))) {
    if (IsStopping()) return absl::UnavailableError("the server is shutting down");
    if (!request.is_wanted()) return absl::CancelledError("the client has gone");
    now = Clock::Real().Now();
  }
  std::string missing;
  size_t count = 0;
  for (const std::string& name : names) {
    const Progress progress = ProgressOf(manager_, name, reason);
    if (progress == Progress::kServed) continue;
    missing += fmt::format("{}{}: {}", count++ == 0 ? "" : "; ", name,
                           progress == Progress::kFailed ? MessageOf(reason) : "still loading");
  }
  if (count == 0) return OkStatus();
  return Error(now < end ? StatusCode::kUnknown : StatusCode::kDeadlineExceeded,
               "{} model(s) did not become available: {{{}}}", count, missing);
}

bool ModelReloader::IsStopping() {
  MutexLock lock(mutex_);
  return is_stopping_;
}

}  // namespace penstock
