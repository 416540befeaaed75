// SPDX-License-Identifier: Apache-2.0
#include "sources/objectstore/s3_listing.h"

#include <charconv>
#include <ctime>
#include <optional>
#include <pugixml.hpp>

namespace penstock {
namespace {

std::optional<int> HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return std::nullopt;
}

// With %XX and "+" replaced.
std::string Unescaped(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto high = text[i] == '%' && i + 2 < text.size() ? HexDigit(text[i + 1]) : std::nullopt;
    const auto low = high ? HexDigit(text[i + 2]) : std::nullopt;
    if (low) {
      plain += static_cast<char>(*high * 16 + *low);
      i += 2;
    } else {
      plain += text[i] == '+' ? ' ' : text[i];
    }
  }
  return plain;
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
