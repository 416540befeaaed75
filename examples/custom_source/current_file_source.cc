// SPDX-License-Identifier: Apache-2.0
#include "current_file_source.h"

#include <charconv>
#include <fstream>
#include <optional>
#include <utility>

namespace penstock::examples {

CurrentFileSource::CurrentFileSource(std::string model, std::string folder, Duration poll_period,
                                     LoaderFactory make_loader)
    : model_(std::move(model)),
      folder_(std::move(folder)),
      poll_period_(poll_period),
      make_loader_(std::move(make_loader)) {}

void CurrentFileSource::Start(core::AspiredTarget& target) {
  thread_ = std::thread([this, &target] { RunThread(target); });
}

void CurrentFileSource::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    wake_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

// Reports only what is new: the manager would take the same list again, but a loader is made for
// every version of every list.
void CurrentFileSource::RunThread(core::AspiredTarget& target) {
  std::optional<std::vector<core::VersionNumber>> told;
  Status told_status;
  while (true) {
    StatusOr<std::vector<core::VersionNumber>> versions = ReadVersions();
    // Also when the error is over: the manager shows the last status until it gets another.
    if (versions.status() != told_status) {
      told_status = versions.status();
      target.SetSourceStatus(model_, told_status);
    }
    if (versions.ok() && told != *versions) {
      Report(target, *versions);
      told = *std::move(versions);
    }
    MutexLock lock(mutex_);
    const SteadyTime next_look = std::chrono::steady_clock::now() + poll_period_;
    while (!stopping_ && wake_.WaitUntil(mutex_, next_look)) continue;
    if (stopping_) return;
  }
}

StatusOr<std::vector<core::VersionNumber>> CurrentFileSource::ReadVersions() const {
  const std::string path = folder_ + "/current";
  std::ifstream file(path);
  if (!file) return Error(StatusCode::kNotFound, "cannot read {}", path);
  std::vector<core::VersionNumber> versions;
  for (std::string line; std::getline(file, line);) {
    core::VersionNumber version;
    const char* const end = line.data() + line.size();
    const auto [stopped, error] = std::from_chars(line.data(), end, version.value);
    // An error, and not a line to skip: a file that is half written must not unload versions.
    if (error != std::errc() || stopped != end || version.value < 0) {
      return InvalidArgument("{} has the line '{}', which is no version number", path, line);
    }
    versions.push_back(version);
  }
  return versions;
}

void CurrentFileSource::Report(core::AspiredTarget& target,
                               const std::vector<core::VersionNumber>& versions) const {
  std::vector<core::AspiredVersion> aspired;
  for (const core::VersionNumber version : versions) {
    const std::string path = folder_ + "/" + std::to_string(version.value);
    aspired.push_back({version, make_loader_({model_, version}, path)});
  }
  target.SetAspired(model_, std::move(aspired));
}

}  // namespace penstock::examples
