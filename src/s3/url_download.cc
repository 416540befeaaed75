// SPDX-License-Identifier: Apache-2.0
// One request for each address on the way to the file. A server says the size only if it likes to,
// so the bytes are counted as they come.
#include "s3/url_download.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

#include "base/clock.h"
#include "s3/http_url.h"

namespace penstock {
namespace {

// A URL in the parts that a request needs. One thread at a time.
struct WebUrl {
  HttpEndpoint endpoint;
  std::string target;
};

std::optional<WebUrl> ParseWebUrl(std::string_view text) {
  if (!IsWebUrl(text)) return std::nullopt;
  text = text.substr(0, text.find('#'));
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

// Returns where a redirect leads to. `location` may be a whole URL, one without a scheme, or a
// path.
std::string Follow(const WebUrl& from, std::string_view location) {
  if (IsWebUrl(location)) return std::string(location);
  const std::string_view scheme = from.endpoint.tls ? "https:" : "http:";
  if (location.starts_with("//")) return fmt::format("{}{}", scheme, location);
  const std::string origin = fmt::format("{}//{}", scheme, from.endpoint.Authority());
  if (location.starts_with('/')) return fmt::format("{}{}", origin, location);
  const std::string_view path = PathOfUrl(from.target);
  return fmt::format("{}{}{}", origin, path.substr(0, path.rfind('/') + 1), location);
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
    if (Clock::Real().Now() > end_)
      return Error(StatusCode::kDeadlineExceeded, "it is not complete after {} s",
                   std::chrono::duration_cast<std::chrono::seconds>(limits_.time_max).count());
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
  for (int redirects = 0;; ++redirects) {
    const std::optional<WebUrl> url = ParseWebUrl(from);
    if (!url)
      return InvalidArgument("{} is no URL; it should look like https://host/model.pb",
                             redirects > 0 ? fmt::format("the redirect to {:.300}", from) : "it");
    HttpClient client(url->endpoint, limits.http);
    const auto sink = [&](const HttpHead& head, std::string_view piece) {
      return file.Take(head, piece);
    };
    ASSIGN_OR_RETURN(
        const HttpHead head,
        client.Get(url->target, {{"host", url->endpoint.Authority()}, {"user-agent", "penstock"}},
                   sink, is_cancelled));
    if (head.status == 200) return file.Finish();
    const std::string_view location = head.Header("location");
    if (!IsRedirect(head.status) || location.empty()) return StatusOfDownload(head.status);
    if (redirects == limits.redirects_max)
      return Error(StatusCode::kUnavailable, "more than {} redirects", limits.redirects_max);
    const bool was_tls = url->endpoint.tls;
    from = Follow(*url, location);
    if (was_tls && !from.starts_with("https://"))
      return Error(StatusCode::kUnavailable, "the redirect to {:.300} leaves https", from);
  }
}

}  // namespace

bool IsWebUrl(std::string_view text) {
  return text.starts_with("http://") || text.starts_with("https://");
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
  // What follows "?" may be a secret.
  return Error(done.status().code(), "cannot download {:.300}: {}", url.substr(0, url.find('?')),
               MessageOf(done.status()));
}

}  // namespace penstock
