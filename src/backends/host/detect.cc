// SPDX-License-Identifier: Apache-2.0
// The choice of a backend reads names of files only, and opens no library. So a folder with a model
// of a kind that the server does not use costs nothing, and a backend with a broken runtime
// disturbs no other one. The patterns are files beside each backend, and not code here, so that a
// new backend needs no change of the server.
#include "backends/host/detect.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <fnmatch.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <system_error>

namespace penstock {
namespace {

namespace fs = std::filesystem;

// Reads one pattern a line. '#' starts a comment, and "otherwise " a weak pattern.
void ReadPatterns(const fs::path& file, InstalledBackend& backend) {
  constexpr std::string_view kWeak = "otherwise ";
  std::ifstream stream(file);
  for (std::string line; std::getline(stream, line);) {
    line.erase(std::min(line.find('#'), line.size()));
    while (!line.empty() && std::isspace(static_cast<unsigned char>(line.back()))) line.pop_back();
    if (line.starts_with(kWeak)) {
      backend.weak_patterns.push_back(line.substr(kWeak.size()));
    } else if (!line.empty()) {
      backend.patterns.push_back(std::move(line));
    }
  }
}

bool AnyFits(const std::vector<std::string>& patterns, const std::vector<std::string>& files) {
  return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) {
    return std::any_of(files.begin(), files.end(), [&](const std::string& file) {
      return fnmatch(pattern.c_str(), file.c_str(), FNM_PERIOD) == 0;
    });
  });
}

// Returns the backends with a pattern that fits a file.
std::vector<InstalledBackend> Fitting(const std::vector<InstalledBackend>& backends,
                                      std::vector<std::string> InstalledBackend::*patterns,
                                      const std::vector<std::string>& files) {
  std::vector<InstalledBackend> fitting;
  for (const InstalledBackend& backend : backends) {
    if (AnyFits(backend.*patterns, files)) fitting.push_back(backend);
  }
  return fitting;
}

std::vector<std::string> Names(const std::vector<InstalledBackend>& backends) {
  std::vector<std::string> names;
  for (const InstalledBackend& backend : backends) names.push_back(backend.name);
  return names;
}

std::string ListOrNone(const std::vector<std::string>& names) {
  constexpr size_t kShown = 10;
  if (names.empty()) return "none";
  const auto end = names.begin() + static_cast<ptrdiff_t>(std::min(kShown, names.size()));
  return fmt::format("{}{}", fmt::join(names.begin(), end, ", "),
                     names.size() > kShown ? ", ..." : "");
}

}  // namespace

std::vector<InstalledBackend> FindBackends(const std::string& folder,
                                           const std::vector<ModelImporter>& importers) {
  std::vector<InstalledBackend> result;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename();
    const fs::path library = entry.path() / ("penstock_" + name + ".so");
    if (!fs::exists(library, error)) continue;
    InstalledBackend& backend = result.emplace_back();
    backend.name = name;
    backend.folder = entry.path();
    backend.library = library;
    ReadPatterns(entry.path() / "models.txt", backend);
  }
  const size_t backends = result.size();
  for (const ModelImporter& importer : importers) {
    for (size_t i = 0; i < backends; ++i) {
      if (result[i].name != importer.backend) continue;
      InstalledBackend imported = result[i];
      imported.name = importer.platform;
      imported.patterns = importer.patterns;
      imported.weak_patterns.clear();
      imported.importer = &importer;
      result.push_back(std::move(imported));
    }
  }
  std::sort(result.begin(), result.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  return result;
}

std::string DefaultBackendFolder() {
  std::error_code error;
  // Not argv[0], which may be a name on the PATH or anything that the caller likes.
  const fs::path executable = fs::read_symlink("/proc/self/exe", error);
  return executable.parent_path() / "backends";
}

StatusOr<std::vector<std::string>> ListFolder(const std::string& folder) {
  std::error_code error;
  std::vector<std::string> names;
  fs::directory_iterator entries(folder, error);
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    names.push_back(entries->path().filename());
  }
  if (error) {
    return Error(StatusCode::kNotFound, "cannot read the folder {}: {}", folder, error.message());
  }
  std::sort(names.begin(), names.end());
  return names;
}

StatusOr<InstalledBackend> ChooseBackend(const std::vector<InstalledBackend>& backends,
                                         std::string_view platform,
                                         const std::string& version_path) {
  if (platform == "onnx") platform = "onnxruntime";
  if (!platform.empty()) {
    for (const InstalledBackend& backend : backends) {
      if (backend.name == platform) return backend;
    }
    return InvalidArgument("there is no backend '{}'; installed: {}", platform,
                           ListOrNone(Names(backends)));
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> files, ListFolder(version_path));
  // A weak pattern, such as TensorFlow's "*.pb", fits files of other kinds, too. So it counts only
  // if no sure pattern fits.
  std::vector<InstalledBackend> fitting = Fitting(backends, &InstalledBackend::patterns, files);
  if (fitting.empty()) fitting = Fitting(backends, &InstalledBackend::weak_patterns, files);
  // A folder that is still being copied looks like this. The plain message "no backend takes it"
  // would send the operator the wrong way.
  if (fitting.empty() && std::find(files.begin(), files.end(), "variables") != files.end()) {
    return InvalidArgument(
        "the version is incomplete: {} has the folder variables of a SavedModel, but no "
        "saved_model.pb (files: {})",
        version_path, ListOrNone(files));
  }
  if (fitting.empty()) {
    return InvalidArgument(
        "no backend takes the folder {} (files: {}; installed backends: {}); a model folder holds "
        "for example saved_model.pb or model.onnx; with other names, model_platform in "
        "--model_config_file (for inspect: --platform) says which backend",
        version_path, ListOrNone(files), ListOrNone(Names(backends)));
  }
  if (fitting.size() > 1) {
    return InvalidArgument(
        "several backends take the folder {}: {}; keep the files of one, or name it: "
        "model_platform: "
        "\"{}\" in --model_config_file (for inspect: --platform={})",
        version_path, ListOrNone(Names(fitting)), fitting.front().name, fitting.front().name);
  }
  return fitting.front();
}

StatusOr<uint64_t> FolderBytes(const std::string& folder) {
  std::error_code error;
  fs::recursive_directory_iterator entries(folder, error);
  if (error) {
    return Error(StatusCode::kNotFound, "cannot read the folder {}: {}", folder, error.message());
  }
  uint64_t bytes = 0;
  for (; entries != fs::recursive_directory_iterator(); entries.increment(error)) {
    std::error_code ignored;
    if (entries->is_regular_file(ignored)) bytes += entries->file_size(ignored);
    // A folder inside cannot be read. The sum is an estimate, so what is known must do; the load
    // will say what is wrong.
    if (error) break;
  }
  return bytes;
}

}  // namespace penstock
