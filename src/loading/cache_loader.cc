// SPDX-License-Identifier: Apache-2.0
#include "loading/cache_loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "absl/strings/ascii.h"
#include "base/log.h"
#include "base/os/give_way.h"
#include "batch/batch_rules.h"
#include "batch/row_check.h"
#include "cache/no_cache.h"
#include "cache/row_cache.h"
#include "loading/version_identity.h"

namespace penstock {

namespace {

// A name for files that stands for the name of a model, which may have any characters.
std::string FolderName(const std::string& model) {
  std::string name;
  for (const char c : model) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' ||
        (c == '.' && !name.empty())) {
      name += c;
    } else {
      name += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return name;
}

cache::DiskOptions DiskOptionsOf(const cache::CacheSettings& settings) {
  return {.folder = settings.folder,
          .bytes_max = settings.disk_bytes,
          .ttl = settings.ttl,
          .queue_bytes_max = settings.queue_bytes_max};
}

}  // namespace

cache::CacheSettings SettingsOf(const CacheConfig& config, const std::string& model,
                                cache::CacheSettings defaults) {
  defaults.enabled = config.enabled;
  defaults.memory_bytes = config.memory_bytes.value_or(defaults.memory_bytes);
  defaults.ttl = std::chrono::seconds(config.ttl_seconds);
  defaults.outputs = config.outputs;
  defaults.disk_bytes = config.disk_bytes.value_or(defaults.disk_bytes);
  if (defaults.disk_bytes == 0) defaults.folder.clear();
  if (!defaults.folder.empty())
    defaults.folder += '/' + (config.path.empty() ? FolderName(model) : config.path);
  return defaults;
}

StatusOr<std::unique_ptr<core::Servable>> CacheLoader::Load() {
  const auto identity = [this](const std::string& platform) {
    return VersionIdentity(options_.id, platform, options_.path);
  };
  const std::string before = identity("");
  ASSIGN_OR_RETURN(std::unique_ptr<core::Servable> servable, loader().Load());
  // All loaders return what MakeServedModel makes, so the cast is safe.
  auto& model = static_cast<ServedModel&>(*servable);
  if (identity("") != before) {
    PENSTOCK_LOG(kWarning,
                 "{} has no cache: its files changed while it was loaded, so the cache could not "
                 "tell its answers from those of other files",
                 options_.id.ToString());
    return servable;
  }
  const std::string& platform = model.info().platform;
  std::string whole = identity(platform) + options_.server_identity;
  if (options_.runtime_of) whole += RuntimeIdentity(options_.runtime_of(platform));
  TRY(SetUp(model, std::move(whole)));
  return servable;
}

Status CacheLoader::CheckOutputs(const ModelInfo& info) const {
  for (const std::string& output : options_.settings.outputs) {
    const bool is_known = std::ranges::any_of(info.signatures, [&](const Signature& signature) {
      return signature.FindOutput(output) != nullptr;
    });
    if (!is_known)
      return InvalidArgument("{}: the cache keeps the output '{}', which no signature has",
                             options_.id.ToString(), output);
  }
  return OkStatus();
}

Status CacheLoader::SetUp(ServedModel& model, std::string identity) {
  const ModelInfo& info = model.info();
  TRY(CheckOutputs(info));
  if (info.traits.runs_others) {
    PENSTOCK_LOG(kInfo, "{} has no cache: it only runs other models, which may have one",
                 options_.id.ToString());
    return OkStatus();
  }
  std::vector<Status> why_not;
  bool is_any_on = false;
  for (uint32_t i = 0; i < info.signatures.size(); ++i) {
    why_not.push_back(Decide(model, i));
    if (cancel_.IsCancelled()) return absl::CancelledError("the load was cancelled");
    LogDecision(info.signatures[i].name, why_not.back());
    is_any_on = is_any_on || why_not.back().ok();
  }
  if (info.signatures.empty())
    PENSTOCK_LOG(kInfo, "{} has no cache: it has no signatures", options_.id.ToString());
  if (!is_any_on) {
    model.SetCache(std::make_unique<cache::NoCache>(info, std::move(why_not)));
    return OkStatus();
  }
  std::shared_ptr<cache::DiskStore> store = OpenStore();
  const cache::MacKey key = store == nullptr ? cache::RandomMacKey() : store->mac_key();
  auto version = std::make_shared<cache::VersionCache>(
      info, cache::VersionCacheOptions{options_.id, std::move(identity), options_.settings}, key,
      std::move(store), metrics_);
  for (uint32_t i = 0; i < info.signatures.size(); ++i) {
    if (why_not[i].ok()) {
      version->TurnOn(i);
    } else {
      version->Refuse(i, why_not[i]);
    }
  }
  has_cache_ = true;
  model.SetCache(std::make_unique<cache::RowCache>(std::move(version)));
  return OkStatus();
}

void CacheLoader::LogDecision(const std::string& signature, const Status& why_not) const {
  if (why_not.ok()) {
    PENSTOCK_LOG(kInfo, "{}: the answers of signature '{}' are cached", options_.id.ToString(),
                 signature);
    return;
  }
  // Nobody can say so of a model with state, or of one whose rows were seen to depend on others.
  const bool may_be_forced = why_not.code() == StatusCode::kFailedPrecondition;
  PENSTOCK_LOG(kInfo, "{}: the answers of signature '{}' are not cached: {}{}",
               options_.id.ToString(), signature, MessageOf(why_not),
               may_be_forced
                   ? " (batching { enabled: true } says that its rows do not depend on each other)"
                   : "");
}

Status CacheLoader::Decide(ServedModel& model, uint32_t position) {
  const Signature& signature = model.info().signatures[position];
  const ModelTraits& traits = model.info().traits;
  const batch::BatchRule rule = batch::JudgeSignature(signature, traits);
  if (rule.verdict == batch::Verdict::kImpossible) return absl::UnimplementedError(rule.reason);
  // Whoever forces batching says that rows are independent, and not that answers stay the same.
  if (traits.has_side_effects || traits.has_state || traits.not_deterministic)
    return absl::UnimplementedError(rule.reason);
  if (signature.outputs.size() > cache::kOutputsMax)
    return Error(StatusCode::kUnimplemented, "it has more than {} outputs", cache::kOutputsMax);
  if (model.batcher() != nullptr && model.batcher()->IsOn(position)) return OkStatus();
  if (rule.verdict == batch::Verdict::kDoubtful) return absl::FailedPreconditionError(rule.reason);
  const GiveWay to_requests;
  std::vector<std::shared_ptr<const RecentRequest>> kept;
  if (options_.recent != nullptr) kept = options_.recent->Kept();
  std::vector<const InferRequest*> samples;
  for (const auto& each : kept) samples.push_back(&each->request());
  return batch::CheckRowsAreIndependent(model.model(), signature, samples, cancel_);
}

std::shared_ptr<cache::DiskStore> CacheLoader::OpenStore() {
  const cache::CacheSettings& settings = options_.settings;
  if (settings.folder.empty()) return nullptr;
  return stores_.Open(DiskOptionsOf(settings), options_.id.name);
}

core::ResourceEstimate CacheLoader::WithMemory(core::ResourceEstimate estimate) const {
  const cache::CacheSettings& settings = options_.settings;
  // 0: it is not known what the version takes, so nothing is reserved for it.
  if (estimate.ram_bytes == 0) return estimate;
  estimate.ram_bytes += settings.memory_bytes;
  if (!settings.folder.empty())
    estimate.ram_bytes += cache::DiskStore::MemoryBytes(DiskOptionsOf(settings));
  return estimate;
}

StatusOr<core::ResourceEstimate> CacheLoader::EstimateResources() {
  ASSIGN_OR_RETURN(const core::ResourceEstimate estimate, LoaderStep::EstimateResources());
  return WithMemory(estimate);
}

StatusOr<core::ResourceEstimate> CacheLoader::ResourcesTaken(
    const std::optional<core::MemoryGrowth>& growth) {
  ASSIGN_OR_RETURN(const core::ResourceEstimate taken, LoaderStep::ResourcesTaken(growth));
  return has_cache_ ? WithMemory(taken) : taken;
}

}  // namespace penstock
