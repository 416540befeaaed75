// SPDX-License-Identifier: Apache-2.0
// A source of one's own: the versions to serve are the lines of a text file.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "core/source.h"

namespace penstock::examples {

// Makes the loader of the version that lies in the folder `path`.
using LoaderFactory = std::function<std::unique_ptr<core::Loader>(const core::ServableId& id,
                                                                  const std::string& path)>;

// Reads the file "current" in the model's folder from time to time: a version number on each line.
// A file that cannot be read, or has anything else in it, changes nothing, and the model's source
// status says what is wrong. Thread-safe.
class CurrentFileSource final : public core::Source {
 public:
  CurrentFileSource(std::string model, std::string folder, Duration poll_period,
                    LoaderFactory make_loader);
  ~CurrentFileSource() override { Stop(); }

  void Start(core::AspiredTarget& target) override;
  void Stop() override EXCLUDES(mutex_);

 private:
  void RunThread(core::AspiredTarget& target) EXCLUDES(mutex_);
  StatusOr<std::vector<core::VersionNumber>> ReadVersions() const;
  void Report(core::AspiredTarget& target, const std::vector<core::VersionNumber>& versions) const;

  const std::string model_;
  const std::string folder_;
  const Duration poll_period_;
  const LoaderFactory make_loader_;

  Mutex mutex_;
  CondVar wake_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace penstock::examples
