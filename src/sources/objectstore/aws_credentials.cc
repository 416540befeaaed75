// SPDX-License-Identifier: Apache-2.0
#include "sources/objectstore/aws_credentials.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/log.h"
#include "sources/objectstore/aws_profile.h"

namespace penstock {
namespace {

constexpr std::string_view kNotPlain = "has spaces, line ends or other odd bytes";

// What can stand in a header, without blanks.
bool IsPlain(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > ' ' && c <= '~'; });
}

std::string FilePath(const Environment& environment, const char* variable, const char* usual) {
  const std::string home = environment("HOME");
  const std::string path = environment(variable);
  if (path.starts_with("~/") && !home.empty()) return home + path.substr(1);
  if (!path.empty()) return path;
  return home.empty() ? "" : home + "/.aws/" + usual;
}

// "AWS_ACCESS_KEY_ID, or aws_access_key_id of profile 'x' in FILE or FILE"
std::string AllPlaces(const AwsPlaces& places) {
  std::string text = "AWS_ACCESS_KEY_ID";
  const char* separator = "";
  for (const std::string* file : {&places.credentials_file, &places.config_file}) {
    if (file->empty()) continue;
    if (*separator == '\0') {
      text += fmt::format(", or aws_access_key_id of profile '{}' in ", places.profile);
    }
    text += separator + *file;
    separator = " or ";
  }
  return text;
}

StatusOr<AwsKeys> KeysOfEnvironment(const AwsCredentials& credentials) {
  AwsKeys keys{credentials, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"};
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

// Sets `value`, and `name` to what it is called in messages. False if the profile does not have it,
// or has it empty.
StatusOr<bool> TakeValue(const AwsProfile& profile, const char* key, std::string& value,
                         std::string& name) {
  const auto found = profile.find(key);
  if (found == profile.end()) {
    name = key;
    return false;
  }
  name = fmt::format("{} ({})", key, found->second.place);
  value = found->second.text;
  if (!IsPlain(value)) {
    return InvalidArgument("{}: {} {}", found->second.place, key, kNotPlain);
  }
  return !value.empty();
}

// nullopt if the profile has none.
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

StatusOr<Profiles> ReadProfiles(const AwsPlaces& places) {
  Profiles profiles;
  ASSIGN_OR_RETURN(profiles.credentials, ReadAwsProfile(places.credentials_file,
                                                        AwsFileKind::kCredentials, places.profile));
  ASSIGN_OR_RETURN(profiles.config,
                   ReadAwsProfile(places.config_file, AwsFileKind::kConfig, places.profile));
  if (places.needs_profile && !profiles.credentials && !profiles.config) {
    return InvalidArgument("AWS_PROFILE is '{}', but there is no such profile in '{}' or '{}'",
                           places.profile, places.credentials_file, places.config_file);
  }
  return profiles;
}

StatusOr<AwsKeys> KeysOf(const AwsPlaces& places) {
  ASSIGN_OR_RETURN(AwsKeys keys, KeysOfEnvironment(places.environment));
  if (!keys.credentials.access_key_id.empty()) return keys;
  ASSIGN_OR_RETURN(const Profiles profiles, ReadProfiles(places));
  for (const auto* profile : {&profiles.credentials, &profiles.config}) {
    if (!*profile) continue;
    ASSIGN_OR_RETURN(std::optional<AwsKeys> found, KeysOfProfile(**profile));
    if (found) return *std::move(found);
  }
  return AwsKeys{{}, AllPlaces(places), "", ""};
}

}  // namespace

AwsPlaces AwsPlacesOf(const Environment& environment) {
  AwsPlaces places;
  places.environment = {environment("AWS_ACCESS_KEY_ID"), environment("AWS_SECRET_ACCESS_KEY"),
                        environment("AWS_SESSION_TOKEN")};
  places.credentials_file = FilePath(environment, "AWS_SHARED_CREDENTIALS_FILE", "credentials");
  places.config_file = FilePath(environment, "AWS_CONFIG_FILE", "config");
  const std::string profile = environment("AWS_PROFILE");
  places.needs_profile = !profile.empty();
  if (places.needs_profile) places.profile = profile;
  return places;
}

StatusOr<std::string> ProfileRegion(const AwsPlaces& places) {
  ASSIGN_OR_RETURN(const Profiles profiles, ReadProfiles(places));
  for (const auto* profile : {&profiles.credentials, &profiles.config}) {
    std::string region;
    std::string name;
    if (!*profile) continue;
    ASSIGN_OR_RETURN(const bool has_region, TakeValue(**profile, "region", region, name));
    if (has_region) return region;
  }
  return "";
}

StatusOr<AwsKeys> AwsCredentialsProvider::Get() {
  MutexLock lock(mutex_);
  if (!keys_) {
    ASSIGN_OR_RETURN(keys_, KeysOf(places_));
  }
  return *keys_;
}

StatusOr<bool> AwsCredentialsProvider::Renew(const AwsCredentials& used) {
  MutexLock lock(mutex_);
  if (keys_ && keys_->credentials != used) return true;  // another thread has renewed them
  ASSIGN_OR_RETURN(AwsKeys keys, KeysOf(places_));
  keys_ = std::move(keys);
  if (keys_->credentials == used) return false;
  PENSTOCK_LOG(kInfo, "the keys for the object store {}: {}",
               keys_->credentials.access_key_id.empty() ? "are gone" : "have changed",
               keys_->access_key_id_name);
  return true;
}

}  // namespace penstock
