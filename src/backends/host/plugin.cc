// SPDX-License-Identifier: Apache-2.0
// A backend may report a model as broken at any moment, from any thread: while the model loads,
// while it serves, and even while it is unloaded. `mutex_` orders these reports with the map of
// models.
//
// - A report for a model in the map marks it. The lock is held meanwhile, and ~HostedModel first
// calls Forget, which takes the same lock. So the model cannot be destroyed during the report.
//
// - A report during a load finds no model, because only the backend knows the pointer so far. It
// waits in `broken_early_` until the load enters the model into the map.
//
// - A report that the whole backend is broken marks all models and makes all later loads fail. Only
// a restart of the server helps, because a runtime cannot be closed and opened again.
#include "backends/host/plugin.h"

#include <dlfcn.h>

#include <exception>
#include <utility>

#include "backends/host/abi.h"
#include "backends/host/backend_log.h"
#include "backends/host/hosted_model.h"
#include "base/log.h"
#include "base/os/machine.h"

namespace penstock {
namespace {

// Calls a function of the backend, and converts an exception to a status. Only a backend that
// breaks the ABI's rules throws, but then one request should fail and not the process.
template <typename Function>
Status Call(Function&& function) {
  abi::ErrorSink error;
  try {
    const int32_t code = function(&error);
    return abi::ToStatus(code, error.text.empty() ? "the backend gave no reason" : error.text);
  } catch (const std::exception& thrown) {
    return Error(StatusCode::kInternal, "the backend threw: {}", thrown.what());
  } catch (...) {
    return absl::InternalError("the backend threw");
  }
}

Status WithContext(const Status& status, std::string_view backend, std::string_view path) {
  std::string_view reason = MessageOf(status);
  if (reason.ends_with('.')) reason.remove_suffix(1);
  return Error(status.code(), "{}: {} (backend {})", path, reason, backend);
}

std::vector<PenstockOption> ToC(const BackendOptions& options) {
  std::vector<PenstockOption> result;
  for (const auto& [key, value] : options) {
    result.push_back({abi::ToC(key), abi::ToC(value)});
  }
  return result;
}

Status WrongAbi(uint32_t abi) {
  return Error(StatusCode::kFailedPrecondition,
               "it was built for version {} of the backend interface, and this server has version "
               "{}: build it again with include/penstock/backend.h of this server",
               abi, PENSTOCK_BACKEND_ABI);
}

StatusOr<const PenstockBackend*> GetTable(PenstockBackendGet get, uint32_t abi) {
  const PenstockBackend* table = nullptr;
  TRY(Call([&](PenstockError*) {
    table = get(abi);
    return PENSTOCK_OK;
  }));
  return table;
}

// A backend gives no table to a host of another version than its own. Finds out the backend's
// version, for the message.
Status NoTable(PenstockBackendGet get) {
  for (uint32_t abi = 1; abi < PENSTOCK_BACKEND_ABI; ++abi) {
    ASSIGN_OR_RETURN(const PenstockBackend* const table, GetTable(get, abi));
    if (table != nullptr) return WrongAbi(abi);
  }
  return Error(StatusCode::kFailedPrecondition,
               "it does not work with version {} of the backend interface, which this server has",
               PENSTOCK_BACKEND_ABI);
}

Status CheckTable(const PenstockBackend* table) {
  if (table->abi != PENSTOCK_BACKEND_ABI) return WrongAbi(table->abi);
  if (table->struct_size < sizeof(PenstockBackend)) {
    return Error(StatusCode::kFailedPrecondition,
                 "its table of functions has {} bytes, at least {} are needed", table->struct_size,
                 sizeof(PenstockBackend));
  }
  if (table->initialise == nullptr || table->load == nullptr || table->describe == nullptr ||
      table->run == nullptr || table->unload == nullptr) {
    return absl::FailedPreconditionError(
        "its table lacks one of initialise, load, describe, run, unload");
  }
  return OkStatus();
}

StatusOr<const PenstockBackend*> OpenTable(const std::string& library) {
  // RTLD_LOCAL: two runtimes may contain different versions of one library, and neither may see the
  // other's symbols. RTLD_NOW: a missing symbol fails the load and not a request. The handle is
  // never closed, because runtimes leave threads behind.
  void* const handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) return absl::FailedPreconditionError(dlerror());
  const auto get = reinterpret_cast<PenstockBackendGet>(dlsym(handle, PENSTOCK_BACKEND_SYMBOL));
  if (get == nullptr) {
    return Error(StatusCode::kFailedPrecondition, "it does not export {}", PENSTOCK_BACKEND_SYMBOL);
  }
  ASSIGN_OR_RETURN(const PenstockBackend* const table, GetTable(get, PENSTOCK_BACKEND_ABI));
  if (table == nullptr) return NoTable(get);
  TRY(CheckTable(table));
  return table;
}

}  // namespace

