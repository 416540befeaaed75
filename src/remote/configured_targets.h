// SPDX-License-Identifier: Apache-2.0
// The targets that the configuration names.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "config/remote_config.h"
#include "net/loop/timer_wheel.h"
#include "remote/loops.h"
#include "remote/target_source.h"

namespace penstock::remote {

// Servers by their names or addresses, and all those that a name has in the DNS. Such a name is
// looked up again after `interval`, and sooner if a connection fails. If that is not possible, its
// addresses stay as they are. Owned by loop 0, but for the functions of TargetSource.
class ConfiguredTargets final : public TargetSource,
                                public std::enable_shared_from_this<ConfiguredTargets>,
                                private net::WheelTimer {
 public:
  // `model`: for the log. `loops` must outlive the last call of a loop, not only Stop.
  ConfiguredTargets(std::string model, std::vector<RemoteTarget> targets, Duration interval,
                    RemoteLoops& loops);

  void Start(Changed changed) override;
  void Refresh() override;
  void Stop() override;
  // The same, on the thread of loop 0.
  void StopOnLoop();

 private:
  // A name in the DNS.
  struct Name {
    size_t position = 0;  // in targets_
    std::vector<std::string> addresses = {};
    bool is_failing = false;
  };

  net::IoLoop& loop() { return loops_.at(0); }
  void LookUp();
  void OnFound(size_t index, StatusOr<std::vector<std::string>> found);
  // All names were looked up: reports what has changed.
  void Report();
  TargetList List() const;
  void OnTimer() override { LookUp(); }

  const std::string model_;
  const std::vector<RemoteTarget> targets_;
  const Duration interval_;
  RemoteLoops& loops_;

  Changed changed_;
  std::vector<Name> names_;
  size_t open_ = 0;  // look-ups
  SteadyTime looked_up_;
  Status failure_;  // of the last round
  TargetList reported_;
  bool is_stopped_ = false;
};

}  // namespace penstock::remote
