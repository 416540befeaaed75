// SPDX-License-Identifier: Apache-2.0
#include "s3/s3_listing.h"

#include <algorithm>
#include <charconv>
#include <ctime>
#include <pugixml.hpp>

#include "base/percent.h"

namespace penstock {
namespace {

constexpr size_t kWordBytesMax = 8 * 1024;  // of an ETag, or of the token of the next page
constexpr size_t kKeyQuotedMax = 100;
constexpr time_t kTimeMax = 4'102'444'800;  // the year 2100; nanoseconds overflow not long after

// Decodes a key with the encoding "url", in which '+' is a space.
std::string Unescaped(std::string text) {
  std::replace(text.begin(), text.end(), '+', ' ');
  return PercentDecoded(text);
}

// True if the text can be in a header unchanged.
bool IsWord(std::string_view text) {
  return text.size() <= kWordBytesMax &&
         std::ranges::all_of(text, [](char c) { return c > ' ' && c <= '~'; });
}

}  // namespace

std::optional<std::chrono::system_clock::time_point> ParseTime(const std::string& text,
                                                               const char* format) {
  std::tm time = {};
  if (strptime(text.c_str(), format, &time) == nullptr) return std::nullopt;
  const time_t seconds = timegm(&time);
  if (seconds < 0 || seconds > kTimeMax) return std::nullopt;
  return std::chrono::system_clock::from_time_t(seconds);
}

StatusOr<S3Listing> ParseListing(std::string_view xml) {
  // pugixml reads no external entities, so an answer cannot make this machine open files or
  // connections.
  pugi::xml_document document;
  const auto parsed = document.load_buffer(xml.data(), xml.size());
  const pugi::xml_node root = document.child("ListBucketResult");
  if (!parsed || !root) {
    return Error(StatusCode::kInternal, "the answer is no listing of a bucket{}{}",
                 parsed ? "" : ": ", parsed ? "" : parsed.description());
  }
  // Some servers ignore the wish for escaped keys. They say here what they did.
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
                   object.key.substr(0, kKeyQuotedMax), size.substr(0, kKeyQuotedMax));
    }
    object.etag = node.child_value("ETag");
    // The ETag goes into a header of the download. Without it, the download is not protected
    // against a change.
    if (!IsWord(object.etag)) object.etag.clear();
    object.last_modified = ParseTime(node.child_value("LastModified"), kXmlTime);
    listing.objects.push_back(std::move(object));
  }
  for (const pugi::xml_node node : root.children("CommonPrefixes")) {
    listing.folders.push_back(key(node.child_value("Prefix")));
  }
  if (std::string_view(root.child_value("IsTruncated")) == "true") {
    listing.next_token = root.child_value("NextContinuationToken");
    // To end here would make the versions on further pages disappear, and the server would unload
    // them.
    if (listing.next_token.empty()) {
      return absl::InternalError("the listing goes on, but does not say how");
    }
    if (listing.next_token.size() > kWordBytesMax) {
      return Error(StatusCode::kInternal, "the listing goes on with a token of {} bytes",
                   listing.next_token.size());
    }
  }
  return listing;
}

S3Error ParseS3Error(std::string_view xml) {
  pugi::xml_document document;
  if (!document.load_buffer(xml.data(), xml.size())) return {};
  const pugi::xml_node root = document.child("Error");
  return {root.child_value("Code"), root.child_value("Message"), root.child_value("Region"),
          root.child_value("Endpoint")};
}

}  // namespace penstock
