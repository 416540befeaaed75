// SPDX-License-Identifier: Apache-2.0
// Finds the keys that sign requests, and renews them.
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
#include "s3/aws_container.h"
#include "s3/aws_keys.h"
#include "s3/aws_signature.h"

namespace penstock {

// Returns the value of an environment variable; empty if it is not set.
using Environment = std::function<std::string(const char* name)>;

// Where to search for keys. Immutable.
struct AwsKeySources {
  AwsCredentials environment = {};    // AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
  std::string credentials_file = {};  // AWS_SHARED_CREDENTIALS_FILE; empty: none
  std::string config_file = {};       // AWS_CONFIG_FILE; empty: none
  std::string profile = "default";    // AWS_PROFILE
  bool needs_profile = false;         // it is an error if no file has the profile
  AwsContainer container = {};
};
// Reads the variables that the official AWS tools use, with the same defaults. Opens no file.
AwsKeySources FindAwsKeySources(const Environment& environment);

// Returns the region of the profile; empty if it has none. Errors as of
// AwsCredentialsProvider::Check.
StatusOr<std::string> ProfileRegion(const AwsKeySources& sources);

// Provides the first keys found, in this order: variables, files, the container's host. Keys that
// expire are renewed five minutes before. If that fails, they are used until they expire.
//
//   AwsCredentialsProvider provider(FindAwsKeySources(environment));
//   TRY(provider.Check());                                        // at the start of the server
//   ASSIGN_OR_RETURN(const AwsKeys keys, provider.Get(is_cancelled));  // for each request
//   ...                                                           // the store refuses the keys:
//   ASSIGN_OR_RETURN(const bool has_others, provider.Renew(keys.credentials, is_cancelled));
//
// Thread-safe: one thread searches for keys; the others wait for it if they have none.
class AwsCredentialsProvider final {
 public:
  using WallClock = std::function<std::chrono::system_clock::time_point()>;

  explicit AwsCredentialsProvider(AwsKeySources sources,
                                  WallClock now = &std::chrono::system_clock::now)
      : sources_(std::move(sources)), now_(std::move(now)) {}

  // Checks the variables and files without a request. Call it first. INVALID_ARGUMENT says which
  // variable, or which file and line, is wrong, and never quotes keys.
  Status Check() EXCLUDES(mutex_);

  // Returns the keys. While they are valid this reads no files and makes no requests. Errors as of
  // Check and AskContainer.
  StatusOr<AwsKeys> Get(const std::atomic<bool>& is_cancelled) EXCLUDES(mutex_);

  // Searches for keys again. Call it when the server has refused `used`. Returns true if there are
  // other keys now. On an error the old keys are kept.
  StatusOr<bool> Renew(const AwsCredentials& used, const std::atomic<bool>& is_cancelled)
      EXCLUDES(mutex_);

 private:
  using Time = std::chrono::system_clock::time_point;

  // Searches for keys, or waits for the thread that does and shares its error.
  Status Fetch(const std::atomic<bool>& is_cancelled) EXCLUDES(mutex_);
  // Ends a search: keeps the keys, sets the time of the next search, and wakes those that wait.
  Status Take(StatusOr<AwsKeys> keys) EXCLUDES(mutex_);
  // True if there are keys that have not expired.
  bool AreValid() const REQUIRES(mutex_);

  const AwsKeySources sources_;
  const WallClock now_;
  Mutex mutex_;
  CondVar fetched_;
  bool is_looking_ GUARDED_BY(mutex_) = false;
  uint64_t looks_ GUARDED_BY(mutex_) = 0;           // number of finished searches
  Status last_ GUARDED_BY(mutex_);                  // result of the last search
  std::optional<AwsKeys> keys_ GUARDED_BY(mutex_);  // nullopt: not searched yet
  Time due_ GUARDED_BY(mutex_) = Time::max();       // time of the next search, if there are keys
};

}  // namespace penstock
