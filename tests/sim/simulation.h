// SPDX-License-Identifier: Apache-2.0
// One random life of a manager over virtual time: sources that change their minds, loads that are
// slow, fail or hang, little memory, requests that hold versions, reloads. After every step the
// promises of the life cycle are checked. The seed decides everything: it replays.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/background_fake.h"
#include "core/manager.h"

namespace penstock::sim {

// A promise was broken; says which.
class Violation : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct SimulationOptions {
  uint64_t seed = 0;
  int steps = 150;
  // Replaces the availability preserving policy, to see whether a wrong one is caught.
  const core::TransitionPolicy* policy = nullptr;
  bool trace = false;  // prints every step
};

// One thread.
class Simulation final {
 public:
  explicit Simulation(SimulationOptions options);
  ~Simulation();

  // Throws Violation.
  void Run();

 private:
  class SimServable;
  class SimLoader;

  // What is to be known of one model to say what must hold.
  struct Expected {
    core::ModelConfig config;
    std::map<int64_t, core::VersionRole> roles;  // as told last
    std::set<int64_t> aspired;                   // of those: no reserves
    std::set<int64_t> without_loader;            // of those
    std::map<int64_t, uint64_t> revisions;       // of those
    bool was_told = false;                       // since it was added
    bool was_ready = false;                      // and must stay so
    std::map<std::string, int64_t> labels;       // that were answered, and by which version
  };
  struct Version {
    uint64_t bytes = 0;        // when loaded
    uint64_t extra_bytes = 0;  // while loading
    int failures_left = 0;
    int steps_inside = 0;  // that happen while it loads
    bool throws = false;
    int loading = 0;
    int alive = 0;
    std::set<SimServable*> servables;
  };

  // --- Steps.
  void Step();
  void StepInside();  // while a loader loads
  void SourceTells();
  void SourceFails();
  void Reload();
  void AddOrChangeModel();
  void RemoveModel();
  void Request();
  void RequestOnDemand();
  void DropHandle();
  void BreakServable();
  void PassTime();

  // --- Checks.
  void Check();
  void CheckAvailability();
  void CheckRole(const std::string& name, const Expected& model, int64_t answers);
  bool HasBroken(const std::string& name) const;
  void CheckLabels(const std::string& name, Expected& model);
  void CheckMemory() const;
  void CheckHandles() const;
  void CheckEvent(const core::ManagerEvent& event);
  // Lets all that is under way come to an end, with loaders that work.
  void Settle();
  void RunUntilRest();
  void CheckSettled();
  uint64_t MovableBytes(const std::string& for_model) const;
  void CheckSettledModel(const std::string& name, const Expected& model);
  void StopManager();
  void CheckStopped();

  uint64_t Random(uint64_t below) { return random_() % below; }
  bool Chance(int percent) { return Random(100) < static_cast<uint64_t>(percent); }
  std::string RandomName() { return std::string(1, static_cast<char>('a' + Random(4))); }
  core::ModelConfig RandomConfig(const std::string& name);
  core::ManagerOptions RandomOptions();
  Version& PlanOf(const core::ServableId& id);
  void Configured(core::ModelConfig config);
  std::unique_ptr<core::Loader> NewLoader(const core::ServableId& id);
  void Trace(const std::string& what) const;
  [[noreturn]] void Fail(const std::string& what) const;

  const SimulationOptions options_;
  std::mt19937_64 random_;
  const core::ManagerOptions manager_options_;
  core::VirtualBackground* background_ = nullptr;
  uint64_t generation_ = 0;  // of the configurations
  std::unique_ptr<core::Manager> manager_;

  std::map<std::string, Expected> models_;
  std::map<core::ServableId, Version> versions_;
  std::map<core::ServableId, core::VersionState> states_;
  std::vector<core::Handle> handles_;
  std::vector<int> waiters_;  // how often each was answered
  uint64_t alive_bytes_ = 0;
  int depth_ = 0;
  bool is_settling_ = false;
  // Found where nothing may be thrown.
  std::optional<std::string> late_failure_;
  std::optional<std::string> late_violation_;
};

}  // namespace penstock::sim
