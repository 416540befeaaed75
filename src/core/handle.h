// SPDX-License-Identifier: Apache-2.0
// Keeps a loaded version in memory while a request uses it.
#pragma once

#include <utility>

#include "core/servable.h"

namespace penstock::core {

class VersionEntry;  // internal: one loaded version and its reference counts

// Pins one loaded version: the version is not unloaded while a handle to it exists. Keep it for one
// request, and not longer: an unload, and with it a new version that needs the memory, waits for
// it. A handle costs no write to a shared cache line. It can be moved, and is copied only by Share.
// One thread at a time; any thread may destroy it.
class Handle {
 public:
  Handle() = default;
  Handle(Handle&& other) noexcept : entry_(std::exchange(other.entry_, nullptr)) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(entry_, other.entry_);
    return *this;
  }
  ~Handle();

  // Returns another handle to the same version. Requires that *this has a version.
  Handle Share() const;
  Servable& servable() const;
  const ServableId& id() const;
  explicit operator bool() const { return entry_ != nullptr; }

 private:
  friend class Manager;
  explicit Handle(VersionEntry* entry) : entry_(entry) {}  // takes over one reference
  VersionEntry* entry_ = nullptr;
};

}  // namespace penstock::core
