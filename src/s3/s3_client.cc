// SPDX-License-Identifier: Apache-2.0
// A request passes three layers, each of which repeats it for its own reason. Get signs it with the
// current keys and sends it once. WithValidKeys repeats it if the store has refused the keys and
// there are newer ones. ListPage and Download repeat it after errors that may pass, with pauses
// that double.
//
// A download has no state but its file: it continues where the file ends, so it also continues
// after a restart of the server. What could make the parts differ is excluded: the request names
// the ETag of the listing, and the whole file is checked at the end.
#include "s3/s3_client.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <system_error>
#include <thread>
#include <utility>

#include "s3/content_range.h"
#include "s3/file_check.h"
#include "s3/retry_after.h"

namespace penstock {
namespace {

constexpr size_t kPageBytesMax = 8 << 20;  // a thousand of the longest keys take half of it
constexpr size_t kErrorBytesMax = 64 * 1024;
constexpr size_t kObjectsMax = 200'000;      // in one listing
constexpr size_t kWordsBytesMax = 64 << 20;  // limit of the keys and ETags of one listing
constexpr int kPagesMax = 2000;              // of one listing; pages may be empty
// A download that breaks after fewer new bytes has made no progress.
constexpr uintmax_t kProgressBytes = 64 * 1024;

// With Amazon's own hosts the bucket is part of the host name, unless it has a dot: then TLS could
// not check the name.
bool IsBucketInPath(const S3Settings& settings, const std::string& bucket) {
  return settings.has_bucket_in_path || bucket.find('.') != std::string::npos;
}

HttpEndpoint EndpointOf(const S3Settings& settings, const std::string& bucket) {
  HttpEndpoint endpoint = settings.endpoint;
  if (!IsBucketInPath(settings, bucket)) endpoint.host = bucket + "." + endpoint.host;
  return endpoint;
}

// True for temporary errors, after which a retry may succeed.
bool MayPass(const Status& status) {
  return status.code() == StatusCode::kUnavailable ||
         status.code() == StatusCode::kDeadlineExceeded || status.code() == StatusCode::kDataLoss;
}

// These check the error code, because some of the codes come with other statuses than 403.
bool IsUnknownKey(std::string_view code) {
  return code == "InvalidAccessKeyId" || code == "XAdminUserNotFound";
}
bool IsAboutToken(std::string_view code) {
  return code == "ExpiredToken" || code == "InvalidToken" || code == "TokenRefreshRequired";
}

// Collects a body of at most `bytes_max`.
HttpSink Collect(std::string& body, size_t bytes_max) {
  return [&body, bytes_max](const HttpHead&, std::string_view piece) {
    if (body.size() + piece.size() > bytes_max) {
      return Error(StatusCode::kInternal, "the answer has more than {} bytes", bytes_max);
    }
    body += piece;
    return OkStatus();
  };
}

// True if the answer holds the object from byte `first` to its end.
bool IsRestOf(const S3Object& object, uint64_t first, const HttpHead& answer) {
  const auto range = ParseContentRange(answer.Header("content-range"));
  return range && range->first == first && range->last + 1 == object.size &&
         range->total.value_or(object.size) == object.size;
}

Status FileError(const char* what, const std::string& path) {
  const int error = errno;
  const StatusCode code =
      error == ENOSPC || error == EDQUOT ? StatusCode::kResourceExhausted : StatusCode::kInternal;
  return Error(code, "cannot {} {}: {}", what, path, std::strerror(error));
}

// A file that is only appended to. One thread.
class OutputFile final {
 public:
  explicit OutputFile(const std::string& path)
      : path_(path), fd_(open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644)) {}
  ~OutputFile() {
    if (fd_ >= 0) close(fd_);
  }
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  // Truncates the file to `size`; further bytes follow there.
  Status Begin(uint64_t size) {
    if (fd_ < 0) return FileError("open", path_);
    if (ftruncate(fd_, static_cast<off_t>(size)) != 0) return FileError("write", path_);
    lseek(fd_, static_cast<off_t>(size), SEEK_SET);
    return OkStatus();
  }
  Status Write(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t written = write(fd_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) return FileError("write", path_);
      bytes.remove_prefix(static_cast<size_t>(written));
    }
    return OkStatus();
  }
  Status Sync() { return fsync(fd_) == 0 ? OkStatus() : FileError("write", path_); }

 private:
  const std::string path_;
  const int fd_;
};

