// SPDX-License-Identifier: Apache-2.0
#include "batch/batch_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <string_view>

namespace penstock::batch {
namespace {

// Returns why the tensor has no rows along its first dimension. Empty if it has, as far as its
// description says. A tensor of any rank may have them.
std::string WhyNoRows(const TensorSpec& spec, std::string_view kind) {
  if (spec.part.role != CompositePart::Role::kNone) {
    return fmt::format("the {} '{}' is a part of a sparse or ragged value", kind, spec.name);
  }
  if (spec.batch_axis > 0) {
    return fmt::format("the {} '{}' has its rows along axis {}, not 0", kind, spec.name,
                       spec.batch_axis);
  }
  if (spec.unknown_rank) return {};
  if (spec.shape.rank() == 0) {
    return fmt::format("the {} '{}' is a scalar, so it has no rows", kind, spec.name);
  }
  if (spec.shape.dim(0) >= 0) {
    return fmt::format("the {} '{}' has the shape {}, so its number of rows is fixed", kind,
                       spec.name, spec.shape.ToString());
  }
  return {};
}

// Returns why an answer may depend on more than its own request. Empty if nothing says so.
std::string WhyDoubtful(const ModelTraits& traits) {
  if (traits.has_side_effects) return "a run of the model changes something outside of it";
  if (traits.has_state) return "an answer of the model may depend on earlier requests";
  if (traits.not_deterministic) return "the model may answer the same request differently";
  return {};
}

std::string WhyUnknown(std::span<const TensorSpec> specs, std::string_view kind) {
  for (const TensorSpec& spec : specs) {
    if (spec.unknown_rank)
      return fmt::format("the {} '{}' may have any number of dimensions", kind, spec.name);
  }
  return {};
}

bool HasOpenSize(const TensorSpec& spec) {
  for (size_t axis = 1; axis < spec.shape.rank(); ++axis)
    if (spec.shape.dim(axis) < 0) return true;
  return false;
}

// An output with a size that no input gives is as large as its rows need: in a batch, as the
// longest row needs.
std::string WhyGrows(const Signature& signature) {
  if (std::ranges::any_of(signature.inputs, HasOpenSize)) return {};
  for (const TensorSpec& output : signature.outputs) {
    if (HasOpenSize(output))
      return fmt::format("the size of the output '{}', {}, depends on the values of the inputs",
                         output.name, output.shape.ToString());
  }
  return {};
}

}  // namespace

BatchRule JudgeSignature(const Signature& signature, const ModelTraits& traits) {
  if (signature.inputs.empty()) return {Verdict::kImpossible, "it has no inputs"};
  for (const TensorSpec& input : signature.inputs) {
    if (std::string why = WhyNoRows(input, "input"); !why.empty())
      return {Verdict::kImpossible, std::move(why)};
  }
  for (const TensorSpec& output : signature.outputs) {
    if (std::string why = WhyNoRows(output, "output"); !why.empty())
      return {Verdict::kImpossible, std::move(why)};
  }
  std::string doubt = WhyDoubtful(traits);
  if (doubt.empty()) doubt = WhyUnknown(signature.inputs, "input");
  if (doubt.empty()) doubt = WhyUnknown(signature.outputs, "output");
  if (doubt.empty()) doubt = WhyGrows(signature);
  if (!doubt.empty()) return {Verdict::kDoubtful, std::move(doubt)};
  return {};
}

}  // namespace penstock::batch
