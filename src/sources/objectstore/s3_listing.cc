// SPDX-License-Identifier: Apache-2.0
#include "sources/objectstore/s3_listing.h"

#include <algorithm>
#include <charconv>
#include <ctime>
#include <pugixml.hpp>

#include "base/percent.h"

namespace penstock {
namespace {

// Of a key in the encoding "url": '+' is a space.
std::string Unescaped(std::string text) {
  std::replace(text.begin(), text.end(), '+', ' ');
  return PercentDecoded(text);
}

}  // namespace

std::optional<std::chrono::system_clock::time_point> ParseTime(const std::string& text,
                                                               const char* format) {
  std::tm time = {};
  if (strptime(text.c_str(), format, &time) == nullptr) return std::nullopt;
  return std::chrono::system_clock::from_time_t(timegm(&time));
}

StatusOr<S3Listing> ParseListing(std::string_view xml) {
  pugi::xml_document document;
  const auto parsed = document.load_buffer(xml.data(), xml.size());
  const pugi::xml_node root = document.child("ListBucketResult");
  if (!parsed || !root) {
    return Error(StatusCode::kInternal, "the answer is no listing of a bucket{}{}",
                 parsed ? "" : ": ", parsed ? "" : parsed.description());
  }
  const bool is_escaped = std::string_view(root.child_value("EncodingType")) == "url";
  const auto key = [&](const char* text) { return is_escaped ? Unescaped(text) : text; };
  S3Listing listing;
  for (const pugi::xml_node node : root.children("Contents")) {
    S3Object object;
    object.key = key(node.child_value("Key"));
    const std::string_view size = node.child_value("Size");
    const auto [stop, error] = std::from_chars(size.begin(), size.end(), object.size);
    if (error != std::errc() || stop != size.end()) {
      return Error(StatusCode::kInternal, "the listing says that '{}' has the size '{}'",
                   object.key, size);
    }
    object.etag = node.child_value("ETag");
    object.last_modified = ParseTime(node.child_value("LastModified"), "%Y-%m-%dT%H:%M:%S");
    listing.objects.push_back(std::move(object));
  }
  for (const pugi::xml_node node : root.children("CommonPrefixes")) {
    listing.folders.push_back(key(node.child_value("Prefix")));
  }
  if (std::string_view(root.child_value("IsTruncated")) == "true") {
    listing.next_token = root.child_value("NextContinuationToken");
    if (listing.next_token.empty()) {
      return absl::InternalError("the listing goes on, but does not say how");
    }
  }
  return listing;
}

S3Error ParseS3Error(std::string_view xml) {
  pugi::xml_document document;
  if (!document.load_buffer(xml.data(), xml.size())) return {};
  const pugi::xml_node root = document.child("Error");
  return {root.child_value("Code"), root.child_value("Message")};
}

}  // namespace penstock
