// SPDX-License-Identifier: Apache-2.0
#include "core/manager.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "core/background_threads.h"
#include "core/lookup.h"
#include "core/manager_impl.h"

namespace penstock::core {
namespace {

// Returns the entry of `version`, or of the newest version; null if it is not ready. A linear
// search is enough, because a model has few ready versions.
VersionEntry* FindVersion(const Snapshot::Model& model, std::optional<VersionNumber> version) {
  for (VersionEntry* entry : model.ready) {
    if (!version || entry->id().version == *version) return entry;
  }
  return nullptr;
}

// Returns the reason why a configured model has no such version ready, if the snapshot has it; else
// OK.
Status WhyAbsent(const Snapshot::Model& model, std::string_view name,
                 std::optional<VersionNumber> version) {
  for (const auto& [number, reason] : model.broken) {
    if (version && number != *version) continue;
    return Error(StatusCode::kUnavailable, "Servable {} version {} was taken from service: {}",
                 name, number.value, MessageOf(reason));
  }
  return model.ready.empty() ? model.absent : OkStatus();
}

}  // namespace

std::string SayVersions(std::vector<VersionNumber> versions) {
  if (versions.empty()) return "the model has no version";
  constexpr size_t kNamedMax = 10;
  std::sort(versions.begin(), versions.end());
  std::string names;
  for (size_t i = versions.size() - std::min(versions.size(), kNamedMax); i < versions.size(); ++i)
    names += fmt::format("{}{}", names.empty() ? "" : ", ", versions[i].value);
  return fmt::format("the model has version{} {}{}", versions.size() == 1 ? "" : "s",
                     versions.size() > kNamedMax ? "..., " : "", names);
}

Handle::~Handle() {
  if (entry_ != nullptr) entry_->Unref();
}
Handle Handle::Share() const {
  entry_->Ref();
  return Handle(entry_);
}
Servable& Handle::servable() const { return entry_->servable(); }
const ServableId& Handle::id() const { return entry_->id(); }

Manager::Manager(ManagerOptions options)
    : Manager(options, [&options](SnapshotCell& lookup) {
        return std::make_unique<BackgroundThreads>(
            BackgroundOptions{
                .load_threads = std::max(options.load_threads, options.initial_load_threads),
                .unload_threads = options.unload_threads,
                .nice = options.load_nice},
            lookup);
      }) {}
Manager::Manager(ManagerOptions options, const BackgroundFactory& make_background)
    : impl_(std::make_unique<Impl>(std::move(options), make_background)) {}
Manager::~Manager() { Stop(); }

Status Manager::SetModels(std::vector<ModelConfig> models) {
  return impl_->SetModels(std::move(models), /*is_complete_list=*/true);
}
Status Manager::SetModel(ModelConfig model) {
  std::vector<ModelConfig> models;
  models.push_back(std::move(model));
  return impl_->SetModels(std::move(models), /*is_complete_list=*/false);
}
Status Manager::RemoveModel(std::string_view name) { return impl_->RemoveModel(name); }
void Manager::SetAspired(std::string_view model, std::vector<AspiredVersion> versions,
                         uint64_t generation) {
  impl_->SetAspired(model, std::move(versions), generation);
}
void Manager::SetSourceStatus(std::string_view model, Status status, uint64_t generation) {
  impl_->SetSourceStatus(model, std::move(status), generation);
}

StatusOr<Handle> Manager::GetHandle(std::string_view name,
                                    std::optional<VersionNumber> version) const {
  {
    SnapshotCell::Reader snapshot(impl_->lookup());
    const auto model = snapshot->models.find(name);
    if (model == snapshot->models.end()) return ServableNotFound(name, version);
    if (VersionEntry* entry = FindVersion(*model->second, version)) {
      entry->Ref();
      return Handle(entry);
    }
    TRY(WhyAbsent(*model->second, name, version));
  }
  return impl_->WhyNotReady(name, version);
}

StatusOr<Handle> Manager::GetHandleByLabel(std::string_view name, std::string_view label) const {
  std::optional<VersionNumber> version;
  {
    SnapshotCell::Reader snapshot(impl_->lookup());
    const auto model = snapshot->models.find(name);
    if (model != snapshot->models.end()) {
      const auto found = model->second->labels.find(label);
      if (found != model->second->labels.end()) {
        if (VersionEntry* entry = FindVersion(*model->second, found->second)) {
          entry->Ref();
          return Handle(entry);
        }
        TRY(WhyAbsent(*model->second, name, found->second));
        version = found->second;
      }
    }
  }
  if (version) return impl_->WhyNotReady(name, version, label);
  return UnknownLabel(name, label);
}

Status Manager::UnknownLabel(std::string_view name, std::string_view label) const {
  constexpr size_t kNamedMax = 10;
  std::string names;
  size_t count = 0;
  for (const auto& [known, state] : Labels(name)) {
    if (++count <= kNamedMax) names += fmt::format("{}\"{}\"", count == 1 ? "" : ", ", known);
  }
  if (count > kNamedMax) names += ", ...";
  if (count == 0 && IsModelReady(name)) names = "no label";
  return InvalidArgument("Unrecognized servable version label: {}{}{}{}", label,
                         names.empty() ? "" : ": the model has ",
                         count == 0 ? "" : (count == 1 ? "label " : "labels "), names);
}

bool Manager::LoadOnDemand(Demand demand) {
  return IsModelOnDemand(demand.model) && impl_->LoadOnDemand(std::move(demand));
}

bool Manager::AwaitFirstLoad(Demand demand) { return impl_->AwaitFirstLoad(std::move(demand)); }

bool Manager::IsReady() const { return SnapshotCell::Reader(impl_->lookup())->is_ready; }

std::optional<bool> Manager::IsModelReady(std::string_view name) const {
  SnapshotCell::Reader snapshot(impl_->lookup());
  const auto model = snapshot->models.find(name);
  if (model == snapshot->models.end()) return std::nullopt;
  return !model->second->ready.empty();
}

bool Manager::IsModelExpected(std::string_view name) const {
  SnapshotCell::Reader snapshot(impl_->lookup());
  const auto model = snapshot->models.find(name);
  if (model == snapshot->models.end()) return false;
  return model->second->is_expected && !model->second->on_demand;
}

bool Manager::IsModelOnDemand(std::string_view name) const {
  SnapshotCell::Reader snapshot(impl_->lookup());
  const auto model = snapshot->models.find(name);
  return model != snapshot->models.end() && model->second->on_demand;
}

bool Manager::IsModelEstablished(std::string_view name) const {
  SnapshotCell::Reader snapshot(impl_->lookup());
  const auto model = snapshot->models.find(name);
  if (model == snapshot->models.end()) return false;
  return model->second->is_expected && !model->second->on_demand && model->second->is_established();
}

bool Manager::IsModelStarting(std::string_view name) const {
  SnapshotCell::Reader snapshot(impl_->lookup());
  const auto model = snapshot->models.find(name);
  if (model == snapshot->models.end()) return false;
  const Snapshot::Model& view = *model->second;
  return view.is_expected && !view.on_demand && view.is_of_start && !view.has_served;
}

std::vector<std::string> Manager::ModelNames() const { return impl_->ModelNames(); }
std::vector<VersionStatus> Manager::VersionStatuses(std::string_view name) const {
  return impl_->VersionStatuses(name);
}
Status Manager::SourceStatus(std::string_view name) const { return impl_->SourceStatus(name); }
std::map<std::string, LabelState> Manager::Labels(std::string_view name) const {
  return impl_->Labels(name);
}
std::optional<ModelStatus> Manager::StatusOf(std::string_view name) const {
  return impl_->StatusOf(name);
}
Manager::Memory Manager::MemoryUse() const { return impl_->MemoryUse(); }
int Manager::AddListener(ManagerListener listener) {
  return impl_->events().AddListener(std::move(listener));
}
void Manager::RemoveListener(int id) { impl_->events().RemoveListener(id); }
bool Manager::WaitFor(const std::function<bool()>& condition, SteadyTime until) const {
  return impl_->events().WaitFor(condition, until);
}
bool Manager::WaitUntilIdle(SteadyTime until) const { return impl_->WaitUntilIdle(until); }
std::vector<RunningLoad> Manager::RunningLoads() const { return impl_->RunningLoads(); }
void Manager::WaitUntilUnloaded() const { impl_->WaitUntilUnloaded(); }
void Manager::StartDrain() { impl_->StartDrain(); }
bool Manager::Stop(SteadyTime until) { return impl_->Stop(until); }

}  // namespace penstock::core