// The bytes of all keys and ETags.
size_t WordsBytes(const S3Listing& page) {
  size_t bytes = 0;
  for (const S3Object& object : page.objects) bytes += object.key.size() + object.etag.size();
  for (const std::string& folder : page.folders) bytes += folder.size();
  return bytes;
}

// Says how much this clock is ahead of or behind the server's; or, without the server's time, that
// one of them is wrong.
std::string ReasonOfSkew(const HttpHead& head) {
  const auto theirs = ParseTime(std::string(head.Header("date")), kHttpTime);
  if (!theirs) return "the clock of this machine, or of the server, is wrong";
  const auto ahead =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now() - *theirs)
          .count();
  return fmt::format("the clock of this machine is {} s {} the server's: set it", std::abs(ahead),
                     ahead < 0 ? "behind" : "ahead of");
}

}  // namespace

S3Client::S3Client(const S3Settings& settings, std::string bucket, S3ClientOptions options,
                   const std::atomic<bool>& is_cancelled)
    : settings_(settings),
      bucket_(std::move(bucket)),
      options_(std::move(options)),
      is_cancelled_(is_cancelled),
      http_(EndpointOf(settings_, bucket_), options_.http) {}

StatusOr<S3Listing> S3Client::List(const std::string& prefix, bool stops_at_folders) {
  S3Listing all;
  std::string token;
  int pages = 0;
  size_t words_bytes = 0;
  do {
    ASSIGN_OR_RETURN(S3Listing page, ListPage(prefix, stops_at_folders, token));
    if (options_.on_page) options_.on_page();
    // A server with a mistake could send pages forever, or the same one again.
    if (++pages > kPagesMax || (!token.empty() && page.next_token == token)) {
      return Error(StatusCode::kInternal, "the listing of bucket '{}' does not end", bucket_);
    }
    token = std::move(page.next_token);
    words_bytes += WordsBytes(page);
    all.now = page.now;
    std::ranges::move(page.objects, std::back_inserter(all.objects));
    std::ranges::move(page.folders, std::back_inserter(all.folders));
    if (all.objects.size() + all.folders.size() > kObjectsMax || words_bytes > kWordsBytesMax) {
      return Error(StatusCode::kResourceExhausted,
                   "bucket '{}' has more than {} objects, or {} MiB of keys, below '{}'", bucket_,
                   kObjectsMax, kWordsBytesMax >> 20, prefix);
    }
  } while (!token.empty());
  return all;
}

StatusOr<S3Listing> S3Client::ListPage(const std::string& prefix, bool stops_at_folders,
                                       const std::string& token) {
  // Keys may have characters that XML cannot carry, so let the server escape them.
  std::map<std::string, std::string> query = {
      {"list-type", "2"}, {"encoding-type", "url"}, {"prefix", prefix}};
  if (stops_at_folders) query["delimiter"] = "/";
  if (!token.empty()) query["continuation-token"] = token;
  S3Listing page;
  for (int retry = 0;; ++retry) {
    const Status status = WithValidKeys([&] { return ListPageOnce(query, page); });
    if (status.ok()) return page;
    if (!MayPass(status) || retry >= options_.retries_max || !Pause(retry)) return status;
  }
}

Status S3Client::ListPageOnce(const std::map<std::string, std::string>& query, S3Listing& page) {
  std::string body;
  ASSIGN_OR_RETURN(const HttpHead head, Get("", query, {}, Collect(body, kPageBytesMax)));
  TRY(StatusOf(head, "", body));
  auto parsed = ParseListing(body);
  if (!parsed.ok()) {
    return Error(StatusCode::kInternal, "bucket '{}': {}", bucket_, MessageOf(parsed.status()));
  }
  page = *std::move(parsed);
  page.now = ParseTime(std::string(head.Header("date")), kHttpTime);
  return OkStatus();
}

Status S3Client::WithValidKeys(const std::function<Status()>& request) {
  const Status status = request();
  // Keys may have been replaced in their file while the server runs. Then the request succeeds with
  // the new ones.
  if (status.code() != StatusCode::kPermissionDenied) return status;
  const auto has_others = settings_.credentials->Renew(keys_.credentials, is_cancelled_);
  if (!has_others.ok()) {
    return Error(StatusCode::kPermissionDenied, "{}; and when the keys were read again: {}",
                 MessageOf(status), MessageOf(has_others.status()));
  }
  return *has_others ? request() : status;
}

