// SPDX-License-Identifier: Apache-2.0
// Signs requests for S3 as AWS Signature Version 4 says.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <string_view>

namespace penstock {

struct AwsCredentials {
  std::string access_key_id;  // empty: requests are not signed
  std::string secret_access_key;
  std::string session_token;  // empty: none
  bool operator==(const AwsCredentials&) const = default;
};

// What is signed of a request without a body. Names of headers in lower case.
struct SignedRequest {
  std::string path;                          // escaped
  std::map<std::string, std::string> query;  // not escaped
  std::map<std::string, std::string> headers;
};

// Escapes all but letters, digits and "-_.~"; and "/" unless it is to be kept.
std::string UriEscape(std::string_view text, bool keeps_slashes);

// "a=b&c=d": escaped and in the order in which it is signed.
std::string QueryText(const std::map<std::string, std::string>& query);

// SHA-256 as lower-case hexadecimal digits.
std::string Sha256Hex(std::string_view bytes);

// The text that is hashed first: for tests and messages.
std::string CanonicalRequest(std::string_view method, const SignedRequest& request,
                             std::string_view payload_hash);

// Adds x-amz-date, x-amz-content-sha256, x-amz-security-token and authorization to a GET without a
// body. The headers must hold "host".
void SignRequest(const AwsCredentials& credentials, std::string_view region,
                 std::chrono::system_clock::time_point now, SignedRequest& request);

// The value of the authorization header for any method, service and payload. `date_time` is as in
// x-amz-date. Signs all headers that are there.
std::string Authorization(const AwsCredentials& credentials, std::string_view region,
                          std::string_view service, std::string_view date_time,
                          std::string_view canonical_request, std::string_view signed_headers);
std::string SignedHeaderNames(const SignedRequest& request);

}  // namespace penstock
