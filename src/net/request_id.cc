// SPDX-License-Identifier: Apache-2.0
// A client's own id is used only if it is short and has no spaces or control characters. It goes
// into logs and into a header of the answer, and must not be able to forge a line there.
#include "net/request_id.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "access/access_table.h"
#include "base/log.h"

namespace penstock::net {
namespace {

constexpr size_t kRequestIdBytesMax = 128;

}  // namespace

std::string_view RequestIdOf(const Call& call, RequestIdText& own) {
  const std::string_view given = FindHeader(call.head().headers, kRequestIdField);
  const bool is_usable =
      !given.empty() && given.size() <= kRequestIdBytesMax &&
      std::all_of(given.begin(), given.end(), [](char c) { return c > ' ' && c < 0x7F; });
  if (is_usable) return given;
  const auto end = std::to_chars(own.data(), own.data() + own.size(), call.request_id(), 16).ptr;
  return {own.data(), static_cast<size_t>(end - own.data())};
}

std::string CallerOf(const Call& call) {
  RequestIdText own;
  const RequestHead& head = call.head();
  const std::string who =
      head.caller == nullptr ? std::string() : fmt::format("'{}' at ", head.caller->name());
  return fmt::format("{}{} (request {})", who, head.peer, RequestIdOf(call, own));
}

void AuditRefusal(const Call& call, std::string_view what, const Status& status) {
  const access::Caller* const caller = call.head().caller.get();
  if (caller == nullptr || !caller->refusal().empty() || caller->name() == access::kAnonymousName)
    return;
  // The path of a gRPC call ends with its method, which `what` names already.
  const RequestHead& head = call.head();
  const std::string asked = head.path.ends_with(what)
                                ? std::string()
                                : fmt::format("{:.64} {:.256}: ", head.method, head.path);
  PENSTOCK_LOG(kWarning, "audit: {}, {}: {}{}: {}", what, CallerOf(call), asked,
               StatusCodeName(status.code()), MessageOf(status));
}

}  // namespace penstock::net
