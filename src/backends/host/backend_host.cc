// SPDX-License-Identifier: Apache-2.0
#include "backends/host/backend_host.h"

#include <filesystem>
#include <future>
#include <map>
#include <utility>

#include "backends/host/deadline_watch.h"
#include "backends/host/detect.h"
#include "backends/host/division_guard.h"
#include "backends/host/plugin.h"
#include "base/executor.h"
#include "base/mutex.h"

namespace penstock {

// The opened backends. Thread-safe.
class BackendHost::Impl final {
 public:
  explicit Impl(BackendHostOptions host_options)
      : options(std::move(host_options)),
        folder(options.folder.empty() ? DefaultBackendFolder() : options.folder) {}

  // The plugin for a version, and how the version gets into its format; null: it is in it.
  struct Choice {
    Plugin* plugin = nullptr;
    const ModelImporter* importer = nullptr;
  };

  StatusOr<InstalledBackend> Choose(const std::string& version_path,
                                    const LoadOptions& load) const {
    return ChooseBackend(FindBackends(folder, options.importers), load.platform, version_path);
  }
  // Finds the plugin for the version, and opens it if necessary.
  StatusOr<Choice> PluginFor(const std::string& version_path, const LoadOptions& load);

  const BackendHostOptions options;
  const std::string folder;
  DeadlineWatch watch;

 private:
  StatusOr<std::unique_ptr<Plugin>> OpenOnNormalThread(const InstalledBackend& installed);

  // A thread inherits the OS priority of the thread that creates it. Backends are opened on this
  // one, created by the constructor's thread: a load thread of low priority would give the
  // runtime's pools low priority for ever, and they run the requests of all models.
  ThreadPool opener_{{.name = "backend-opener", .threads = 1}};
  Mutex mutex_;  // held while a backend is opened: other loads with it would have to wait anyway
  std::map<std::string, std::unique_ptr<Plugin>> plugins_ GUARDED_BY(mutex_);
};

StatusOr<std::unique_ptr<Plugin>> BackendHost::Impl::OpenOnNormalThread(
    const InstalledBackend& installed) {
  std::promise<StatusOr<std::unique_ptr<Plugin>>> promise;
  const bool accepted =
      opener_.Submit([&] { promise.set_value(Plugin::Open(installed, options, watch)); });
  if (!accepted) return absl::UnavailableError("the server is stopping");
  return promise.get_future().get();
}

StatusOr<BackendHost::Impl::Choice> BackendHost::Impl::PluginFor(const std::string& version_path,
                                                                 const LoadOptions& load) {
  TRY(ListFolder(version_path).status());
  ASSIGN_OR_RETURN(InstalledBackend installed, Choose(version_path, load));
  const ModelImporter* const importer = std::exchange(installed.importer, nullptr);
  if (importer != nullptr) installed.name = importer->backend;
  MutexLock lock(mutex_);
  std::unique_ptr<Plugin>& plugin = plugins_[installed.name];
  if (plugin == nullptr) {
    ASSIGN_OR_RETURN(plugin, OpenOnNormalThread(installed));
  }
  return Choice{plugin.get(), importer};
}

BackendHost::BackendHost(BackendHostOptions options)
    : impl_(std::make_unique<Impl>(std::move(options))) {
  GuardDivisions();
}

BackendHost::~BackendHost() = default;

StatusOr<std::unique_ptr<Model>> BackendHost::Load(const std::string& version_path,
                                                   const LoadOptions& options) {
  ASSIGN_OR_RETURN(const Impl::Choice choice, impl_->PluginFor(version_path, options));
  const std::string path = std::filesystem::absolute(version_path);
  if (choice.importer == nullptr) return choice.plugin->Load(path, options);
  ASSIGN_OR_RETURN(std::string model, choice.importer->import(path));
  LoadOptions with_model = options;
  with_model.options.emplace_back("model", std::move(model));
  with_model.imported_from = choice.importer->platform;
  return choice.plugin->Load(path, with_model);
}

StatusOr<uint64_t> BackendHost::EstimateBytes(const std::string& version_path,
                                              const LoadOptions& options) {
  // The factor for the memory that runtimes need beyond the files. TensorFlow Serving uses the
  // same.
  constexpr double kFactor = 1.2;
  // While an imported model is loaded, it is in memory in both forms.
  constexpr double kImportedFactor = 2;
  ASSIGN_OR_RETURN(const Impl::Choice choice, impl_->PluginFor(version_path, options));
  if (choice.importer == nullptr) {
    ASSIGN_OR_RETURN(const uint64_t bytes, choice.plugin->Estimate(version_path, options));
    if (bytes > 0) return bytes;
  }
  ASSIGN_OR_RETURN(const uint64_t file_bytes, FolderBytes(version_path));
  return static_cast<uint64_t>(static_cast<double>(file_bytes) *
                               (choice.importer != nullptr ? kImportedFactor : kFactor));
}

StatusOr<std::string> BackendHost::BackendFor(const std::string& version_path,
                                              const LoadOptions& options) const {
  ASSIGN_OR_RETURN(InstalledBackend installed, impl_->Choose(version_path, options));
  return std::move(installed.name);
}

std::string BackendHost::RuntimeOf(const std::string& platform) const {
  for (const ModelImporter& importer : impl_->options.importers)
    if (importer.platform == platform) return importer.backend;
  return platform;
}

StatusOr<ModelInfo> BackendHost::Describe(const std::string& version_path,
                                          const LoadOptions& options) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Model> model, Load(version_path, options));
  return model->info();
}

}  // namespace penstock
