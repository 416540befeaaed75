// SPDX-License-Identifier: Apache-2.0
// The changes of the models that clients and operators can request while the server runs.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "base/clock.h"
#include "base/status.h"
#include "config/config_files.h"
#include "core/servable.h"

namespace penstock {

// Replaces the list of all models.
struct ModelListChange {
  std::vector<ConfiguredModel> models;
};

// Changes one model.
struct ModelChange {
  enum class Kind { kPut, kRemove, kLoad, kUnload, kLabel, kUnlabel, kPin, kUnpin };

  Kind kind = Kind::kPut;
  std::string model;
  std::string config;           // for kPut: a serialized tensorflow.serving.ModelConfig
  std::string label;            // for kLabel and kUnlabel
  core::VersionNumber version;  // for kLabel and kPin
};

// One request, from a gRPC reload or the admin API. The receiver queues it:
// changes are made one after the other, on a thread of their own.
//
//   ChangeRequest request{.by = net::CallerOf(*call), .change = ModelListChange{models}};
//   request.done = [call](Status status) { Answer(*call, status); };
//   change_models(std::move(request));   // a ChangeFunction; returns at once
//
// One thread at a time.
struct ChangeRequest {
  std::string by = "a client";  // who made the request, for the log
  std::variant<ModelListChange, ModelChange> change;
  SteadyTime deadline = kNoDeadline;
  std::function<bool()> is_wanted = {};  // false once the client has left; call it on any thread
  // Gets OK once the change is in effect, or the reason for its failure. A new list is in effect
  // once every model has an available version. Called once, on any thread.
  absl::AnyInvocable<void(Status)> done = {};
};

// Describes the request for the log: who asks for what.
std::string Describe(const ChangeRequest& request);

// Accepts a request, and returns at once. Refuses it through `done` if too many wait. Thread-safe.
using ChangeFunction = std::function<void(ChangeRequest)>;

// The configuration of a model that the manager does not have.
struct ModelEntry {
  std::string base_path;
  std::string platform;  // empty: chosen by the model's files
  std::string load;      // "ALWAYS", "ON_DEMAND" or "NEVER"
  std::optional<core::VersionNumber> pinned_version;
};

// Returns all models by name. Thread-safe.
using ModelEntriesFunction = std::function<std::map<std::string, ModelEntry>()>;

}  // namespace penstock
