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
#include "batch/filling_model.h"
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
  if (config.max_enqueued_batches) config.unused.emplace_back("max_enqueued_batches");
  for (const std::string& name : config.unused)
    PENSTOCK_LOG(kWarning, "{}: {} has no effect", path.string(), name);
  return SettingsOf(config, options_.settings);
}

Status BatchLoader::SetUp(ServedModel& model, const batch::BatchSettings& settings) {
  const batch::PadSettings& pad = settings.pad;
  if (Status status = batch::FillingModel::Check(model.info(), pad); !status.ok())
    return InvalidArgument("{}: {}", options_.id.ToString(), MessageOf(status));
  if (batch::FillsInputs(pad)) {
    model.WrapModel([&](std::unique_ptr<Model> inner) {
      return std::make_unique<batch::FillingModel>(std::move(inner), pad);
    });
  }
  const ModelInfo& info = model.info();
  auto batcher = std::make_unique<batch::ModelBatcher>(
      info, batch::BatcherOptions{options_.id, settings}, metrics_);
  bool is_any_on = false;
  for (uint32_t i = 0; i < info.signatures.size(); ++i) {
    const Status why_not = Decide(model, info.signatures[i], settings.mode);
    if (cancel_.IsCancelled()) return absl::CancelledError("the load was cancelled");
    if (why_not.ok()) {
      batcher->TurnOn(i, PadPlanOf(model, info.signatures[i], settings));
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
  const Samples samples = KeptSamples();
  return batch::CheckRowsAreIndependent(model.model(), signature, samples.requests, cancel_);
}

batch::PadPlan BatchLoader::PadPlanOf(ServedModel& model, const Signature& signature,
                                      const batch::BatchSettings& settings) {
  StatusOr<batch::PadPlan> plan = batch::PadPlan::Make(signature, settings.pad);
  // The operator of TensorFlow Serving's parameter knows that it changes answers.
  if (!plan->pads() || settings.mode == BatchMode::kForced || settings.pad.all_inputs)
    return *std::move(plan);
  const GiveWay to_requests;
  const Samples samples = KeptSamples();
  const Status status =
      batch::CheckPadding(model.model(), signature, *plan, samples.requests, cancel_);
  if (status.ok()) return *std::move(plan);
  PENSTOCK_LOG(kWarning,
               "{}: the inputs of signature '{}' are not padded: {} (batching {{ enabled: true }} "
               "pads them all the same)",
               options_.id.ToString(), signature.name, MessageOf(status));
  return {};
}

BatchLoader::Samples BatchLoader::KeptSamples() const {
  Samples samples;
  if (options_.recent != nullptr) samples.kept = options_.recent->Kept();
  for (const auto& each : samples.kept) samples.requests.push_back(&each->request());
  return samples;
}

}  // namespace penstock
