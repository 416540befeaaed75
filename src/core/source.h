// SPDX-License-Identifier: Apache-2.0
// Where versions come from: a folder, a fixed list, an object store.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "core/loader.h"
#include "core/servable.h"

namespace penstock::core {

// What a version is wanted for.
enum class VersionRole {
  kMain,   // for all requests
  kLabel,  // only because a label names it: requests that name no version get a main one if any is
           // ready
  kReserve,  // loaded only while no version is ready and the main ones could not be loaded
};

// A version that a source wants loaded, and how; or why it could make no loader, which is then the
// version's status and harms no other.
struct AspiredVersion {
  VersionNumber version;
  StatusOr<std::unique_ptr<Loader>> loader;
  // State of what is loaded, e.g. of the version's files. With another value a version that could
  // not be loaded is tried again at once, as if it were new; one that is loaded stays as it is.
  uint64_t revision = 0;
  VersionRole role = VersionRole::kMain;
};

// Takes what sources find; the Manager is one. Thread-safe.
class AspiredTarget {
 public:
  virtual ~AspiredTarget() = default;

  // The complete list of the versions of `model` that shall be loaded. A version missing from it is
  // no longer wanted; one that is loaded already stays as it is, and its new loader is only used
  // if it is to be loaded again. Does nothing if the model is not configured. Returns at once.
  // `generation`: of the configuration for which it was found (ModelConfig::generation); what was
  // found for an older one than is in force is left alone if that asks for anything else. 0: for
  // the one in force, whichever it is.
  virtual void SetAspired(std::string_view model, std::vector<AspiredVersion> versions,
                          uint64_t generation = 0) = 0;

  // The source cannot tell which versions there are (error), or can again (OK). Unloads nothing.
  // FAILED_PRECONDITION: it can, but one of them is not complete; the source waits for it.
  // `generation` as above.
  virtual void SetSourceStatus(std::string_view model, Status status, uint64_t generation = 0) = 0;
};

// Watches the versions of some models and tells a target. Thread-safe.
class Source {
 public:
  virtual ~Source() = default;

  // Starts telling `target`, which outlives the source or its Stop, on a thread of the source's
  // own. Call it once.
  virtual void Start(AspiredTarget& target) = 0;
  // After the return the target is not called any more.
  virtual void Stop() = 0;
};

}  // namespace penstock::core
