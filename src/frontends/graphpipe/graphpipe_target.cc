// SPDX-License-Identifier: Apache-2.0
// The parts of a path are split while they are still encoded, and decoded last: so a name may
// contain an encoded '/'.
#include "frontends/graphpipe/graphpipe_target.h"

#include <algorithm>
#include <charconv>

#include "base/percent.h"

namespace penstock::graphpipe {
namespace {

constexpr std::string_view kPrefix = "/graphpipe/";

bool Take(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

std::string_view TakeSegment(std::string_view& text) {
  const std::string_view segment = text.substr(0, text.find('/'));
  text.remove_prefix(segment.size());
  return segment;
}

StatusOr<std::string> Decode(std::string_view text) {
  std::optional<std::string> decoded = PercentDecodedStrictly(text);
  if (decoded) return *std::move(decoded);
  return InvalidArgument("'%' must be followed by two hexadecimal digits in: {:.100}", text);
}

StatusOr<core::VersionNumber> ParseVersion(std::string_view text) {
  core::VersionNumber version;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), version.value);
  if (error == std::errc{} && end == text.data() + text.size() && text[0] != '-') return version;
  return InvalidArgument("a version is a number from 0 to 2^63 - 1, but this is '{:.100}'", text);
}

Status NoSuchPath(std::string_view path) {
  return Error(StatusCode::kNotFound,
               "no such path: {:.256}; known are /graphpipe/NAME, /graphpipe/NAME/versions/NUMBER "
               "and /graphpipe/NAME/labels/LABEL",
               path);
}

}  // namespace

StatusOr<GraphPipeTarget> ParsePath(std::string_view path) {
  std::string_view rest = path;
  if (!Take(rest, kPrefix)) return NoSuchPath(path);
  GraphPipeTarget target;
  ASSIGN_OR_RETURN(target.name, Decode(TakeSegment(rest)));
  if (target.name.empty()) return NoSuchPath(path);
  const bool has_version = Take(rest, "/versions/");
  const bool has_label = !has_version && Take(rest, "/labels/");
  if (has_version || has_label) {
    const std::string_view segment = TakeSegment(rest);
    if (segment.empty()) return NoSuchPath(path);
    if (has_version) {
      ASSIGN_OR_RETURN(target.version, ParseVersion(segment));
    } else {
      ASSIGN_OR_RETURN(target.label, Decode(segment));
    }
  }
  if (!rest.empty() && rest != "/") return NoSuchPath(path);
  return target;
}

Status ParseQuery(std::string_view query, GraphPipeTarget& target) {
  bool has_signature = false;
  while (!query.empty()) {
    std::string_view field = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(field.size() + 1, query.size()));
    if (!Take(field, "signature_name="))
      return InvalidArgument("the query has '{:.100}'; known is signature_name=NAME", field);
    if (has_signature) return InvalidArgument("the query has signature_name twice");
    has_signature = true;
    ASSIGN_OR_RETURN(target.signature_name, Decode(field));
  }
  return OkStatus();
}

}  // namespace penstock::graphpipe
