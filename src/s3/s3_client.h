// SPDX-License-Identifier: Apache-2.0
// Lists and downloads the objects of one bucket.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <string>

#include "base/clock.h"
#include "base/status.h"
#include "s3/http_client.h"
#include "s3/s3_listing.h"
#include "s3/s3_settings.h"

namespace penstock {

// How patient a client is. The defaults suit downloads of models.
struct S3ClientOptions {
  int retries_max = 3;                                    // of one request, after temporary errors
  Duration retry_pause = std::chrono::milliseconds(200);  // doubled after each try
  HttpClientOptions http;
  std::function<void()> on_page = nullptr;  // called after each page of a listing
};

// Lists and downloads the objects of one bucket. It blocks the calling thread; several clients may
// share the settings.
//
//   S3Client client(settings, "models", {}, is_cancelled);
//   ASSIGN_OR_RETURN(const S3Listing listing, client.List("resnet/1/", false));
//   for (const S3Object& object : listing.objects) TRY(client.Download(object, FileOf(object)));
//
// One thread at a time; any thread may set `is_cancelled`. Errors name the bucket, and explain in
// plain words what is wrong: UNAVAILABLE (no connection, or the server is too busy),
// DEADLINE_EXCEEDED (it does not answer), NOT_FOUND (no such bucket or object), PERMISSION_DENIED
// (signature, rights), INVALID_ARGUMENT (settings), ABORTED (the object has changed), INTERNAL
// (answers that make no sense), CANCELLED. Never FAILED_PRECONDITION, because sources use it for
// versions that are not complete yet.
class S3Client final {
 public:
  // `is_cancelled` outlives the client.
  S3Client(const S3Settings& settings, std::string bucket, S3ClientOptions options,
           const std::atomic<bool>& is_cancelled);

  // Lists all objects whose keys begin with `prefix` (ListObjectsV2), page by page. With
  // `stops_at_folders`, objects below a further "/" are listed only as folders. RESOURCE_EXHAUSTED
  // if there are more than 200,000, or their keys take more than 64 MiB.
  StatusOr<S3Listing> List(const std::string& prefix, bool stops_at_folders);

  // Downloads the object to `path`, whose folder must exist, and continues after the bytes that are
  // already there. Returns when the file is whole, checked and on the disk. Retries as long as
  // there is progress. ABORTED if the object is no longer the one of the listing;
  // RESOURCE_EXHAUSTED if the disk is full; DATA_LOSS if its content is wrong; the file is removed
  // then.
  Status Download(const S3Object& object, const std::string& path);

 private:
  // Signs and sends one request, without retries. An empty `key` is the bucket itself.
  StatusOr<HttpHead> Get(const std::string& key, const std::map<std::string, std::string>& query,
                         const std::map<std::string, std::string>& headers, const HttpSink& sink);
  StatusOr<S3Listing> ListPage(const std::string& prefix, bool stops_at_folders,
                               const std::string& token);
  // One request for a page, without retries.
  Status ListPageOnce(const std::map<std::string, std::string>& query, S3Listing& page);
  Status DownloadOnce(const S3Object& object, const std::string& path);
  // Converts an answer to a Status.
  Status StatusOf(const HttpHead& head, const std::string& key, std::string_view body) const;
  // INVALID_ARGUMENT if the bucket is at another endpoint or region. `said` is the answer in short.
  Status StatusOfRedirect(const HttpHead& head, const S3Error& error,
                          const std::string& said) const;
  // Explains why the server refused these keys.
  std::string ReasonOfDenial(const HttpHead& head, const std::string& code, bool is_listing) const;
  // Makes the request. If the server refuses the keys and there are other keys now, makes it again.
  Status WithValidKeys(const std::function<Status()>& request);
  // Sleeps before a retry. Returns false if cancelled.
  bool Pause(int retry) const;

  const S3Settings settings_;
  const std::string bucket_;
  const S3ClientOptions options_;
  const std::atomic<bool>& is_cancelled_;
  HttpClient http_;
  AwsKeys keys_;                             // of the last request
  Duration asked_pause_ = Duration::zero();  // the Retry-After of the last answer
};

}  // namespace penstock
