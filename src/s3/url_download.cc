// SPDX-License-Identifier: Apache-2.0
// One request for each address on the way to the file. A server says the size only if it likes to,
// so the bytes are counted as they come.
#include "s3/url_download.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <openssl/evp.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "base/clock.h"
#include "s3/http_url.h"

namespace penstock {
namespace {

// `lower` has no capital letters, `text` may have some.
bool BeginsWith(std::string_view text, std::string_view lower) {
  return text.size() >= lower.size() &&
         std::ranges::equal(text.substr(0, lower.size()), lower, {}, absl::ascii_tolower);
}

// A URL in the parts that a request needs. One thread at a time.
struct WebUrl {
  HttpEndpoint endpoint;
  std::string target;
};

std::optional<WebUrl> ParseWebUrl(std::string_view text) {
  if (!IsWebUrl(text)) return std::nullopt;
  std::string lower(text.substr(0, text.find('#')));
  // A scheme may have capital letters.
  for (size_t i = 0; lower[i] != ':'; ++i) lower[i] = absl::ascii_tolower(lower[i]);
  text = lower;
  const bool has_odd_bytes = std::ranges::any_of(text, [](char c) { return c <= ' ' || c > '~'; });
  const size_t host = text.find("//") + 2;
  const size_t target = std::min(text.find_first_of("/?", host), text.size());
  WebUrl url;
  url.endpoint.ca_variable = "SSL_CERT_FILE";  // which OpenSSL reads
  if (has_odd_bytes || !ParseEndpoint(text.substr(0, target), url.endpoint)) return std::nullopt;
  url.target = text.substr(target);
  if (!url.target.starts_with('/')) url.target.insert(0, "/");
  return url;
}

bool HasScheme(std::string_view location) {
  const size_t end = location.find_first_of(":/?#");
  return end != std::string_view::npos && location[end] == ':';
}

// Takes "." and ".." out of a path, as section 5.2.4 of RFC 3986 says.
std::string WithoutDots(std::string_view path) {
  std::vector<std::string_view> kept;
  std::string_view part;
  for (size_t start = 1; start <= path.size(); start += part.size() + 1) {
    part = path.substr(start, path.find('/', start) - start);
    if (part == ".." && !kept.empty()) kept.pop_back();
    if (part != "." && part != "..") kept.push_back(part);
  }
  const bool is_folder = part == "." || part == "..";
  return fmt::format("/{}{}", fmt::join(kept, "/"), is_folder && !kept.empty() ? "/" : "");
}

// Returns where a redirect leads to, as section 5.2.2 of RFC 3986 says. `location` may be a whole
// URL, one without a scheme, a path, or a query.
std::string Follow(const WebUrl& from, std::string_view location) {
  location = location.substr(0, location.find('#'));
  if (HasScheme(location)) return std::string(location);
  const std::string_view scheme = from.endpoint.tls ? "https:" : "http:";
  if (location.starts_with("//")) return fmt::format("{}{}", scheme, location);
  const std::string origin = fmt::format("{}//{}", scheme, from.endpoint.Authority());
  if (location.empty()) return fmt::format("{}{}", origin, from.target);
  const std::string_view base = PathOfUrl(from.target);
  if (location.starts_with('?')) return fmt::format("{}{}{}", origin, base, location);
  const size_t query = std::min(location.find('?'), location.size());
  const std::string path = WithoutDots(
      fmt::format("{}{}", location.starts_with('/') ? "" : base.substr(0, base.rfind('/') + 1),
                  location.substr(0, query)));
  return fmt::format("{}{}{}", origin, path, location.substr(query));
}

bool IsRedirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

Status StatusOfDownload(int status) {
  switch (status) {
    case 404:
    case 410:
      return Error(StatusCode::kNotFound, "the server does not have it (HTTP status {})", status);
    case 401:
    case 403:
      return Error(StatusCode::kPermissionDenied, "the server refuses it (HTTP status {})", status);
    default:
      return Error(StatusCode::kUnavailable, "the server answers with HTTP status {}", status);
  }
}

// The file that is written, and what is counted on the way. One thread at a time.
class Target final {
 public:
  Target(const std::string& path, const DownloadLimits& limits)
      : path_(path),
        limits_(limits),
        end_(Clock::Real().Now() + limits.time_max),
        file_(std::fopen(path.c_str(), "wbe")),
        digest_(EVP_MD_CTX_new()) {
    EVP_DigestInit_ex(digest_.get(), EVP_sha256(), nullptr);
  }
  ~Target() {
    if (is_complete_) return;
    file_.reset();
    std::remove(path_.c_str());
  }
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;

  Status CheckOpen() const {
    if (file_ != nullptr) return OkStatus();
    return Error(StatusCode::kInternal, "cannot write {}: {}", path_,
                 std::generic_category().message(errno));
  }