Plugin::Plugin(const PenstockBackend& table, const InstalledBackend& installed,
               const BackendHostOptions& options, DeadlineWatch& watch)
    : table_(table), installed_(installed), options_(options), watch_(watch) {
  const auto found = options_.options.find(installed_.name);
  if (found != options_.options.end()) option_list_ = ToC(found->second);
  FillServices();
}

Plugin::~Plugin() {
  if (initialised_ && table_.shut_down != nullptr) table_.shut_down(backend_);
}

StatusOr<std::unique_ptr<Plugin>> Plugin::Open(const InstalledBackend& installed,
                                               const BackendHostOptions& options,
                                               DeadlineWatch& watch) {
  StatusOr<const PenstockBackend*> table = OpenTable(installed.library);
  if (!table.ok()) {
    return Error(StatusCode::kFailedPrecondition, "cannot open the backend {}: {}",
                 installed.library, MessageOf(table.status()));
  }
  std::unique_ptr<Plugin> plugin(new Plugin(**table, installed, options, watch));
  const Status initialised = plugin->Initialise();
  if (!initialised.ok()) {
    const auto set_by = options.set_by.find(installed.name);
    return Error(initialised.code(), "cannot start the backend {}: {}{}", installed.name,
                 MessageOf(initialised),
                 set_by == options.set_by.end() ? "" : fmt::format(" ({})", set_by->second));
  }
  PENSTOCK_LOG(kInfo, "opened the backend {} {}", installed.name,
               abi::View(plugin->table_.version));
  return plugin;
}

Status Plugin::Initialise() {
  TRY(Call(
      [this](PenstockError* error) { return table_.initialise(&services_, &backend_, error); }));
  initialised_ = true;
  return OkStatus();
}

void Plugin::FillServices() {
  const auto threads = [](int wanted) {
    return static_cast<uint32_t>(wanted > 0 ? wanted : UsableCpus());
  };
  services_.plugin = this;
  services_.struct_size = sizeof(PenstockHost);
  services_.abi = PENSTOCK_BACKEND_ABI;
  services_.intra_op_threads = threads(options_.intra_op_threads);
  services_.inter_op_threads = threads(options_.inter_op_threads);
  services_.folder = abi::ToC(installed_.folder);
  services_.options = option_list_.data();
  services_.option_count = option_list_.size();
  services_.log = [](const PenstockHost* host, int32_t severity, PenstockString text) {
    Plugin* const plugin = static_cast<const Services*>(host)->plugin;
    LogOfBackend(plugin->installed_.name, severity, abi::View(text), plugin->log_limit_);
  };
  services_.allocate = [](const PenstockHost*, size_t bytes, PenstockOwner* owner) {
    return abi::Allocate(bytes, *owner);
  };
  services_.submit = [](const PenstockHost* host, void (*task)(void*), void* argument) -> int32_t {
    Executor* const pool = static_cast<const Services*>(host)->plugin->options_.pool;
    return pool != nullptr && pool->Submit([task, argument] { task(argument); }) ? 1 : 0;
  };
  services_.metric = [](const PenstockHost* host, int32_t kind, PenstockString name, double value) {
    static_cast<const Services*>(host)->plugin->Metric(kind, abi::View(name), value);
  };
  services_.broken = [](const PenstockHost* host, const void* model, PenstockString reason) {
    static_cast<const Services*>(host)->plugin->Broken(model, abi::View(reason));
  };
}

void Plugin::Metric(int32_t kind, std::string_view name, double value) {
  if (options_.metrics == nullptr) return;
  std::string full = fmt::format("penstock_backend_{}_{}", installed_.name, name);
  // Prometheus allows only these characters, and the name is the backend's choice.
  for (char& c : full) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  constexpr std::string_view kHelp = "Reported by the backend.";
  if (kind == PENSTOCK_METRIC_GAUGE) {
    options_.metrics->AddGauge(full, kHelp).Set(value);
  } else if (kind == PENSTOCK_METRIC_HISTOGRAM) {
    options_.metrics->AddHistogram(full, kHelp, LatencyBucketsUs()).Record(value);
  } else {
    options_.metrics->AddCounter(full, kHelp).Add(value > 0 ? static_cast<uint64_t>(value) : 0);
  }
}

