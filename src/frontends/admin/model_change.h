// SPDX-License-Identifier: Apache-2.0
// The changes that an operator can make to one model while the server runs.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "absl/functional/any_invocable.h"
#include "base/clock.h"
#include "base/status.h"
#include "core/servable.h"

namespace penstock {

// One change. One thread at a time.
struct ModelChange {
  enum class Kind { kPut, kRemove, kLoad, kUnload, kLabel, kUnlabel, kPin, kUnpin };

  Kind kind = Kind::kPut;
  std::string by = "an operator";  // who made the request, for the log
  std::string model;
  std::string config;           // for kPut: a serialized tensorflow.serving.ModelConfig
  std::string label;            // for kLabel and kUnlabel
  core::VersionNumber version;  // for kLabel and kPin
  SteadyTime deadline = kNoDeadline;
  std::function<bool()> is_wanted;  // false once the client has left; call it on any thread
  // Gets OK once the change is in effect, or the reason for its failure. Called once, on any
  // thread.
  absl::AnyInvocable<void(Status)> done;
};

// Accepts a change, and returns at once. Thread-safe.
using ModelChangeFunction = std::function<void(ModelChange)>;

// The configuration of a model that the manager does not have.
struct ModelPlace {
  std::string base_path;
  std::string platform;  // empty: chosen by the model's files
  std::string load;      // "ALWAYS", "ON_DEMAND" or "NEVER"
  std::optional<core::VersionNumber> pinned_version;
};

// Returns all models by name. Thread-safe.
using ModelPlacesFunction = std::function<std::map<std::string, ModelPlace>()>;

}  // namespace penstock