  // Takes a piece of an answer. Only that of the file itself is kept.
  Status Take(const HttpHead& head, std::string_view piece) {
    if (Clock::Real().Now() > end_) return TooLate();
    seen_ += piece.size();
    if (seen_ > limits_.bytes_max)
      return Error(StatusCode::kResourceExhausted, "it has more than {} bytes", limits_.bytes_max);
    if (head.status != 200) return OkStatus();
    if (const std::string_view coding = head.Header("content-encoding");
        !coding.empty() && coding != "identity")
      return Error(StatusCode::kUnavailable,
                   "the server sends it compressed ({}), although nobody asked for that", coding);
    EVP_DigestUpdate(digest_.get(), piece.data(), piece.size());
    bytes_ += piece.size();
    if (std::fwrite(piece.data(), 1, piece.size(), file_.get()) == piece.size()) return OkStatus();
    return WriteError();
  }

  // The end of the time for the whole download.
  SteadyTime end() const { return end_; }
  Status TooLate() const {
    return Error(StatusCode::kDeadlineExceeded, "it is not complete after {:g} s",
                 std::chrono::duration<double>(limits_.time_max).count());
  }

  StatusOr<DownloadedFile> Finish() {
    if (std::fflush(file_.get()) != 0) return WriteError();
    is_complete_ = true;
    DownloadedFile done{.bytes = bytes_};
    EVP_DigestFinal_ex(digest_.get(), done.sha256.data(), nullptr);
    return done;
  }

 private:
  struct CloseFile {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  struct FreeDigest {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };

  Status WriteError() const {
    return Error(errno == ENOSPC ? StatusCode::kResourceExhausted : StatusCode::kInternal,
                 "cannot write {}: {}", path_, std::generic_category().message(errno));
  }

  const std::string path_;
  const DownloadLimits& limits_;
  const SteadyTime end_;
  std::unique_ptr<std::FILE, CloseFile> file_;
  const std::unique_ptr<EVP_MD_CTX, FreeDigest> digest_;
  uint64_t seen_ = 0;   // bytes of all answers
  uint64_t bytes_ = 0;  // of the file
  bool is_complete_ = false;
};

StatusOr<DownloadedFile> Download(const std::string& address, const std::string& path,
                                  const DownloadLimits& limits,
                                  const std::atomic<bool>& is_cancelled) {
  Target file(path, limits);
  TRY(file.CheckOpen());
  std::string from = address;
  HttpClientOptions options = limits.http;
  options.end = file.end();
  for (int redirects = 0;; ++redirects) {
    const std::optional<WebUrl> url = ParseWebUrl(from);
    if (!url)
      return InvalidArgument(
          "{} is no URL that can be used; it should look like https://host/model.pb, without a "
          "user name",
          redirects > 0 ? fmt::format("the redirect to {:.300}", UrlForLogs(from)) : "it");
    HttpClient client(url->endpoint, options);
    const auto sink = [&](const HttpHead& head, std::string_view piece) {
      return file.Take(head, piece);
    };
    const StatusOr<HttpHead> head =
        client.Get(url->target, {{"host", url->endpoint.Authority()}, {"user-agent", "penstock"}},
                   sink, is_cancelled);
    if (!head.ok())
      return Clock::Real().Now() > file.end() && !is_cancelled ? file.TooLate() : head.status();
    if (head->status == 200) return file.Finish();
    const std::string_view location = head->Header("location");
    if (!IsRedirect(head->status) || location.empty()) return StatusOfDownload(head->status);
    if (redirects == limits.redirects_max)
      return Error(StatusCode::kUnavailable, "more than {} redirects", limits.redirects_max);
    from = Follow(*url, location);
    if (url->endpoint.tls && !BeginsWith(from, "https://"))
      return Error(StatusCode::kUnavailable, "the redirect to {:.300} leaves https",
                   UrlForLogs(from));
  }
}

}  // namespace

bool IsWebUrl(std::string_view text) {
  return BeginsWith(text, "http://") || BeginsWith(text, "https://");
}

std::string UrlForLogs(std::string_view url) {
  url = url.substr(0, url.find_first_of("?#"));
  const size_t slashes = url.find("//");
  if (slashes == std::string_view::npos) return std::string(url);
  const size_t host = slashes + 2;
  const size_t user_end = url.substr(0, url.find('/', host)).rfind('@');
  if (user_end == std::string_view::npos || user_end < host) return std::string(url);
  return fmt::format("{}{}", url.substr(0, host), url.substr(user_end + 1));
}

std::string_view PathOfUrl(std::string_view url) {
  url = url.substr(0, url.find_first_of("?#"));
  const size_t host = IsWebUrl(url) ? url.find("//") + 2 : 0;
  const size_t path = url.find('/', host);
  return path == std::string_view::npos ? std::string_view("/") : url.substr(path);
}

StatusOr<DownloadedFile> DownloadUrl(const std::string& url, const std::string& path,
                                     const DownloadLimits& limits,
                                     const std::atomic<bool>& is_cancelled) {
  StatusOr<DownloadedFile> done = Download(url, path, limits, is_cancelled);
  if (done.ok()) return done;
  return Error(done.status().code(), "cannot download {:.300}: {}", UrlForLogs(url),
               MessageOf(done.status()));
}

}  // namespace penstock
