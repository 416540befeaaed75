// SPDX-License-Identifier: Apache-2.0
#include "loading/batch_loader.h"

#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/os/give_way.h"
#include "base/os/read_file.h"
#include "batch/batch_rules.h"
#include "batch/model_batcher.h"
#include "batch/row_check.h"
#include "config/batching_config.h"

namespace penstock {

using batch::BatchMode;

namespace {

constexpr size_t kParametersBytesMax = (64 << 10) - 1;

}  // namespace

StatusOr<std::unique_ptr<core::Servable>> BatchLoader::Load() {
  ASSIGN_OR_RETURN(std::unique_ptr<core::Servable> servable, loader().Load());
  // All loaders return what MakeServedModel makes, so the cast is safe.
  ASSIGN_OR_RETURN(const std::optional<batch::BatchSettings> settings, ReadSettings());
  if (settings) TRY(SetUp(static_cast<ServedModel&>(*servable), *settings));
  return servable;
}

StatusOr<std::optional<batch::BatchSettings>> BatchLoader::ReadSettings() const {
  if (options_.parameters_folder.empty()) return options_.settings;
  const std::filesystem::path path =
      std::filesystem::path(options_.parameters_folder) / "batching_params.pbtxt";
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) {
    PENSTOCK_LOG(kInfo, "{} is not batched: its folder has no batching_params.pbtxt",
                 options_.id.ToString());
    return std::nullopt;
  }
  const StatusOr<std::string> text = ReadWholeFile(path.string(), kParametersBytesMax);
  if (!text.ok()) return InvalidArgument("{}: {}", path.string(), MessageOf(text.status()));
  ASSIGN_OR_RETURN(BatchingConfig config, ParseBatchingParameters(*text, path.string()));
  config.num_batch_threads.reset();  // those of the server count
  return SettingsOf(config, options_.settings);
}

Status BatchLoader::SetUp(ServedModel& model, const batch::BatchSettings& settings) {
  const ModelInfo& info = model.info();
  auto batcher = std::make_unique<batch::ModelBatcher>(
      info, batch::BatcherOptions{options_.id, settings}, metrics_);
  bool is_any_on = false;
  for (uint32_t i = 0; i < info.signatures.size(); ++i) {
    const Status why_not = Decide(model, info.signatures[i], settings.mode);
    if (cancel_.IsCancelled()) return absl::CancelledError("the load was cancelled");
    if (why_not.ok()) {
      batcher->TurnOn(i);
      is_any_on = true;
      continue;
    }
    const bool is_possible = why_not.code() != StatusCode::kUnimplemented;
    PENSTOCK_LOG(kInfo, "{}: signature '{}' is not batched: {}{}", options_.id.ToString(),
                 info.signatures[i].name, MessageOf(why_not),
                 is_possible ? " (batching { enabled: true } turns it on)" : "");
  }
  if (is_any_on) model.SetBatcher(std::move(batcher), options_.runs);
  return OkStatus();
}

Status BatchLoader::Decide(ServedModel& model, const Signature& signature, BatchMode mode) {
  const batch::BatchRule rule = batch::JudgeSignature(signature, model.info().traits);
  if (rule.verdict == batch::Verdict::kImpossible) return absl::UnimplementedError(rule.reason);
  if (mode == BatchMode::kForced) return OkStatus();
  if (rule.verdict == batch::Verdict::kDoubtful) return absl::FailedPreconditionError(rule.reason);
  const GiveWay to_requests;
  std::vector<std::shared_ptr<const RecentRequest>> kept;
  if (options_.recent != nullptr) kept = options_.recent->Kept();
  std::vector<const InferRequest*> samples;
  for (const auto& each : kept) samples.push_back(&each->request());
  return batch::CheckRowsAreIndependent(model.model(), signature, samples, cancel_);
}

}  // namespace penstock
