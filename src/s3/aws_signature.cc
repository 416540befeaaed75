// SPDX-License-Identifier: Apache-2.0
// AWS Signature Version 4. Client and server build the same text from the request
// (CanonicalRequest), and the client proves with a hash of it that it knows the secret key. So
// whatever the server can see of a request must be in the text exactly as it is sent.
#include "s3/aws_signature.h"

#include <fmt/chrono.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>

#include "base/encoding/hex.h"

namespace penstock {
namespace {

std::string Hex(std::string_view bytes) {
  std::string hex;
  AppendHex(hex, {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
  return hex;
}

std::string Sha256(std::string_view bytes) {
  std::string hash(EVP_MAX_MD_SIZE, '\0');
  unsigned size = 0;
  EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<uint8_t*>(hash.data()), &size,
             EVP_sha256(), nullptr);
  hash.resize(size);
  return hash;
}

std::string HmacSha256(std::string_view key, std::string_view text) {
  std::string mac(EVP_MAX_MD_SIZE, '\0');
  unsigned size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const uint8_t*>(text.data()), text.size(),
       reinterpret_cast<uint8_t*>(mac.data()), &size);
  mac.resize(size);
  return mac;
}

bool IsUnreserved(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_' || c == '.' || c == '~';
}

// Removes spaces at both ends, and replaces several in a row by one.
std::string SingleSpaced(std::string_view text) {
  std::string trimmed;
  for (const char c : text) {
    const bool is_space = c == ' ' || c == '\t';
    if (!is_space) {
      trimmed += c;
    } else if (!trimmed.empty() && trimmed.back() != ' ') {
      trimmed += ' ';
    }
  }
  if (!trimmed.empty() && trimmed.back() == ' ') trimmed.pop_back();
  return trimmed;
}

}  // namespace

std::string UriEscape(std::string_view text, bool keeps_slashes) {
  constexpr std::string_view kUpperHexDigits = "0123456789ABCDEF";
  std::string escaped;
  for (const char c : text) {
    if (IsUnreserved(c) || (c == '/' && keeps_slashes)) {
      escaped += c;
      continue;
    }
    escaped += '%';
    escaped += kUpperHexDigits[static_cast<uint8_t>(c) >> 4];
    escaped += kUpperHexDigits[static_cast<uint8_t>(c) & 15];
  }
  return escaped;
}

std::string QueryText(const std::map<std::string, std::string>& query) {
  // The signature sorts by escaped names, which may have another order than the names.
  std::map<std::string, std::string> escaped;
  for (const auto& [name, value] : query) {
    escaped.emplace(UriEscape(name, false), UriEscape(value, false));
  }
  std::string text;
  for (const auto& [name, value] : escaped) {
    text += fmt::format("{}{}={}", text.empty() ? "" : "&", name, value);
  }
  return text;
}

std::string Sha256Hex(std::string_view bytes) { return Hex(Sha256(bytes)); }

std::string SignedHeaderNames(const SignedRequest& request) {
  std::string names;
  for (const auto& [name, value] : request.headers) {
    names += (names.empty() ? "" : ";") + name;
  }
  return names;
}

std::string CanonicalRequest(std::string_view method, const SignedRequest& request,
                             std::string_view payload_hash) {
  // The server builds the same text from the request that it receives. So each byte matters, also
  // the order of the headers: a std::map sorts them by name, as the signature wants.
  std::string text = fmt::format("{}\n{}\n{}\n", method, request.path, QueryText(request.query));
  for (const auto& [name, value] : request.headers) {
    text += fmt::format("{}:{}\n", name, SingleSpaced(value));
  }
  return text + fmt::format("\n{}\n{}", SignedHeaderNames(request), payload_hash);
}

std::string Authorization(const AwsCredentials& credentials, std::string_view region,
                          std::string_view service, std::string_view date_time,
                          std::string_view canonical_request, std::string_view signed_headers) {
  const std::string_view date = date_time.substr(0, 8);
  const std::string scope = fmt::format("{}/{}/{}/aws4_request", date, region, service);
  const std::string to_sign =
      fmt::format("AWS4-HMAC-SHA256\n{}\n{}\n{}", date_time, scope, Sha256Hex(canonical_request));
  // The secret never signs a request itself. A key that is good for one day, region and service is
  // derived from it step by step.
  std::string key = HmacSha256("AWS4" + credentials.secret_access_key, date);
  for (const std::string_view part : {region, service, std::string_view("aws4_request")}) {
    key = HmacSha256(key, part);
  }
  return fmt::format("AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={}, Signature={}",
                     credentials.access_key_id, scope, signed_headers,
                     Hex(HmacSha256(key, to_sign)));
}

void SignRequest(const AwsCredentials& credentials, std::string_view region,
                 std::chrono::system_clock::time_point now, SignedRequest& request) {
  if (credentials.access_key_id.empty()) return;
  // The requests have no body.
  const std::string payload_hash = Sha256Hex("");
  const std::string date_time =
      fmt::format("{:%Y%m%dT%H%M%SZ}", fmt::gmtime(std::chrono::system_clock::to_time_t(now)));
  request.headers["x-amz-date"] = date_time;
  request.headers["x-amz-content-sha256"] = payload_hash;
  if (!credentials.session_token.empty()) {
    request.headers["x-amz-security-token"] = credentials.session_token;
  }
  request.headers["authorization"] =
      Authorization(credentials, region, "s3", date_time,
                    CanonicalRequest("GET", request, payload_hash), SignedHeaderNames(request));
}

}  // namespace penstock