StatusOr<HttpHead> S3Client::Get(const std::string& key,
                                 const std::map<std::string, std::string>& query,
                                 const std::map<std::string, std::string>& headers,
                                 const HttpSink& sink) {
  // The pause is that of the last answer only.
  asked_pause_ = Duration::zero();
  ASSIGN_OR_RETURN(keys_, settings_.credentials->Get(is_cancelled_));
  SignedRequest request;
  request.path = "/";
  if (IsBucketInPath(settings_, bucket_)) request.path += bucket_ + "/";
  request.path += UriEscape(key, /*keeps_slashes=*/true);
  // Servers sign the path as it is sent. Some do not find a bucket whose path ends with a slash.
  if (key.empty() && request.path.size() > 1) request.path.pop_back();
  request.query = query;
  request.headers = headers;
  request.headers["host"] = EndpointOf(settings_, bucket_).Authority();
  SignRequest(keys_.credentials, settings_.region, std::chrono::system_clock::now(), request);
  const std::string query_text = QueryText(query);
  auto head = http_.Get(query_text.empty() ? request.path : request.path + "?" + query_text,
                        request.headers, sink, is_cancelled_);
  if (head.ok()) asked_pause_ = ParseRetryAfter(head->Header("retry-after"));
  return head;
}

Status S3Client::Download(const S3Object& object, const std::string& path) {
  std::error_code error;
  // An earlier process may have left a part of the file.
  uintmax_t best = std::filesystem::file_size(path, error);
  if (error) best = 0;
  for (int retry = 0;; ++retry) {
    const Status status = WithValidKeys([&] { return DownloadOnce(object, path); });
    if (status.ok() || !MayPass(status)) return status;
    const uintmax_t size = std::filesystem::file_size(path, error);
    // Progress resets the retries, so that a download completes even if the connection breaks again
    // and again.
    if (!error && size >= best + kProgressBytes) {
      best = size;
      retry = 0;
    }
    if (retry >= options_.retries_max || !Pause(retry)) return status;
  }
}

Status S3Client::DownloadOnce(const S3Object& object, const std::string& path) {
  std::error_code error;
  uint64_t have = std::filesystem::file_size(path, error);
  if (error || have > object.size) have = 0;
  OutputFile file(path);
  if (have > 0 && have == object.size) {
    // All bytes are there: the earlier process ended before the check, and perhaps before the sync.
    // A range request for no bytes would be an error.
    if (file.Sync().ok() && CheckFile(path, object, {}).ok()) return OkStatus();
    have = 0;
  }
  TRY(file.Begin(have));
  std::map<std::string, std::string> headers = {{"x-amz-checksum-mode", "ENABLED"}};
  // The object may be replaced between two tries. Without this header the file would be half of
  // each.
  if (!object.etag.empty()) headers["if-match"] = object.etag;
  if (have > 0) headers["range"] = fmt::format("bytes={}-", have);
  std::string problem;
  uint64_t end = have;
  auto head = Get(object.key, {}, headers, [&](const HttpHead& answer, std::string_view piece) {
    // The body of an error explains it. It must not get into the file.
    if (answer.status != 200 && answer.status != 206) {
      return Collect(problem, kErrorBytesMax)(answer, piece);
    }
    if (answer.status == 206 && !IsRestOf(object, have, answer)) {
      TRY(file.Begin(0));  // start over at the next try
      return Error(StatusCode::kDataLoss, "of {} came another part than was asked for", object.key);
    }
    if (answer.status == 200 && have > 0) {  // the server sends the whole object
      TRY(file.Begin(0));
      end = have = 0;
    }
    end += piece.size();
    // Stop at once: an endless body would fill the disk.
    if (end > object.size) {
      return Error(StatusCode::kAborted, "{} has more bytes than the listing says", object.key);
    }
    return file.Write(piece);
  });
  TRY(head.status());
  if (head->status == 416) {
    TRY(file.Begin(0));
    return Error(StatusCode::kDataLoss, "{} has fewer bytes than were downloaded", object.key);
  }
  TRY(StatusOf(*head, object.key, problem));
  // A checked file must stay whole after a power cut, because it is not checked again.
  TRY(file.Sync());
  if (head->status == 206) {  // these checksums may be of the part only
    std::erase_if(head->headers,
                  [](const auto& item) { return item.first.starts_with("x-amz-checksum-"); });
  }
  const Status checked = CheckFile(path, object, *head);
  // Otherwise the next try would continue after the wrong bytes.
  if (!checked.ok()) std::filesystem::remove(path, error);
  return checked;
}

