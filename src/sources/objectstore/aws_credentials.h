// SPDX-License-Identifier: Apache-2.0
// The keys that requests are signed with, and where they come from.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "base/mutex.h"
#include "base/status.h"
#include "sources/objectstore/aws_container.h"
#include "sources/objectstore/aws_keys.h"
#include "sources/objectstore/aws_signature.h"

namespace penstock {

// The value of an environment variable; empty if it is not set.
using Environment = std::function<std::string(const char* name)>;

// Where keys may be. Immutable.
struct AwsPlaces {
  AwsCredentials environment = {};    // AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
  std::string credentials_file = {};  // AWS_SHARED_CREDENTIALS_FILE; empty: none
  std::string config_file = {};       // AWS_CONFIG_FILE; empty: none
  std::string profile = "default";    // AWS_PROFILE
  bool needs_profile = false;         // it is an error if no file has it
  AwsContainer container = {};
};
AwsPlaces AwsPlacesOf(const Environment& environment);

// The region of the profile; empty if it says none. Errors as of AwsCredentialsProvider::Check.
StatusOr<std::string> ProfileRegion(const AwsPlaces& places);

// The first keys that the places have, in their order: variables, files, the container's host.
// Those that end are renewed some minutes before; while that fails, they are used as long as they
// are valid. Thread-safe: one thread looks for keys, others wait for it if they have none.
class AwsCredentialsProvider final {
 public:
  using WallClock = std::function<std::chrono::system_clock::time_point()>;

  explicit AwsCredentialsProvider(AwsPlaces places, WallClock now = &std::chrono::system_clock::now)
      : places_(std::move(places)), now_(std::move(now)) {}

  // To be called first: whether the variables and files make sense; asks nobody. INVALID_ARGUMENT
  // says which variable, or file and line, is wrong, and never quotes keys.
  Status Check() EXCLUDES(mutex_);

  // Reads no files, and asks nobody, while the keys are valid. Errors as of Check and AskContainer.
  StatusOr<AwsKeys> Get(const std::atomic<bool>& is_cancelled) EXCLUDES(mutex_);

  // To be called when `used` were refused: looks for keys again. True if there are other ones now.
  // After an error, those that there were are kept.
  StatusOr<bool> Renew(const AwsCredentials& used, const std::atomic<bool>& is_cancelled)
      EXCLUDES(mutex_);

 private:
  using Time = std::chrono::system_clock::time_point;

  // Looks for keys, or waits for the thread that does, and shares its error.
  Status Look(const std::atomic<bool>& is_cancelled) EXCLUDES(mutex_);
  Status Take(StatusOr<AwsKeys> keys) EXCLUDES(mutex_);
  bool AreValid() const REQUIRES(mutex_);

  const AwsPlaces places_;
  const WallClock now_;
  Mutex mutex_;
  CondVar looked_;
  bool is_looking_ GUARDED_BY(mutex_) = false;
  uint64_t looks_ GUARDED_BY(mutex_) = 0;           // that are over
  Status last_ GUARDED_BY(mutex_);                  // of them
  std::optional<AwsKeys> keys_ GUARDED_BY(mutex_);  // nullopt: not looked for yet
  Time due_ GUARDED_BY(mutex_) = Time::max();       // for a look, if there are keys
};

}  // namespace penstock
