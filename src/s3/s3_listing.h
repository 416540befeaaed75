// SPDX-License-Identifier: Apache-2.0
// Parses the XML of S3 servers: pages of listings, and errors.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace penstock {

// One object, as a listing shows it. The ETag and the time tell whether it has changed since.
struct S3Object {
  std::string key;
  uint64_t size = 0;
  std::string etag;  // with its quotes, as in a header; empty: none, or not usable
  std::optional<std::chrono::system_clock::time_point> last_modified;  // by the server's clock
};

// One page of a listing, or all pages.
struct S3Listing {
  std::vector<S3Object> objects;
  std::vector<std::string> folders;  // common prefixes, with "/" at their ends
  std::string next_token;            // for the next page; empty: this is the last one
  std::optional<std::chrono::system_clock::time_point> now;  // by the server's clock
};

// The formats of times in headers and in XML documents.
inline constexpr const char* kHttpTime = "%a, %d %b %Y %H:%M:%S";
inline constexpr const char* kXmlTime = "%Y-%m-%dT%H:%M:%S";

// Parses a time with a format of strptime, in UTC. Returns nullopt also for years before 1970 and
// after 2099.
std::optional<std::chrono::system_clock::time_point> ParseTime(const std::string& text,
                                                               const char* format);

// Parses a ListBucketResult (version 2) with url-encoded keys. Keys in the result are decoded.
// INTERNAL if it is not valid.
StatusOr<S3Listing> ParseListing(std::string_view xml);

// The reason in an S3 error document. `region` and `endpoint` help a user who asked the wrong
// server.
struct S3Error {
  std::string code;  // empty if it is not an error document
  std::string message;
  std::string region;    // the right region; mostly empty
  std::string endpoint;  // host of the right endpoint; mostly empty
};
// Never fails: bytes that are no error document give empty members.
S3Error ParseS3Error(std::string_view xml);

}  // namespace penstock
