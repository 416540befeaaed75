// SPDX-License-Identifier: Apache-2.0
#include "s3/s3_settings.h"

#include <openssl/err.h>
#include <openssl/x509.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "s3/http_url.h"

namespace penstock {
namespace {

constexpr std::string_view kScheme = "s3://";

// False as TensorFlow writes it.
bool IsFalse(const std::string& text) { return text == "0" || text == "false"; }

Status TakeEndpoint(const char* variable, std::string_view text, HttpEndpoint& endpoint) {
  std::string_view rest = text;
  while (rest.ends_with('/')) rest.remove_suffix(1);
  if (ParseEndpoint(rest, endpoint)) return OkStatus();
  return InvalidArgument("{} is '{}', but should be http[s]://host[:port]", variable, text);
}

// Amazon's host for a region.
std::string AmazonHost(const std::string& region) {
  return fmt::format("s3.{}.amazonaws.com{}", region, region.starts_with("cn-") ? ".cn" : "");
}

// Returns the region of the first variable that is set, or else of the profile.
StatusOr<std::string> RegionOf(const Environment& environment, const AwsKeySources& sources) {
  // Both AWS's names and those of TensorFlow Serving, which users may have set already.
  for (const char* name : {"AWS_REGION", "AWS_DEFAULT_REGION", "S3_REGION"}) {
    const std::string region = environment(name);
    if (region.empty()) continue;
    const bool is_word = std::ranges::all_of(region, [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             c == '-' || c == '_';
    });
    if (is_word) return region;
    return InvalidArgument("{} is '{}', but should be a word like eu-west-1", name, region);
  }
  return ProfileRegion(sources);
}

struct FreeStore {
  void operator()(X509_STORE* store) const { X509_STORE_free(store); }
};

Status CheckAuthorities(const std::string& file) {
  if (file.empty()) return OkStatus();
  const std::unique_ptr<X509_STORE, FreeStore> store(X509_STORE_new());
  const bool is_good = X509_STORE_load_file(store.get(), file.c_str()) == 1;
  // OpenSSL's queue of errors belongs to the thread. What stays in it would show up in a later TLS
  // error.
  ERR_clear_error();
  if (is_good) return OkStatus();
  return InvalidArgument(
      "AWS_CA_BUNDLE is '{}', but should be a PEM file with certificates that can be read", file);
}

}  // namespace

StatusOr<S3Settings> S3SettingsOf(const Environment& environment) {
  S3Settings settings;
  const AwsKeySources sources = FindAwsKeySources(environment);
  settings.credentials = std::make_shared<AwsCredentialsProvider>(sources);
  TRY(settings.credentials->Check());
  ASSIGN_OR_RETURN(const std::string region, RegionOf(environment, sources));
  if (!region.empty()) settings.region = region;
  settings.endpoint.verifies_certificate = !IsFalse(environment("S3_VERIFY_SSL"));
  settings.endpoint.ca_file = environment("AWS_CA_BUNDLE");
  TRY(CheckAuthorities(settings.endpoint.ca_file));
  settings.endpoint.tls = !IsFalse(environment("S3_USE_HTTPS"));
  for (const char* variable : {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "S3_ENDPOINT"}) {
    const std::string text = environment(variable);
    if (text.empty()) continue;
    TRY(TakeEndpoint(variable, text, settings.endpoint));
    return settings;
  }
  // Only Amazon's own hosts are sure to have a DNS name for each bucket.
  settings.has_bucket_in_path = false;
  settings.endpoint.host = AmazonHost(settings.region);
  settings.endpoint.port = settings.endpoint.tls ? "443" : "80";
  return settings;
}

bool IsS3Path(std::string_view path) { return path.starts_with(kScheme); }

StatusOr<S3Location> ParseS3Path(std::string_view path) {
  S3Location location;
  const std::string_view rest = path.substr(std::min(path.size(), kScheme.size()));
  const size_t slash = rest.find('/');
  location.bucket = rest.substr(0, slash);
  const bool is_name = std::all_of(location.bucket.begin(), location.bucket.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_';
  });
  if (!IsS3Path(path) || !is_name || location.bucket.size() < 3 || location.bucket.size() > 255) {
    return InvalidArgument(
        "'{}' should be s3://bucket/path; a bucket's name has 3 to 255 letters, digits, '-', '.' "
        "and '_'",
        path);
  }
  if (slash != std::string_view::npos) location.prefix = rest.substr(slash + 1);
  // One slash at the end, so that "models/a" does not also match "models/ab".
  while (location.prefix.ends_with('/')) location.prefix.pop_back();
  if (!location.prefix.empty()) location.prefix += '/';
  return location;
}

}  // namespace penstock
