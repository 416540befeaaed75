// SPDX-License-Identifier: Apache-2.0
#include "backends/builtin/builtin_folder.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <system_error>
#include <utility>

#include "backends/builtin/builtin_models.h"
#include "infer/served_model.h"

namespace penstock {
namespace {

constexpr std::string_view kFileName = "model.builtin";
// A file of any size may have this name. No more than this is read.
constexpr std::streamsize kNameBytesMax = 100;

std::string FilePath(const std::string& version_path) {
  return fmt::format("{}/{}", version_path, kFileName);
}

// Loads the built-in model that a version folder names. One thread at a time.
class BuiltinFolderLoader final : public core::Loader {
 public:
  BuiltinFolderLoader(core::ServableId id, std::string version_path, MetricsRegistry& metrics,
                      InlineOptions inline_options)
      : id_(std::move(id)),
        version_path_(std::move(version_path)),
        metrics_(metrics),
        inline_options_(inline_options) {}

  StatusOr<std::unique_ptr<core::Servable>> Load() override {
    ASSIGN_OR_RETURN(std::unique_ptr<Model> model, MakeBuiltinFolderModel(version_path_));
    return MakeServedModel(id_, std::move(model), metrics_, inline_options_);
  }

 private:
  const core::ServableId id_;
  const std::string version_path_;
  MetricsRegistry& metrics_;
  const InlineOptions inline_options_;
};

}  // namespace

bool IsBuiltinFolder(const std::string& version_path) {
  std::error_code error;
  return std::filesystem::exists(FilePath(version_path), error);
}

StatusOr<std::unique_ptr<Model>> MakeBuiltinFolderModel(const std::string& version_path) {
  const std::string path = FilePath(version_path);
  std::error_code ignored;
  if (std::filesystem::exists(path, ignored) && !std::filesystem::is_regular_file(path, ignored)) {
    return Error(StatusCode::kNotFound, "{} is no regular file",
                 path);  // opening a pipe would block
  }
  std::string name(kNameBytesMax, '\0');
  errno = 0;
  std::ifstream file(path);
  if (!file) return Error(StatusCode::kNotFound, "cannot read {}: {}", path, std::strerror(errno));
  file.read(name.data(), kNameBytesMax);
  name.resize(static_cast<size_t>(file.gcount()));
  name.erase(std::min(name.find('\n'), name.size()));
  StatusOr<std::unique_ptr<Model>> model = MakeBuiltinModel("builtin:" + name);
  if (!model.ok()) return Error(StatusCode::kNotFound, "{}: {}", path, MessageOf(model.status()));
  return model;
}

std::unique_ptr<core::Loader> MakeBuiltinFolderLoader(core::ServableId id, std::string version_path,
                                                      MetricsRegistry& metrics,
                                                      InlineOptions inline_options) {
  return std::make_unique<BuiltinFolderLoader>(std::move(id), std::move(version_path), metrics,
                                               inline_options);
}

}  // namespace penstock