Status S3Client::StatusOf(const HttpHead& head, const std::string& key,
                          std::string_view body) const {
  if (head.status == 200 || head.status == 206) return OkStatus();
  const S3Error error = ParseS3Error(body);
  const std::string where =
      fmt::format("bucket '{}' at {}", bucket_, settings_.endpoint.Authority());
  const std::string said =
      fmt::format("{} {}{}{}", head.status, error.code.substr(0, kQuotedMax),
                  error.message.empty() ? "" : ": ", error.message.substr(0, kQuotedMax));
  // First, because a wrong region can come with any status. The advice about rights would mislead.
  TRY(StatusOfRedirect(head, error, said));
  const bool is_unknown_key = IsUnknownKey(error.code);
  if (error.code == "NoSuchBucket" || (head.status == 404 && error.code.empty() && key.empty())) {
    return Error(StatusCode::kNotFound, "there is no {} ({})", where, said);
  }
  if (head.status == 404 && !key.empty() && !is_unknown_key) {
    return Error(StatusCode::kNotFound, "{}: {} is not there any more ({})", where, key, said);
  }
  if (head.status == 412) {
    return Error(StatusCode::kAborted, "{}: {} has changed meanwhile ({})", where, key, said);
  }
  if (head.status == 429 || head.status >= 500) {
    return Error(StatusCode::kUnavailable, "{} does not answer requests now ({})", where, said);
  }
  if (head.status != 401 && head.status != 403 && !is_unknown_key && !IsAboutToken(error.code)) {
    return Error(StatusCode::kInternal, "{} refuses the request ({})", where, said);
  }
  if (error.code == "InvalidObjectState") {
    return InvalidArgument("{}: {} lies in an archive: restore it first ({})", where, key, said);
  }
  return Error(StatusCode::kPermissionDenied, "{}: {} ({})", where,
               ReasonOfDenial(head, error.code, /*is_listing=*/key.empty()), said);
}

Status S3Client::StatusOfRedirect(const HttpHead& head, const S3Error& error,
                                  const std::string& said) const {
  const std::string where =
      fmt::format("bucket '{}' at {}", bucket_, settings_.endpoint.Authority());
  std::string_view region = head.Header("x-amz-bucket-region");
  if (region.empty()) region = error.region;
  if (!region.empty() && region != settings_.region) {
    return InvalidArgument("{}: it is in region {}, so set AWS_REGION ({})", where,
                           region.substr(0, kQuotedMax), said);
  }
  if (error.code == "AuthorizationHeaderMalformed") {
    return InvalidArgument("{}: AWS_REGION, which is {}, or {} is wrong ({})", where,
                           settings_.region, keys_.access_key_id_name, said);
  }
  if (head.status < 300 || head.status > 399) return OkStatus();
  std::string_view location = head.Header("location");
  if (location.empty()) location = error.endpoint;
  return InvalidArgument(
      "{}: it sends requests on to '{}', which are not followed: set AWS_ENDPOINT_URL and "
      "AWS_REGION to where the bucket is ({})",
      where, location.substr(0, kQuotedMax), said);
}

std::string S3Client::ReasonOfDenial(const HttpHead& head, const std::string& code,
                                     bool is_listing) const {
  if (keys_.credentials.access_key_id.empty()) {
    return fmt::format("access is denied, and no credentials are set ({})",
                       keys_.access_key_id_name);
  }
  if (code == "SignatureDoesNotMatch") {
    return fmt::format("the signature is wrong: check {} and AWS_REGION",
                       keys_.secret_access_key_name);
  }
  if (IsUnknownKey(code)) return keys_.access_key_id_name + " is not known there";
  if (code == "RequestTimeTooSkewed") return ReasonOfSkew(head);
  if (IsAboutToken(code)) return keys_.session_token_name + " is not valid any more";
  return fmt::format("access is denied to {}: it needs the right {}", keys_.access_key_id_name,
                     is_listing ? "s3:ListBucket to this bucket" : "s3:GetObject to its objects");
}

bool S3Client::Pause(int retry) const {
  // The limit keeps the shift from overflowing.
  const Duration own_pause = options_.retry_pause * (1 << std::min(retry, 10));
  const SteadyTime end = Clock::Real().Now() + std::max(own_pause, asked_pause_);
  while (!is_cancelled_ && Clock::Real().Now() < end) std::this_thread::sleep_for(kCancelSlice);
  return !is_cancelled_;
}

}  // namespace penstock
