// SPDX-License-Identifier: Apache-2.0
// Keeps the versions of all models: loads what a source aspires to, unloads what it no longer does,
// and hands out references to what is ready. Decisions are per model and event driven: one slow
// load, one broken model or one slow request holds up nothing else.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "core/servable.h"

namespace penstock::core {

// The published states, with TensorFlow Serving's numbers.
enum class VersionState { kStart = 10, kLoading = 20, kAvailable = 30, kUnloading = 40, kEnd = 50 };

std::string_view VersionStateName(VersionState state);  // as "AVAILABLE"

// What is known of one version.
struct VersionStatus {
  ServableId id;
  VersionState state = VersionState::kStart;
  Status status;                                // why it ended or is being retried
  std::chrono::system_clock::time_point since;  // when it entered the state
};

class VersionEntry;  // implementation: one loaded version and its reference counts

// Pins one loaded version: it is not unloaded while a handle lives. Costs no write to a shared
// cache line. Move-only; one thread at a time; may be destroyed on any thread.
class Handle {
 public:
  Handle() = default;
  Handle(Handle&& other) noexcept : entry_(std::exchange(other.entry_, nullptr)) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(entry_, other.entry_);
    return *this;
  }
  ~Handle();

  Servable& servable() const;
  const ServableId& id() const;
  explicit operator bool() const { return entry_ != nullptr; }

 private:
  friend class Manager;
  explicit Handle(VersionEntry* entry) : entry_(entry) {}  // takes over one reference
  VersionEntry* entry_ = nullptr;
};

// Thread-safe.
class Manager final {
 public:
  // The newest ready version, or the one asked for. No lock. NOT_FOUND with TensorFlow Serving's
  // texts: "Servable not found for request: Latest(NAME)" / "Specific(NAME, V)".
  StatusOr<Handle> GetHandle(std::string_view name,
                             std::optional<VersionNumber> version = std::nullopt) const;
  // By label. INVALID_ARGUMENT "Unrecognized servable version label: L".
  StatusOr<Handle> GetHandleByLabel(std::string_view name, std::string_view label) const;

  // Every model that was ever configured and not removed, sorted.
  std::vector<std::string> ModelNames() const;
  // All known versions of a model, newest first; empty if the model is unknown.
  std::vector<VersionStatus> VersionStatuses(std::string_view name) const;
  // True if every configured model has a version available.
  bool IsReady() const;
};

}  // namespace penstock::core
