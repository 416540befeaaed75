// SPDX-License-Identifier: Apache-2.0
// TensorFlow Serving matches paths with regular expressions; this parser accepts all paths that
// those accept. Parts are split while they are still encoded, and decoded last: so a name may
// contain an encoded '/' or ':'.
#include "frontends/tfs_rest/rest_target.h"

#include <algorithm>
#include <charconv>

#include "base/percent.h"

namespace penstock::tfs_rest {
namespace {

char ToLower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

// Removes `prefix` (lower case) from the front of `path`, ignoring case.
bool TakePrefix(std::string_view& path, std::string_view prefix) {
  if (path.size() < prefix.size() ||
      !std::equal(prefix.begin(), prefix.end(), path.begin(),
                  [](char wanted, char got) { return wanted == ToLower(got); })) {
    return false;
  }
  path.remove_prefix(prefix.size());
  return true;
}

StatusOr<std::string> PercentDecode(std::string_view text) {
  std::optional<std::string> decoded = PercentDecodedStrictly(text);
  if (decoded) return *std::move(decoded);
  return InvalidArgument("'%' must be followed by two hexadecimal digits in: {}", text);
}

// Removes and returns the part of `path` before the next '/' or ':'.
std::string_view TakeSegment(std::string_view& path) {
  const std::string_view segment = path.substr(0, path.find_first_of("/:"));
  path.remove_prefix(segment.size());
  return segment;
}

StatusOr<core::VersionNumber> ParseVersion(std::string_view text) {
  // from_chars would accept a minus sign. The two errors below have the texts of TensorFlow
  // Serving.
  if (text.find_first_not_of("0123456789") != std::string_view::npos) {
    return InvalidArgument(
        "Malformed request: the model's version must be a number from 0 to 2^63 - 1, but is: "
        "{:.100}",
        text);
  }
  core::VersionNumber version;
  if (std::from_chars(text.data(), text.data() + text.size(), version.value).ec != std::errc{}) {
    return InvalidArgument(
        "Failed to convert version: {:.100} to numeric. It must be a number from 0 to 2^63 - 1",
        text);
  }
  return version;
}

struct Verb {
  std::string_view name;
  RestAction action;
};
constexpr Verb kVerbs[] = {{"predict", RestAction::kPredict},
                           {"classify", RestAction::kClassify},
                           {"regress", RestAction::kRegress}};

// Some clients percent-encode the colon before the verb. Removes such an end from `path`. Only for
// POST, so that the status of a model with such a name can still be read.
std::optional<RestAction> TakeEncodedVerb(std::string_view method, std::string_view& path) {
  if (method != "POST" || path.find(':') != std::string_view::npos) return std::nullopt;
  for (const Verb& verb : kVerbs) {
    if (!path.ends_with(verb.name)) continue;
    const std::string_view before = path.substr(0, path.size() - verb.name.size());
    if (!before.ends_with("%3A") && !before.ends_with("%3a")) continue;
    path = before.substr(0, before.size() - std::string_view("%3A").size());
    return verb.action;
  }
  return std::nullopt;
}

// Parses the rest of the path, after the model and its version or label.
std::optional<RestAction> FindAction(std::string_view rest) {
  if (rest.empty()) return RestAction::kStatus;
  if (std::string_view tail = rest; TakePrefix(tail, "/metadata") && tail.empty()) {
    return RestAction::kMetadata;
  }
  for (const Verb& verb : kVerbs) {
    if (rest.starts_with(':') && rest.substr(1) == verb.name) return verb.action;
  }
  return std::nullopt;
}

}  // namespace

StatusOr<RestTarget> ParseRestPath(std::string_view method, std::string_view path) {
  const auto malformed = [&] {
    constexpr size_t kShownMax = 200;
    return Error(
        StatusCode::kNotFound,
        "Malformed request: {} {}{}; known are GET /v1/models and, with MODEL for "
        "/v1/models/NAME, /v1/models/NAME/versions/NUMBER or /v1/models/NAME/labels/LABEL: "
        "GET MODEL, GET MODEL/metadata, POST MODEL:predict, POST MODEL:classify, POST "
        "MODEL:regress",
        method, path.substr(0, kShownMax), path.size() > kShownMax ? "..." : "");
  };
  RestTarget target;
  std::string_view rest = path;
  // Before the path is split, because an encoded colon does not end a segment.
  const std::optional<RestAction> encoded_verb = TakeEncodedVerb(method, rest);
  if (!TakePrefix(rest, "/v1/models")) return malformed();
  if (rest.empty() || rest == "/") {
    // A verb needs a model.
    if (encoded_verb) return malformed();
    target.action = RestAction::kListModels;
    return target;
  }
  if (!TakePrefix(rest, "/")) return malformed();
  const std::string_view name = TakeSegment(rest);
  std::string_view version, label;
  if (TakePrefix(rest, "/versions/")) {
    version = TakeSegment(rest);
    if (version.empty()) return malformed();
  } else if (TakePrefix(rest, "/labels/")) {
    label = TakeSegment(rest);
    if (label.empty()) return malformed();
  }
  const std::optional<RestAction> action = encoded_verb ? encoded_verb : FindAction(rest);
  if (!action || name.empty() || (encoded_verb && !rest.empty())) return malformed();
  target.action = *action;
  if (!version.empty()) {
    ASSIGN_OR_RETURN(target.version, ParseVersion(version));
  }
  // Decode last, when the path is split: a name may contain an encoded '/' or ':'.
  ASSIGN_OR_RETURN(target.name, PercentDecode(name));
  ASSIGN_OR_RETURN(target.label, PercentDecode(label));
  return target;
}

}  // namespace penstock::tfs_rest
