// SPDX-License-Identifier: Apache-2.0
// The address that gives keys comes from an environment variable, so whoever sets it could send the
// server anywhere. Therefore plain HTTP is only spoken to addresses that no other machine can
// answer (IsNear), the size of the answer is limited, and errors quote nothing of it except its
// error text. Each value is checked before it becomes part of a header.
#include "s3/aws_container.h"

#include <arpa/inet.h>
#include <simdjson.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <utility>

#include "s3/http_url.h"
#include "s3/s3_listing.h"

namespace penstock {
namespace {

constexpr const char* kRelativeUri = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
constexpr const char* kFullUri = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
constexpr const char* kToken = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
constexpr const char* kTokenFile = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
// An answer has about a kilobyte. The address comes from a variable, so any server may answer.
constexpr size_t kAnswerBytesMax = 64 * 1024;
constexpr size_t kTokenBytesMax = 16 * 1024;

struct ContainerUrl {
  const char* variable;  // the variable with this address
  HttpEndpoint endpoint;
  std::string target;
};

// True for hosts that are reached without passing another machine. Only these are asked for keys
// over plain HTTP.
bool IsNear(const std::string& host) {
  // The link-local addresses of ECS and EKS, which lead to an agent on the same machine.
  if (host == "localhost" || host == "169.254.170.2" || host == "169.254.170.23") return true;
  in_addr four = {};
  if (inet_pton(AF_INET, host.c_str(), &four) == 1) return ntohl(four.s_addr) >> 24 == 127;
  in6_addr six = {};
  in6_addr eks = {};
  // Addresses are compared as bytes: an IPv6 address has many spellings.
  inet_pton(AF_INET6, "fd00:ec2::23", &eks);
  if (inet_pton(AF_INET6, host.c_str(), &six) != 1) return false;
  return IN6_IS_ADDR_LOOPBACK(&six) || std::memcmp(&six, &eks, sizeof six) == 0;
}

StatusOr<ContainerUrl> UrlOf(const AwsContainer& container) {
  if (!container.relative_uri.empty()) {
    const std::string& path = container.relative_uri;
    // The path goes into the request line unchanged. A line end in it would begin another header.
    if (!path.starts_with('/') || !IsPlain(path)) {
      return InvalidArgument("{} is '{}', but should be a path like /v2/credentials/id",
                             kRelativeUri, path);
    }
    return ContainerUrl{kRelativeUri, container.ecs, path};
  }
  const std::string& uri = container.full_uri;
  ContainerUrl url{kFullUri, {.ca_file = container.ca_file}, ""};
  const size_t scheme = uri.find("://");
  const size_t path = scheme == uri.npos ? uri.npos : uri.find_first_of("/?#", scheme + 3);
  const bool is_http = uri.starts_with("http://") || uri.starts_with("https://");
  if (!is_http || !IsPlain(uri) || uri.find('#') != uri.npos ||
      !ParseEndpoint(uri.substr(0, path), url.endpoint)) {
    return InvalidArgument("{} is '{}', but should be http[s]://host[:port][/path]", kFullUri, uri);
  }
  if (path != uri.npos) url.target = uri.substr(path);
  if (!url.target.starts_with('/')) url.target = "/" + url.target;
  if (url.endpoint.tls || IsNear(url.endpoint.host)) return url;
  return InvalidArgument(
      "{} is '{}', but keys are not asked for over plain http, unless of 127.0.0.0/8, [::1] or "
      "localhost, of 169.254.170.2 (ECS), or of 169.254.170.23 or [fd00:ec2::23] (EKS): it should "
      "begin with https://",
      kFullUri, uri);
}

StatusOr<std::string> ReadTokenFile(const std::string& file) {
  errno = 0;
  std::ifstream stream(file, std::ios::binary);
  // One byte more than allowed shows that the file is too long.
  std::string token(kTokenBytesMax + 1, '\0');
  stream.read(token.data(), static_cast<std::streamsize>(token.size()));
  if (!stream.is_open() || stream.bad()) {
    const char* const reason = std::strerror(errno);
    return InvalidArgument("{} is '{}', which cannot be read: {}", kTokenFile, file, reason);
  }
  token.resize(static_cast<size_t>(stream.gcount()));
  if (token.size() > kTokenBytesMax) {
    return InvalidArgument("{} is '{}', which has more than {} bytes", kTokenFile, file,
                           kTokenBytesMax);
  }
  // Most programs that write such a file end it with a line end.
  while (token.ends_with('\n') || token.ends_with('\r')) token.pop_back();
  if (token.empty()) return InvalidArgument("{} is '{}', which is empty", kTokenFile, file);
  return token;
}

// Returns the value of the authorization header; empty: none.
StatusOr<std::string> TokenOf(const AwsContainer& container) {
  std::string token = container.token;
  if (!container.token_file.empty()) {
    ASSIGN_OR_RETURN(token, ReadTokenFile(container.token_file));
  }
  const bool is_header = std::ranges::all_of(token, [](char c) { return c >= ' ' && c <= '~'; });
  if (is_header) return token;
  return InvalidArgument("{} has line ends or other odd bytes",
                         container.token_file.empty() ? kToken : kTokenFile);
}

// Returns a string member of the document; empty if it is missing.
std::string TextOf(const simdjson::dom::element& document, const char* name) {
  std::string_view text;
  if (document[name].get(text) != simdjson::SUCCESS) return "";
  return std::string(text);
}

StatusOr<AwsKeys> KeysOfDocument(const simdjson::dom::element& document, const char* variable,
                                 std::chrono::system_clock::time_point now) {
  AwsKeys keys;
  AwsCredentials& credentials = keys.credentials;
  const auto take = [&](const char* name, std::string& value, std::string& full_name) {
    full_name = fmt::format("{} of the answer to {}", name, variable);
    value = TextOf(document, name);
    return IsPlain(value) ? OkStatus()
                          : Error(StatusCode::kInternal, "{} {}", full_name, kNotPlain);
  };
  TRY(take("AccessKeyId", credentials.access_key_id, keys.access_key_id_name));
  TRY(take("SecretAccessKey", credentials.secret_access_key, keys.secret_access_key_name));
  TRY(take("Token", credentials.session_token, keys.session_token_name));
  if (credentials.access_key_id.empty() || credentials.secret_access_key.empty()) {
    return Error(StatusCode::kInternal,
                 "{}: the answer has no {}; it should be JSON with AccessKeyId, SecretAccessKey, "
                 "Token and Expiration",
                 variable, credentials.access_key_id.empty() ? "AccessKeyId" : "SecretAccessKey");
  }
  const std::string end = TextOf(document, "Expiration");
  if (end.empty()) return keys;
  // Without the Z the time zone is unknown, and the keys could end hours earlier.
  if (end.ends_with('Z')) keys.end = ParseTime(end, kXmlTime);
  if (!keys.end) {
    return Error(StatusCode::kInternal,
                 "{}: Expiration is '{}', but should be a time like 2026-11-22T12:00:00Z", variable,
                 end.substr(0, kQuotedMax));
  }
  if (*keys.end > now) return keys;
  return Error(StatusCode::kInternal,
               "{}: the keys have ended at {}: is the clock of this machine right?", variable,
               end.substr(0, kQuotedMax));
}

Status StatusOfAnswer(const ContainerUrl& url, int status, const std::string& body) {
  if (status == 200) return OkStatus();
  simdjson::dom::parser parser;
  simdjson::dom::element document;
  std::string said;
  if (parser.parse(body).get(document) == simdjson::SUCCESS) {
    // Some agents write the name with a capital letter.
    said = TextOf(document, "message");
    if (said.empty()) said = TextOf(document, "Message");
  }
  const std::string what =
      fmt::format("{}, {}, answers {}{}{}", url.variable, url.endpoint.Authority(), status,
                  said.empty() ? "" : ": ", said.substr(0, kQuotedMax));
  if (status == 429 || status >= 500) return Error(StatusCode::kUnavailable, "{}", what);
  if (status == 401 || status == 403) {
    return Error(StatusCode::kUnauthenticated, "{}; check {} or {}", what, kTokenFile, kToken);
  }
  return Error(StatusCode::kUnauthenticated, "{}; check the path '{}'", what, url.target);
}

}  // namespace

Status CheckContainer(const AwsContainer& container) { return UrlOf(container).status(); }

StatusOr<AwsKeys> AskContainer(const AwsContainer& container,
                               std::chrono::system_clock::time_point now,
                               const std::atomic<bool>& is_cancelled) {
  ASSIGN_OR_RETURN(const ContainerUrl url, UrlOf(container));
  ASSIGN_OR_RETURN(const std::string token, TokenOf(container));
  std::map<std::string, std::string> headers = {{"host", url.endpoint.Authority()},
                                                {"accept", "application/json"}};
  if (!token.empty()) headers["authorization"] = token;
  std::string body;
  // A new connection each time: keys are asked for rarely.
  HttpClient client(url.endpoint, container.http);
  const auto head = client.Get(
      url.target, headers,
      [&](const HttpHead&, std::string_view piece) {
        body += piece;
        if (body.size() <= kAnswerBytesMax) return OkStatus();
        return Error(StatusCode::kInternal, "the answer has more than {} bytes", kAnswerBytesMax);
      },
      is_cancelled);
  if (head.status().code() == StatusCode::kCancelled) return head.status();
  if (!head.ok()) {
    return Error(head.status().code(), "no keys came from {}: {}", url.variable,
                 MessageOf(head.status()));
  }
  TRY(StatusOfAnswer(url, head->status, body));
  simdjson::dom::parser parser;
  simdjson::dom::element document;
  if (parser.parse(body).get(document) != simdjson::SUCCESS) {
    return Error(StatusCode::kInternal, "{}: the answer is no JSON", url.variable);
  }
  return KeysOfDocument(document, url.variable, now);
}

}  // namespace penstock
