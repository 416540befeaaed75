// SPDX-License-Identifier: Apache-2.0
// A path is first compared as it is written, without a look at any file, and then again without
// symbolic links. What comes between this check and the load is not covered: who can write below a
// root can put a link there, and decides anyway what is loaded from it.
#include "models/model_roots.h"

#include <algorithm>
#include <optional>
#include <system_error>
#include <utility>

#include "backends/builtin/builtin_models.h"
#include "config/config_files.h"
#include "config/ensemble_config.h"
#include "config/remote_config.h"

namespace penstock {
namespace {

namespace fs = std::filesystem;

bool IsStore(std::string_view path) { return path.find("://") != path.npos; }

// True if a part between two slashes goes up, stays or is empty. Servers of object stores may
// resolve such parts, so that the key is another one than it seems.
bool HasSpecialPart(std::string_view path) {
  while (!path.empty()) {
    const size_t slash = std::min(path.find('/'), path.size());
    const std::string_view part = path.substr(0, slash);
    if (part.empty() || part == "." || part == "..") return true;
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return false;
}

// The bucket and the prefix behind "s3://". Empty if there are none.
std::string_view KeyOf(std::string_view store) {
  const size_t at = store.find("://");
  return at == store.npos ? std::string_view() : store.substr(at + 3);
}

bool GoesUp(const fs::path& path) {
  return std::any_of(path.begin(), path.end(), [](const fs::path& part) { return part == ".."; });
}

// Without a slash at the end, and without parts ".". There are no parts "..", which would have
// another meaning behind a symbolic link.
fs::path Plain(const fs::path& path) {
  fs::path plain = path.lexically_normal();
  return plain.has_filename() || plain == plain.root_path() ? plain : plain.parent_path();
}

bool IsBelow(const fs::path& path, const fs::path& root) {
  const auto [at_root, at_path] = std::mismatch(root.begin(), root.end(), path.begin(), path.end());
  return at_root == root.end();
}

// Replaces the symbolic links in the part of the path that exists. None: a link leads nowhere, or
// the file system says nothing.
std::optional<fs::path> Resolved(fs::path path) {
  fs::path missing;
  std::error_code error;
  while (!fs::exists(fs::symlink_status(path, error))) {
    const bool is_missing = error == std::errc::no_such_file_or_directory ||
                            error == std::errc::not_a_directory || !error;
    if (!is_missing || !path.has_relative_path()) return std::nullopt;
    missing = missing.empty() ? path.filename() : path.filename() / missing;
    path = path.parent_path();
  }
  const fs::path resolved = fs::canonical(path, error);
  if (error) return std::nullopt;
  return missing.empty() ? resolved : resolved / missing;
}

}  // namespace

StatusOr<ModelRoots> ModelRoots::Parse(std::string_view list) {
  ModelRoots roots;
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    std::string given(list.substr(0, comma));
    list.remove_prefix(std::min(comma + 1, list.size()));
    const auto fail = [&given](std::string_view why) {
      return InvalidArgument("--model_roots: '{}': {}", given, why);
    };
    StatusOr<std::string> read = ReadBasePath(given);
    if (!read.ok()) return fail(MessageOf(read.status()));
    if (read->empty()) return fail("a root is empty");
    if (IsStore(*read)) {
      // A root that no base path can have is a mistake.
      if (!read->starts_with("s3://")) return fail("object stores are named as s3://bucket/prefix");
      std::string store = *std::move(read);
      if (store.ends_with('/')) store.pop_back();
      const std::string_view key = KeyOf(store);
      if (key.empty() || HasSpecialPart(key)) return fail("it must be like s3://bucket/prefix");
      roots.stores_.push_back(std::move(store));
      continue;
    }
    std::error_code error;
    const fs::path path = fs::absolute(*read, error);
    if (GoesUp(path)) return fail("it must not have a part '..'");
    const fs::path canonical = fs::canonical(path, error);
    if (error) return fail(error.message());
    if (!fs::is_directory(canonical, error)) return fail("it is no folder");
    roots.folders_.push_back({Plain(path), canonical});
  }
  return roots;
}

Status ModelRoots::Check(std::string_view model, const std::string& base_path) const {
  if (folders_.empty() && stores_.empty()) return OkStatus();
  if (IsBuiltinPath(base_path) || base_path == kEnsemblePath || base_path == kRemotePath)
    return OkStatus();
  if (IsStore(base_path) ? AllowsStore(base_path) : AllowsFolder(base_path)) return OkStatus();
  return Error(StatusCode::kPermissionDenied,
               "model '{:.200}' has the base_path '{:.200}', which is not below --model_roots, or "
               "has a part '..' or a symbolic link that leads out of them",
               model, base_path);
}

bool ModelRoots::AllowsStore(std::string_view base_path) const {
  if (base_path.ends_with('/')) base_path.remove_suffix(1);
  if (HasSpecialPart(KeyOf(base_path))) return false;
  return std::any_of(stores_.begin(), stores_.end(), [base_path](const std::string& store) {
    return base_path.starts_with(store) &&
           (base_path.size() == store.size() || base_path[store.size()] == '/');
  });
}

bool ModelRoots::AllowsFolder(const std::string& base_path) const {
  std::error_code error;
  fs::path path = fs::absolute(base_path, error);
  if (base_path.empty() || error || GoesUp(path)) return false;
  path = Plain(path);
  const auto is_below = [this](const fs::path& checked, bool may_have_links) {
    return std::any_of(folders_.begin(), folders_.end(), [&](const Folder& root) {
      return IsBelow(checked, root.canonical) || (may_have_links && IsBelow(checked, root.given));
    });
  };
  if (!is_below(path, /*may_have_links=*/true)) return false;
  const std::optional<fs::path> resolved = Resolved(path);
  return resolved && is_below(*resolved, /*may_have_links=*/false);
}

}  // namespace penstock
