// SPDX-License-Identifier: Apache-2.0
// The settings of the object store from the environment, and the parser of s3:// paths.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "s3/aws_credentials.h"
#include "s3/http_client.h"

namespace penstock {

// The endpoint, region and keys of the object store. Immutable.
struct S3Settings {
  HttpEndpoint endpoint;
  // True: the bucket is the first step of the path. False: it is a prefix of the host name.
  bool has_bucket_in_path = true;
  std::string region = "us-east-1";
  // All clients share it, so that keys are renewed only once. Never null.
  std::shared_ptr<AwsCredentialsProvider> credentials =
      std::make_shared<AwsCredentialsProvider>(AwsKeySources());
};

// Reads the settings from these: the variables and files of AwsKeySources; AWS_REGION,
// AWS_DEFAULT_REGION, S3_REGION or the profile's region; AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, or
// S3_ENDPOINT with S3_USE_HTTPS, else Amazon's own; S3_VERIFY_SSL=0; AWS_CA_BUNDLE. Errors name the
// variable, or the file and line, that is wrong.
StatusOr<S3Settings> S3SettingsOf(const Environment& environment);

// The place that an s3:// URL names.
struct S3Location {
  std::string bucket;
  std::string prefix;  // ends with "/", or is empty
};

// True for s3://...
bool IsS3Path(std::string_view path);
// Parses s3://bucket/prefix. INVALID_ARGUMENT if the bucket is missing or its name is not possible.
StatusOr<S3Location> ParseS3Path(std::string_view path);

}  // namespace penstock