void Plugin::Broken(const void* model, std::string_view reason) {
  if (model == nullptr) {
    BrokenAsAWhole(reason);
    return;
  }
  MutexLock lock(mutex_);
  const auto found = models_.find(model);
  if (found != models_.end()) {
    found->second->MarkBroken(reason);
  } else if (loads_ > 0) {
    broken_early_.try_emplace(model, reason);
  } else {
    PENSTOCK_LOG(kWarning, "{}: a model that is not loaded was reported as broken: {}",
                 installed_.name, reason);
  }
}

void Plugin::BrokenAsAWhole(std::string_view reason) {
  MutexLock lock(mutex_);
  if (!broken_) {
    PENSTOCK_LOG(kError,
                 "{}: the backend reported itself as broken; it loads nothing more until the "
                 "server is restarted: {}",
                 installed_.name, reason);
    broken_ = true;
    broken_reason_ = reason;
  }
  for (const auto& [pointer, model] : models_) model->MarkBroken(reason);
}

void Plugin::Forget(const void* model) {
  MutexLock lock(mutex_);
  models_.erase(model);
}

StatusOr<uint64_t> Plugin::Estimate(const std::string& version_path, const LoadOptions& options) {
  if (table_.estimate == nullptr) return uint64_t{0};
  const std::vector<PenstockOption> list = ToC(options.options);
  const PenstockLoad load = {sizeof(PenstockLoad), abi::ToC(version_path),
                             abi::ToC(options.model_name), list.data(), list.size()};
  uint64_t bytes = 0;
  const Status status =
      Call([&](PenstockError* error) { return table_.estimate(backend_, &load, &bytes, error); });
  if (!status.ok()) return WithContext(status, installed_.name, version_path);
  return bytes;
}

Status Plugin::NotBroken() const {
  if (!broken_) return OkStatus();
  return Error(StatusCode::kUnavailable,
               "the backend {} reported itself as broken, and needs a restart of the server: {}",
               installed_.name, broken_reason_);
}

StatusOr<abi::Description> Plugin::Describe(void* loaded) const {
  const PenstockModelInfo* info = nullptr;
  TRY(Call([&](PenstockError*) {
    info = table_.describe(loaded);
    return PENSTOCK_OK;
  }));
  return abi::FromC(abi::View(table_.name), info);
}

StatusOr<std::unique_ptr<Model>> Plugin::Load(const std::string& version_path,
                                              const LoadOptions& options) {
  {
    MutexLock lock(mutex_);
    TRY(NotBroken());
    ++loads_;
  }
  StatusOr<std::unique_ptr<Model>> model = CallLoad(version_path, options);
  MutexLock lock(mutex_);
  // A report for a pointer that no load returned must not hit a later model at the same address.
  if (--loads_ == 0) broken_early_.clear();
  // The backend may have broken during the load. If so, the model is destroyed on return, after the
  // lock is released, because `model` is declared before `lock`. Its destructor takes the lock.
  TRY(NotBroken());
  return model;
}

StatusOr<std::unique_ptr<Model>> Plugin::CallLoad(const std::string& version_path,
                                                  const LoadOptions& options) {
  const std::vector<PenstockOption> list = ToC(options.options);
  const PenstockLoad load = {sizeof(PenstockLoad), abi::ToC(version_path),
                             abi::ToC(options.model_name), list.data(), list.size()};
  void* loaded = nullptr;
  const ModelOnThread model_on_thread(options.model_name);
  const Status status =
      Call([&](PenstockError* error) { return table_.load(backend_, &load, &loaded, error); });
  if (!status.ok()) return WithContext(status, installed_.name, version_path);
  if (loaded == nullptr) {
    return WithContext(absl::InternalError("the backend's load succeeded but gave no model"),
                       installed_.name, version_path);
  }
  StatusOr<abi::Description> description = Describe(loaded);
  if (!description.ok()) {
    table_.unload(loaded);
    return WithContext(description.status(), installed_.name, version_path);
  }
  if (!options.imported_from.empty()) description->info.platform = options.imported_from;
  for (const std::string& note : description->info.notes) {
    PENSTOCK_LOG(kWarning, "{}: {}", version_path, note);
  }
  auto model = std::make_unique<HostedModel>(table_, loaded, *std::move(description), watch_,
                                             [this, loaded] { Forget(loaded); });
  model->set_name(options.model_name);
  MutexLock lock(mutex_);
  models_[loaded] = model.get();
  const auto early = broken_early_.find(loaded);
  if (early != broken_early_.end()) model->MarkBroken(early->second);
  return model;
}

}  // namespace penstock
