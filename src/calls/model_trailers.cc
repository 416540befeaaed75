// SPDX-License-Identifier: Apache-2.0
#include "calls/model_trailers.h"

#include <fmt/format.h>

#include <array>
#include <string>

namespace penstock {
namespace {

constexpr size_t kNameBytesMax = 1024;

// A name in the form that gRPC allows in metadata: other bytes than printable ASCII are
// percent-encoded. Longer names are cut.
std::string MetadataText(std::string_view name) {
  std::string text;
  for (const char c : name.substr(0, kNameBytesMax)) {
    if (c > ' ' && c <= '~' && c != '%') {
      text += c;
    } else {
      text += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return text;
}

// What a thread has encoded last. One thread.
struct CachedTrailers {
  core::ServableId id;
  std::string arm;
  net::OkTrailers trailers{{}};
};

}  // namespace

const net::OkTrailers& TrailersOf(const ModelHandle& model) {
  // A thread serves few models at a time, so collisions are rare, and cost little.
  constexpr size_t kSlots = 16;
  thread_local std::array<CachedTrailers, kSlots> cache;
  const core::ServableId& id = model.id();
  const std::string_view arm = model.arm();
  const size_t slot = (id.name.size() + static_cast<unsigned char>(id.name.back()) +
                       static_cast<uint64_t>(id.version.value) + arm.size()) %
                      kSlots;
  CachedTrailers& cached = cache[slot];
  if (cached.id.version != id.version || cached.id.name != id.name || cached.arm != arm)
      [[unlikely]] {
    cached = {id, std::string(arm),
              net::OkTrailers({{kModelField, MetadataText(id.name)},
                               {kVersionField, fmt::format_int(id.version.value).c_str()},
                               {kArmField, MetadataText(arm)}})};
  }
  return cached.trailers;
}

net::OwnedHeaders FieldsOf(const ModelHandle& model) {
  net::OwnedHeaders fields;
  fields.emplace_back(kModelField, MetadataText(model.id().name));
  fields.emplace_back(kVersionField, fmt::format_int(model.id().version.value).str());
  if (!model.arm().empty()) fields.emplace_back(kArmField, MetadataText(model.arm()));
  return fields;
}

}  // namespace penstock
