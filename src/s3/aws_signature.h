// SPDX-License-Identifier: Apache-2.0
// Signs requests for S3 with AWS Signature Version 4 ("Authenticating Requests: Using the
// Authorization Header", in the Amazon S3 API Reference). All functions are thread-safe.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <string_view>

namespace penstock {

// A key pair, and the session token that keys with a limited life have.
struct AwsCredentials {
  std::string access_key_id;  // empty: requests are not signed
  std::string secret_access_key;
  std::string session_token;  // empty: none
  bool operator==(const AwsCredentials&) const = default;
};

// The signed parts of a request without a body. Header names are in lower case.
struct SignedRequest {
  std::string path;                          // escaped
  std::map<std::string, std::string> query;  // not escaped
  std::map<std::string, std::string> headers;
};

// Escapes all characters except letters, digits and "-_.~"; also keeps "/" if `keeps_slashes`.
std::string UriEscape(std::string_view text, bool keeps_slashes);

// Formats "a=b&c=d", escaped and in the order of the signature.
std::string QueryText(const std::map<std::string, std::string>& query);

// SHA-256 as lower-case hexadecimal digits.
std::string Sha256Hex(std::string_view bytes);

// The text whose hash is signed. For tests and messages.
std::string CanonicalRequest(std::string_view method, const SignedRequest& request,
                             std::string_view payload_hash);

// Adds x-amz-date, x-amz-content-sha256, x-amz-security-token and authorization to a GET without a
// body. The headers must contain "host". Headers that are added later are not signed, and a changed
// one makes the signature wrong. Does nothing without keys. A store accepts the signature for about
// 15 minutes around `now`.
void SignRequest(const AwsCredentials& credentials, std::string_view region,
                 std::chrono::system_clock::time_point now, SignedRequest& request);

// Returns the value of the authorization header for any method, service and payload. `date_time`
// has the format of x-amz-date. Signs all headers of the request.
std::string Authorization(const AwsCredentials& credentials, std::string_view region,
                          std::string_view service, std::string_view date_time,
                          std::string_view canonical_request, std::string_view signed_headers);
std::string SignedHeaderNames(const SignedRequest& request);

}  // namespace penstock
