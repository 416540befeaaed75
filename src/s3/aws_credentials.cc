// SPDX-License-Identifier: Apache-2.0
// One thread at a time searches for keys, because a container's host should get one request and not
// one from each client; `is_looking_` marks it. Other threads use the keys that they have, and wait
// only if these have ended or the store has refused them. `looks_` counts the searches that are
// over, so a thread that waits knows a new result from an old one.
#include "s3/aws_credentials.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "s3/aws_profile.h"
#include "s3/http_client.h"

namespace penstock {
namespace {

// How long before their end keys are renewed, and the pause after a failure.
constexpr auto kEndMargin = std::chrono::minutes(5);
constexpr auto kFetchPause = std::chrono::seconds(10);

std::string FilePath(const Environment& environment, const char* variable, const char* usual) {
  const std::string home = environment("HOME");
  const std::string path = environment(variable);
  // A shell expands this only in some sources. AWS's own tools expand it too.
  if (path.starts_with("~/") && !home.empty()) return home + path.substr(1);
  if (!path.empty()) return path;
  return home.empty() ? "" : home + "/.aws/" + usual;
}

// "AWS_ACCESS_KEY_ID, or aws_access_key_id of profile 'x' in FILE or FILE, or ..."
std::string DescribeSources(const AwsKeySources& sources) {
  std::string text = "AWS_ACCESS_KEY_ID";
  const char* separator = "";
  for (const std::string* file : {&sources.credentials_file, &sources.config_file}) {
    if (file->empty()) continue;
    if (*separator == '\0') {
      text += fmt::format(", or aws_access_key_id of profile '{}' in ", sources.profile);
    }
    text += separator + *file;
    separator = " or ";
  }
  return text + ", or AWS_CONTAINER_CREDENTIALS_FULL_URI or _RELATIVE_URI";
}

StatusOr<AwsKeys> KeysOfEnvironment(const AwsCredentials& credentials) {
  AwsKeys keys{credentials, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"};
  // Half of a pair is a mistake. To go on to the next source would hide it.
  if (credentials.access_key_id.empty() != credentials.secret_access_key.empty()) {
    return InvalidArgument(
        "only one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set; both or none are needed");
  }
  for (const auto& [name, value] : {std::pair(&keys.access_key_id_name, &credentials.access_key_id),
                                    {&keys.secret_access_key_name, &credentials.secret_access_key},
                                    {&keys.session_token_name, &credentials.session_token}}) {
    if (!IsPlain(*value)) return InvalidArgument("{} {}", *name, kNotPlain);
  }
  return keys;
}

// Reads `key`. Sets `name` to a name for messages that includes the position. Returns false if the
// profile has no value, or an empty one.
StatusOr<bool> TakeValue(const AwsProfile& profile, const char* key, std::string& value,
                         std::string& name) {
  const auto found = profile.find(key);
  if (found == profile.end()) {
    name = key;
    return false;
  }
  name = fmt::format("{} ({})", key, found->second.endpoint);
  value = found->second.text;
  if (!IsPlain(value)) {
    return InvalidArgument("{}: {} {}", found->second.endpoint, key, kNotPlain);
  }
  return !value.empty();
}

// Returns nullopt if the profile has no keys.
StatusOr<std::optional<AwsKeys>> KeysOfProfile(const AwsProfile& profile) {
  AwsKeys keys;
  AwsCredentials& credentials = keys.credentials;
  ASSIGN_OR_RETURN(
      const bool has_id,
      TakeValue(profile, "aws_access_key_id", credentials.access_key_id, keys.access_key_id_name));
  ASSIGN_OR_RETURN(const bool has_secret,
                   TakeValue(profile, "aws_secret_access_key", credentials.secret_access_key,
                             keys.secret_access_key_name));
  TRY(TakeValue(profile, "aws_session_token", credentials.session_token, keys.session_token_name)
          .status());
  if (has_id != has_secret) {
    return InvalidArgument("{} stands there without {}",
                           has_id ? keys.access_key_id_name : keys.secret_access_key_name,
                           has_id ? "aws_secret_access_key" : "aws_access_key_id");
  }
  if (!has_id) return std::nullopt;
  return keys;
}

struct Profiles {
  std::optional<AwsProfile> credentials;
  std::optional<AwsProfile> config;
};

StatusOr<Profiles> ReadProfiles(const AwsKeySources& sources) {
  Profiles profiles;
  ASSIGN_OR_RETURN(
      profiles.credentials,
      ReadAwsProfile(sources.credentials_file, AwsFileKind::kCredentials, sources.profile));
  ASSIGN_OR_RETURN(profiles.config,
                   ReadAwsProfile(sources.config_file, AwsFileKind::kConfig, sources.profile));
  if (sources.needs_profile && !profiles.credentials && !profiles.config) {
    return InvalidArgument("AWS_PROFILE is '{}', but there is no such profile in '{}' or '{}'",
                           sources.profile, sources.credentials_file, sources.config_file);
  }
  return profiles;
}

// Returns the keys of the variables or files; nullopt if they have none.
StatusOr<std::optional<AwsKeys>> KeysAtHand(const AwsKeySources& sources) {
  ASSIGN_OR_RETURN(AwsKeys keys, KeysOfEnvironment(sources.environment));
  if (!keys.credentials.access_key_id.empty()) return keys;
  ASSIGN_OR_RETURN(const Profiles profiles, ReadProfiles(sources));
  // The credentials file comes first, as in the AWS command line.
  for (const auto* profile : {&profiles.credentials, &profiles.config}) {
    if (!*profile) continue;
    ASSIGN_OR_RETURN(std::optional<AwsKeys> found, KeysOfProfile(**profile));
    if (found) return found;
  }
  return std::nullopt;
}

StatusOr<AwsKeys> KeysOf(const AwsKeySources& sources, std::chrono::system_clock::time_point now,
                         const std::atomic<bool>& is_cancelled) {
  ASSIGN_OR_RETURN(std::optional<AwsKeys> keys, KeysAtHand(sources));
  // The container comes last, because it costs a request.
  if (keys) return *std::move(keys);
  if (sources.container.IsSet()) return AskContainer(sources.container, now, is_cancelled);
  // No keys is no error: a bucket may be public. The names tell an error later where keys could be.
  return AwsKeys{{}, DescribeSources(sources), "", ""};
}

}  // namespace

AwsKeySources FindAwsKeySources(const Environment& environment) {
  AwsKeySources sources;
  sources.environment = {environment("AWS_ACCESS_KEY_ID"), environment("AWS_SECRET_ACCESS_KEY"),
                         environment("AWS_SESSION_TOKEN")};
  sources.credentials_file = FilePath(environment, "AWS_SHARED_CREDENTIALS_FILE", "credentials");
  sources.config_file = FilePath(environment, "AWS_CONFIG_FILE", "config");
  const std::string profile = environment("AWS_PROFILE");
  sources.needs_profile = !profile.empty();
  if (sources.needs_profile) sources.profile = profile;
  sources.container.relative_uri = environment("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
  sources.container.full_uri = environment("AWS_CONTAINER_CREDENTIALS_FULL_URI");
  sources.container.token_file = environment("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
  sources.container.token = environment("AWS_CONTAINER_AUTHORIZATION_TOKEN");
  sources.container.ca_file = environment("AWS_CA_BUNDLE");
  return sources;
}

StatusOr<std::string> ProfileRegion(const AwsKeySources& sources) {
  ASSIGN_OR_RETURN(const Profiles profiles, ReadProfiles(sources));
  for (const auto* profile : {&profiles.credentials, &profiles.config}) {
    std::string region;
    std::string name;
    if (!*profile) continue;
    ASSIGN_OR_RETURN(const bool has_region, TakeValue(**profile, "region", region, name));
    if (has_region) return region;
  }
  return "";
}

Status AwsCredentialsProvider::Check() {
  ASSIGN_OR_RETURN(std::optional<AwsKeys> keys, KeysAtHand(sources_));
  // The container is not asked yet: the start of the server must not wait for the network.
  if (!keys && sources_.container.IsSet()) return CheckContainer(sources_.container);
  return Take(keys ? *std::move(keys) : AwsKeys{{}, DescribeSources(sources_), "", ""});
}

StatusOr<AwsKeys> AwsCredentialsProvider::Get(const std::atomic<bool>& is_cancelled) {
  {
    MutexLock lock(mutex_);
    // Valid keys are used while another thread renews them, so a renewal delays nobody.
    if (AreValid() && (is_looking_ || now_() < due_)) return *keys_;
  }
  const Status fetched = Fetch(is_cancelled);
  MutexLock lock(mutex_);
  if (!AreValid()) {
    return fetched.ok() ? Error(StatusCode::kUnavailable, "the keys have ended meanwhile")
                        : fetched;
  }
  if (!fetched.ok() && fetched.code() != StatusCode::kCancelled) {
    PENSTOCK_LOG(kWarning,
                 "the keys for the object store are used on, and could not be renewed: {}",
                 MessageOf(fetched));
  }
  return *keys_;
}

StatusOr<bool> AwsCredentialsProvider::Renew(const AwsCredentials& used,
                                             const std::atomic<bool>& is_cancelled) {
  {
    MutexLock lock(mutex_);
    if (keys_ && keys_->credentials != used) return true;  // another thread has renewed them
  }
  TRY(Fetch(is_cancelled));
  MutexLock lock(mutex_);
  return keys_->credentials != used;
}

Status AwsCredentialsProvider::Fetch(const std::atomic<bool>& is_cancelled) {
  {
    MutexLock lock(mutex_);
    const uint64_t before = looks_;
    while (is_looking_) {
      // In slices, because nobody notifies this thread of its cancel.
      fetched_.WaitUntil(mutex_, Clock::Real().Now() + kCancelSlice);
      if (is_cancelled) return absl::CancelledError("the request was cancelled");
      // If the other search was only cancelled, do our own: this call is not cancelled.
      if (looks_ != before && last_.code() != StatusCode::kCancelled) return last_;
    }
    is_looking_ = true;
  }
  return Take(KeysOf(sources_, now_(), is_cancelled));
}

Status AwsCredentialsProvider::Take(StatusOr<AwsKeys> keys) {
  MutexLock lock(mutex_);
  is_looking_ = false;
  ++looks_;
  last_ = keys.status();
  fetched_.NotifyAll();
  const Time soon = now_() + kFetchPause;
  if (!keys.ok()) {
    // A pause, so that a container that does not answer does not delay every request.
    if (keys_ && keys_->end) due_ = soon;
    return last_;
  }
  if (keys_ && keys_->credentials != keys->credentials) {
    PENSTOCK_LOG(kInfo, "the keys for the object store {}: {}",
                 keys->credentials.access_key_id.empty() ? "are gone" : "have changed",
                 keys->access_key_id_name);
  }
  keys_ = *std::move(keys);
  // Keys that live shorter than the margin would be due at once, again and again. Keys without an
  // end are read again only when the server refuses them.
  due_ = keys_->end ? std::max(soon, *keys_->end - kEndMargin) : Time::max();
  return OkStatus();
}

bool AwsCredentialsProvider::AreValid() const {
  return keys_ && (!keys_->end || now_() < *keys_->end);
}

}  // namespace penstock
