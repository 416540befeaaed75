// SPDX-License-Identifier: Apache-2.0
#include "frontends/tfs_rest/body_format.h"

#include <algorithm>
#include <array>

#include "net/headers.h"

namespace penstock::tfs_rest {
namespace {

struct MediaType {
  std::string_view name;
  BodyFormat format;
};
// The first name of a format is the one that answers have.
constexpr std::array<MediaType, 6> kMediaTypes = {{
    {"application/json", BodyFormat::kJson},
    {"application/x-protobuf", BodyFormat::kProtobuf},
    {"application/protobuf", BodyFormat::kProtobuf},
    {"application/vnd.google.protobuf", BodyFormat::kProtobuf},
    {"application/x-npy", BodyFormat::kNpy},
    {"application/x-npz", BodyFormat::kNpz},
}};
constexpr size_t kFormats = 4;

}  // namespace

BodyFormat BodyFormatOf(std::string_view content_type) {
  const std::string_view name = net::WithoutParameters(content_type);
  for (const MediaType& type : kMediaTypes)
    if (net::EqualsIgnoringCase(type.name, name)) return type.format;
  return BodyFormat::kJson;
}

BodyFormat AnswerFormatFor(std::string_view accept, BodyFormat request) {
  if (accept.empty() || accept == "*/*") return request;
  // A format that is named counts more than a range such as "application/*", whatever their
  // weights are (RFC 9110, section 12.5.1).
  constexpr int kUnnamed = -1;
  std::array<int, kFormats> named;
  named.fill(kUnnamed);
  int in_range = 0;
  while (!accept.empty()) {
    const auto [name, quality] = net::TakeWeighted(accept);
    if (name == "*/*" || net::EqualsIgnoringCase(name, "application/*"))
      in_range = std::max(in_range, quality);
    for (const MediaType& type : kMediaTypes) {
      int& best = named[static_cast<size_t>(type.format)];
      if (net::EqualsIgnoringCase(type.name, name)) best = std::max(best, quality);
    }
  }
  const auto quality_of = [&](BodyFormat format) {
    const int quality = named[static_cast<size_t>(format)];
    return quality == kUnnamed ? in_range : quality;
  };
  BodyFormat best = request;
  for (size_t i = 0; i < kFormats; ++i) {
    const auto format = static_cast<BodyFormat>(i);
    if (quality_of(format) > quality_of(best)) best = format;
  }
  return best;
}

bool WantsEvents(std::string_view accept) {
  int events = 0, others = 0;
  while (!accept.empty()) {
    const auto [name, quality] = net::TakeWeighted(accept);
    if (net::EqualsIgnoringCase(name, "text/event-stream")) {
      events = std::max(events, quality);
    } else if (!name.ends_with("/*")) {
      others = std::max(others, quality);
    }
  }
  return events > 0 && events >= others;
}

std::string_view ContentTypeOf(BodyFormat format) {
  const auto* const found =
      std::find_if(kMediaTypes.begin(), kMediaTypes.end(),
                   [&](const MediaType& type) { return type.format == format; });
  return found->name;
}

}  // namespace penstock::tfs_rest
