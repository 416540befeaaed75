// SPDX-License-Identifier: Apache-2.0
#include "infer/builtin_folder.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/status.h"
#include "infer/builtin_models.h"

namespace penstock {
namespace {

constexpr std::string_view kFileName = "model.builtin";
constexpr std::streamsize kNameBytesMax = 100;

std::string FilePath(const std::string& version_path) {
  return fmt::format("{}/{}", version_path, kFileName);
}

// One thread at a time.
class BuiltinFolderLoader final : public core::Loader {
 public:
  BuiltinFolderLoader(core::ServableId id, std::string version_path, MetricsRegistry& metrics)
      : id_(std::move(id)), version_path_(std::move(version_path)), metrics_(metrics) {}

  StatusOr<std::unique_ptr<core::Servable>> Load() override {
    const std::string path = FilePath(version_path_);
    std::string name(kNameBytesMax, '\0');
    std::ifstream file(path);
    if (!file) return Error(StatusCode::kNotFound, "cannot read {}", path);
    file.read(name.data(), kNameBytesMax);
    name.resize(static_cast<size_t>(file.gcount()));
    name.erase(std::min(name.find('\n'), name.size()));
    StatusOr<std::unique_ptr<core::Loader>> loader =
        MakeBuiltinLoader(id_, "builtin:" + name, metrics_);
    if (!loader.ok())
      return Error(StatusCode::kNotFound, "{}: {}", path, MessageOf(loader.status()));
    return (*loader)->Load();
  }

 private:
  const core::ServableId id_;
  const std::string version_path_;
  MetricsRegistry& metrics_;
};

}  // namespace

bool IsBuiltinFolder(const std::string& version_path) {
  std::error_code error;
  return std::filesystem::exists(FilePath(version_path), error);
}

std::unique_ptr<core::Loader> MakeBuiltinFolderLoader(core::ServableId id, std::string version_path,
                                                      MetricsRegistry& metrics) {
  return std::make_unique<BuiltinFolderLoader>(std::move(id), std::move(version_path), metrics);
}

}  // namespace penstock
