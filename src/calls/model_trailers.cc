// SPDX-License-Identifier: Apache-2.0
#include "calls/model_trailers.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <string>

#include "infer/infer_call.h"
#include "schedule/retry_hint.h"

namespace penstock {
namespace {

constexpr size_t kNameBytesMax = 1024;

// True for the characters that gRPC allows in metadata, except the one that begins an escape.
bool IsPlain(char c) { return c > ' ' && c <= '~' && c != '%'; }

// A name as the value of a header field: other bytes than visible ASCII characters are
// percent-encoded. Longer names are cut.
std::string FieldText(std::string_view name) {
  name = name.substr(0, kNameBytesMax);
  if (std::all_of(name.begin(), name.end(), IsPlain)) return std::string(name);
  std::string text;
  for (const char c : name) {
    if (IsPlain(c)) {
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
  CacheOutcome cache = CacheOutcome::kNone;
  net::OkTrailers trailers{{}};
};

// Empty: there is no such field.
std::string_view CacheText(CacheOutcome outcome) {
  switch (outcome) {
    case CacheOutcome::kNone:
      return "";
    case CacheOutcome::kHit:
      return "hit";
    case CacheOutcome::kPartial:
      return "partial";
    case CacheOutcome::kMiss:
      return "miss";
  }
  return "";
}

}  // namespace

const net::OkTrailers& TrailersOf(const ModelHandle& model) {
  // A thread serves few models at a time, so collisions are rare, and cost little.
  constexpr size_t kSlots = 16;
  thread_local std::array<CachedTrailers, kSlots> cache;
  const core::ServableId& id = model.id();
  const std::string_view arm = model.arm();
  const size_t slot = (id.name.size() + static_cast<unsigned char>(id.name.back()) +
                       static_cast<uint64_t>(id.version.value) + arm.size() +
                       static_cast<size_t>(model.cache_outcome())) %
                      kSlots;
  CachedTrailers& cached = cache[slot];
  if (cached.id.version != id.version || cached.id.name != id.name || cached.arm != arm ||
      cached.cache != model.cache_outcome()) [[unlikely]] {
    cached = {id, std::string(arm), model.cache_outcome(),
              net::OkTrailers({{kModelField, FieldText(id.name)},
                               {kVersionField, fmt::format_int(id.version.value).c_str()},
                               {kArmField, FieldText(arm)},
                               {kCacheField, CacheText(model.cache_outcome())}})};
  }
  return cached.trailers;
}

net::OwnedHeaders FieldsOf(const ModelHandle& model) {
  net::OwnedHeaders fields;
  fields.reserve(4);
  fields.emplace_back(kModelField, FieldText(model.id().name));
  fields.emplace_back(kVersionField, fmt::format_int(model.id().version.value).str());
  if (!model.arm().empty()) fields.emplace_back(kArmField, FieldText(model.arm()));
  if (model.cache_outcome() != CacheOutcome::kNone)
    fields.emplace_back(kCacheField, std::string(CacheText(model.cache_outcome())));
  return fields;
}

net::OwnedHeaders PushbackOf(const Status& status) {
  net::OwnedHeaders trailers;
  if (const auto after = schedule::RetryHintOf(status)) {
    trailers.emplace_back("grpc-retry-pushback-ms",
                          std::to_string(std::chrono::milliseconds(*after).count()));
  }
  return trailers;
}

}  // namespace penstock
