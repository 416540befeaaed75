// SPDX-License-Identifier: Apache-2.0
// What an operator may change about one model while the server runs.
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
  std::string by = "an operator";  // who asks for it, for the log
  std::string model;
  std::string config;           // of kPut: a tensorflow.serving.ModelConfig, serialized
  std::string label;            // of kLabel and kUnlabel
  core::VersionNumber version;  // of kLabel and kPin
  SteadyTime deadline = kNoDeadline;
  std::function<bool()> is_wanted;  // false once the client has gone; any thread
  // Gets OK once the change has its effect, or why it has not. Called once, on any thread.
  absl::AnyInvocable<void(Status)> done;
};

// Takes a change and returns at once. Thread-safe.
using ModelChangeFunction = std::function<void(ModelChange)>;

// What is configured about a model, beyond what the manager knows.
struct ModelPlace {
  std::string base_path;
  std::string platform;  // empty: by its files
  std::string load;      // "ALWAYS", "ON_DEMAND" or "NEVER"
  std::optional<core::VersionNumber> pinned_version;
};

// All models, by name. Thread-safe.
using ModelPlacesFunction = std::function<std::map<std::string, ModelPlace>()>;

}  // namespace penstock
