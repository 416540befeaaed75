// SPDX-License-Identifier: Apache-2.0
#include "batch/filling_model.h"

#include <algorithm>

namespace penstock::batch {
namespace {

bool IsFilled(const PadSettings& settings, const std::string& input) {
  return std::ranges::any_of(settings.rules, [&](const PadRule& rule) {
    return rule.mask_input == input || rule.length_input == input;
  });
}

}  // namespace

bool FillsInputs(const PadSettings& settings) {
  return std::ranges::any_of(settings.rules, [](const PadRule& rule) {
    return !rule.mask_input.empty() || !rule.length_input.empty();
  });
}

Status FillingModel::Check(const ModelInfo& info, const PadSettings& settings) {
  for (const PadRule& rule : settings.rules) {
    const bool is_known = std::ranges::any_of(info.signatures, [&](const Signature& signature) {
      return signature.FindInput(rule.input) != nullptr;
    });
    if (!is_known)
      return InvalidArgument("batching pads the input '{}', which no signature has", rule.input);
  }
  for (const Signature& signature : info.signatures) {
    if (const auto plan = PadPlan::Make(signature, settings); !plan.ok()) {
      return InvalidArgument("batching cannot pad: the signature '{}' {}", signature.name,
                             MessageOf(plan.status()));
    }
  }
  return OkStatus();
}

FillingModel::FillingModel(std::unique_ptr<Model> model, const PadSettings& settings)
    : model_(std::move(model)), info_(model_->info()) {
  for (Signature& signature : info_.signatures) {
    for (TensorSpec& spec : signature.inputs)
      if (IsFilled(settings, spec.name)) spec.optional = true;
  }
  for (const Signature& signature : info_.signatures)
    plans_.push_back(*PadPlan::Make(signature, settings));
}

void FillingModel::Run(const InferRequest& request, ResponseCallback done) {
  const Signature* const signature = info_.FindSignature(request.signature_name);
  const PadPlan* const plan =
      signature == nullptr ? nullptr
                           : &plans_[static_cast<size_t>(signature - info_.signatures.data())];
  if (plan == nullptr || !plan->MustFill(request)) return model_->Run(request, std::move(done));
  auto filled = std::make_shared<InferRequest>(request);
  if (Status status = plan->Fill(*filled); !status.ok())
    return AnswerError(done, std::move(status));
  // The callback keeps the request. A last call of `done` may destroy the original.
  model_->Run(*filled, [filled, done = std::move(done)](InferResponse&& part) mutable {
    done(std::move(part));
  });
}

}  // namespace penstock::batch
