// SPDX-License-Identifier: Apache-2.0
#include "loading/batch_loader.h"

#include <string_view>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/os/give_way.h"
#include "batch/batch_rules.h"
#include "batch/model_batcher.h"
#include "batch/row_check.h"

namespace penstock {

using batch::BatchMode;

StatusOr<std::unique_ptr<core::Servable>> BatchLoader::Load() {
  ASSIGN_OR_RETURN(std::unique_ptr<core::Servable> servable, loader_->Load());
  // All loaders return what MakeServedModel makes, so the cast is safe.
  TRY(SetUp(static_cast<ServedModel&>(*servable)));
  return servable;
}

Status BatchLoader::SetUp(ServedModel& model) {
  const ModelInfo& info = model.info();
  auto batcher = std::make_unique<batch::ModelBatcher>(
      info, batch::BatcherOptions{.id = options_.id, .rows_max = options_.settings.rows_max},
      metrics_);
  bool is_any_on = false;
  for (uint32_t i = 0; i < info.signatures.size(); ++i) {
    const Status why_not = Decide(model, info.signatures[i]);
    if (cancel_.IsCancelled()) return absl::CancelledError("the load was cancelled");
    if (why_not.ok()) {
      batcher->TurnOn(i);
      is_any_on = true;
      continue;
    }
    const bool is_possible = why_not.code() != StatusCode::kUnimplemented;
    PENSTOCK_LOG(kInfo, "{}: the signature '{}' is not batched: {}{}", options_.id.ToString(),
                 info.signatures[i].name, MessageOf(why_not),
                 is_possible ? "; penstock { batching { enabled: true } } in the model's "
                               "configuration turns it on"
                             : "");
  }
  if (is_any_on) model.SetBatcher(std::move(batcher), options_.runs);
  return OkStatus();
}

Status BatchLoader::Decide(ServedModel& model, const Signature& signature) {
  const batch::BatchRule rule = batch::JudgeSignature(signature, model.info().traits);
  if (rule.verdict == batch::Verdict::kImpossible) return absl::UnimplementedError(rule.reason);
  if (options_.settings.mode == BatchMode::kForced) return OkStatus();
  if (rule.verdict == batch::Verdict::kDoubtful) return absl::FailedPreconditionError(rule.reason);
  const GiveWay to_requests;
  std::vector<std::shared_ptr<const RecentRequest>> kept;
  if (options_.recent != nullptr) kept = options_.recent->Kept();
  std::vector<const InferRequest*> samples;
  for (const auto& each : kept) samples.push_back(&each->request());
  return batch::CheckRowsAreIndependent(model.model(), signature, samples, cancel_);
}

}  // namespace penstock
