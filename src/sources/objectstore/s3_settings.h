// SPDX-License-Identifier: Apache-2.0
// Where the object store is and who asks, as the environment says; and what an s3:// path means.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "sources/objectstore/aws_signature.h"
#include "sources/objectstore/http_client.h"

namespace penstock {

// Immutable.
struct S3Settings {
  HttpEndpoint endpoint;
  // True: the bucket is the first step of the path. False: it stands before the host's name.
  bool has_bucket_in_path = true;
  std::string region = "us-east-1";
  AwsCredentials credentials;
};

// The value of an environment variable; empty if it is not set.
using Environment = std::function<std::string(const char* name)>;

// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN; AWS_REGION, AWS_DEFAULT_REGION or
// S3_REGION; AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, or S3_ENDPOINT with S3_USE_HTTPS, else Amazon's
// own; S3_VERIFY_SSL=0; AWS_CA_BUNDLE. INVALID_ARGUMENT names the variable that makes no sense.
StatusOr<S3Settings> S3SettingsOf(const Environment& environment);

struct S3Location {
  std::string bucket;
  std::string prefix;  // ends with "/", or is empty
};

// True for s3://...
bool IsS3Path(std::string_view path);
// INVALID_ARGUMENT if there is no bucket, or one that cannot be.
StatusOr<S3Location> ParseS3Path(std::string_view path);

}  // namespace penstock
