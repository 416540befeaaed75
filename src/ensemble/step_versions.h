// SPDX-License-Identifier: Apache-2.0
// Which versions the steps of a loaded ensemble use, and when they change.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "base/read_mostly.h"
#include "base/status.h"
#include "core/manager.h"
#include "ensemble/graph.h"
#include "ensemble/plan.h"
#include "infer/engine.h"
#include "infer/signature.h"

namespace penstock::ensemble {

// Chooses one version for each model of the steps, so that all fit the plan, and keeps them loaded.
// It follows the events of the manager. A newer version is chosen as soon as it is ready, if it
// fits. If it does not, the steps go on with the one before, and the ensemble says so. If it fits
// another plan, by which clients see other tensors, the ensemble is renewed. Thread-safe.
class StepVersions final : public ModelSteps {
 public:
  using Handles = absl::InlinedVector<ModelHandle, 3>;

  // `versions` are those by which `plan`, of `graph`, was made, in the order of Plan::models. All
  // references must outlive it.
  StepVersions(core::ServableId id, const Graph& graph, const Plan& plan,
               std::span<const ModelHandle> versions, core::Manager& manager, Engine& engine);
  ~StepVersions() override;
  StepVersions(const StepVersions&) = delete;
  StepVersions& operator=(const StepVersions&) = delete;

  // Sets `versions` to the chosen ones, for one request. Takes no lock. UNAVAILABLE, with the step,
  // if one of them is gone.
  Status Pin(Handles& versions) const;
  std::vector<ModelStep> List() const override;

 private:
  using Pointers = std::span<const ModelHandle* const>;  // one for each model of the plan

  struct Version {
    core::VersionNumber number;
    // Is only compared. If its memory is used again, for a version that was not checked, the steps
    // still check their inputs.
    const Model* model = nullptr;
  };
  struct Chosen {
    absl::InlinedVector<Version, 3> versions;  // in the order of Plan::models
    Status problem;                            // not OK: there are none that fit
    uint64_t change = 0;                       // a number of its own
  };
  // A version that is held in the manager.
  struct Held {
    core::ServableId id;
    uint64_t hold = 0;
  };
  enum class Fit : uint8_t { kFits, kOtherTensors, kNot };

  Chosen Get() const;
  Status Find(const Chosen& chosen, Handles& versions) const;
  // UNAVAILABLE: the step that uses this model cannot run, because of `why`.
  Status Missing(size_t model, const Status& why) const;
  // Sets `why`, with the way to the fault, if they do not fit.
  Fit Check(Pointers versions, Status& why) const;

  void OnEvent(const core::ManagerEvent& event);
  void Review();
  // Makes the manager load the ensemble again. Returns false, and sets `why`, if that fails.
  bool Renew(Pointers versions, Status& why);
  void Choose(Pointers versions);
  // Requests get `problem`.
  void ChooseNone(Status problem);
  void Set(std::unique_ptr<Chosen> chosen);
  void EndHolds(const std::vector<Held>& holds);
  // Tells the manager and the log, once.
  void Tell(Status problem, bool can_answer);

  const core::ServableId id_;
  const Graph& graph_;
  const Plan& plan_;
  core::Manager& manager_;
  Engine& engine_;
  ReadMostly<Chosen> chosen_;
  int listener_ = 0;

  // Used by one thread at a time: the one that makes this object, and then those that deliver
  // events.
  std::vector<Held> held_;
  uint64_t changes_ = 0;
  Status told_;
  bool is_renewed_ = false;  // another object has taken over
};

}  // namespace penstock::ensemble
