// SPDX-License-Identifier: Apache-2.0
// The keys that requests are signed with, and where they come from.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "base/mutex.h"
#include "base/status.h"
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
};
AwsPlaces AwsPlacesOf(const Environment& environment);

// The region of the profile; empty if it says none. Errors as of AwsCredentialsProvider::Get.
StatusOr<std::string> ProfileRegion(const AwsPlaces& places);

// Keys, and what they are called where they stand, for messages.
struct AwsKeys {
  AwsCredentials credentials;
  std::string access_key_id_name;  // without keys: all places where they could be
  std::string secret_access_key_name;
  std::string session_token_name;
};

// The first keys that the places have, in their order. Thread-safe.
class AwsCredentialsProvider final {
 public:
  explicit AwsCredentialsProvider(AwsPlaces places) : places_(std::move(places)) {}

  // Reads no files once they have had an answer. INVALID_ARGUMENT or FAILED_PRECONDITION says which
  // variable, or file and line, is wrong, and never quotes what stands there.
  StatusOr<AwsKeys> Get() EXCLUDES(mutex_);

  // To be called when `used` were refused: reads the files again. True if there are other keys now.
  // After an error, those that there were are kept.
  StatusOr<bool> Renew(const AwsCredentials& used) EXCLUDES(mutex_);

 private:
  const AwsPlaces places_;
  Mutex mutex_;
  std::optional<AwsKeys> keys_ GUARDED_BY(mutex_);  // nullopt: not read yet
};

}  // namespace penstock
