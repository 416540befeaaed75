// SPDX-License-Identifier: Apache-2.0
#include "cells/cell_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <ranges>
#include <string_view>
#include <utility>

namespace penstock::cells {
namespace {

// Returns why no step of a batch of sequences can have the tensor. Empty: it can.
std::string WhyNoRows(const TensorSpec& spec) {
  if (spec.dtype == DType::kString) return "it has strings, which a cell cannot have";
  if (spec.part.role != CompositePart::Role::kNone)
    return "it is a part of a sparse or ragged value";
  if (spec.unknown_rank) return {};
  if (spec.shape.rank() == 0 || spec.shape.dim(0) >= 0 || spec.batch_axis > 0)
    return fmt::format(
        "its shape is {}, but the first dimension must be open: a row for each sequence",
        DescribeShape(spec));
  return {};
}

// True if the shape of a row depends on the request.
bool HasOpenRow(const TensorSpec& spec) {
  return spec.unknown_rank ||
         std::ranges::any_of(spec.shape.dims().subspan(1), [](int64_t dim) { return dim < 0; });
}

Status CheckRows(const Signature& signature) {
  for (const auto& [kind, specs] :
       {std::pair("input", &signature.inputs), std::pair("output", &signature.outputs)}) {
    for (const TensorSpec& spec : *specs) {
      if (const std::string why = WhyNoRows(spec); !why.empty())
        return InvalidArgument("has a cell with the {} '{}': {}", kind, spec.name, why);
    }
  }
  return OkStatus();
}

// The names of tensors, for messages.
std::string NamesOf(const std::vector<TensorSpec>& specs) {
  std::string names;
  for (const TensorSpec& spec : specs)
    names += fmt::format("{}'{}'", names.empty() ? "" : ", ", spec.name);
  return names.empty() ? "none" : names;
}

StatusOr<uint32_t> PlaceOf(const std::vector<TensorSpec>& specs, std::string_view name,
                           std::string_view kind) {
  const auto found = std::ranges::find(specs, name, &TensorSpec::name);
  if (found == specs.end())
    return InvalidArgument("has a cell with the {} '{}', which the model lacks; it has {}", kind,
                           name, NamesOf(specs));
  return static_cast<uint32_t>(found - specs.begin());
}

// One row of zeros.
StatusOr<Tensor> StartOf(const TensorSpec& spec) {
  Shape shape = spec.shape;
  shape.SetDim(0, 1);
  ASSIGN_OR_RETURN(Tensor zeros, Tensor::Allocate(spec.dtype, std::move(shape)));
  std::memset(zeros.mutable_data(), 0, zeros.bytes());
  return zeros;
}

// True if rows of `a` may have the shape of rows of `b`.
bool RowsFit(const TensorSpec& a, const TensorSpec& b) {
  if (a.dtype != b.dtype) return false;
  if (a.unknown_rank || b.unknown_rank) return true;
  return std::ranges::equal(a.shape.dims().subspan(1), b.shape.dims().subspan(1),
                            [](int64_t x, int64_t y) { return x == y || x < 0 || y < 0; });
}

Status AddState(const CellState& from, CellPlan& plan) {
  const Signature& cell = *plan.signature;
  PlannedState state;
  ASSIGN_OR_RETURN(state.input, PlaceOf(cell.inputs, from.input, "state input"));
  ASSIGN_OR_RETURN(state.output, PlaceOf(cell.outputs, from.output, "state output"));
  CellInput& input = plan.inputs[state.input];
  CellOutput& output = plan.outputs[state.output];
  if (input.role != InputRole::kConstant)
    return InvalidArgument("has a cell that names the input '{}' twice", from.input);
  if (output.state >= 0)
    return InvalidArgument("has a cell that names the state output '{}' twice", from.output);
  if (!RowsFit(*input.spec, *output.spec))
    return InvalidArgument(
        "has a cell whose state goes from the output '{}' ({} {}) to the input '{}' ({} {}); types "
        "and rows must be equal",
        from.output, DTypeName(output.spec->dtype), DescribeShape(*output.spec), from.input,
        DTypeName(input.spec->dtype), DescribeShape(*input.spec));
  input.role = InputRole::kState;
  input.state = static_cast<uint32_t>(plan.states.size());
  output.state = static_cast<int>(plan.states.size());
  output.each_step = from.each_step;
  if (!HasOpenRow(*input.spec)) {
    ASSIGN_OR_RETURN(state.start, StartOf(*input.spec));
  }
  plan.states.push_back(std::move(state));
  return OkStatus();
}

Status AddStop(const std::string& name, CellPlan& plan) {
  if (name.empty()) return OkStatus();
  ASSIGN_OR_RETURN(const uint32_t place, PlaceOf(plan.signature->outputs, name, "stop"));
  CellOutput& output = plan.outputs[place];
  if (output.state >= 0)
    return InvalidArgument("has a cell whose stop, '{}', is a state too", name);
  if (output.spec->dtype != DType::kBool)
    return InvalidArgument("has a cell whose stop, '{}', has the type {}; it must be bool", name,
                           DTypeName(output.spec->dtype));
  if (output.spec->unknown_rank || std::ranges::any_of(output.spec->shape.dims().subspan(1),
                                                       [](int64_t dim) { return dim != 1; }))
    return InvalidArgument(
        "has a cell whose stop, '{}', has the shape {}; it must have one value "
        "for each sequence",
        name, DescribeShape(*output.spec));
  output.is_stop = true;
  output.each_step = false;
  plan.has_stop = true;
  return OkStatus();
}

// The tensor of whole sequences: the steps are a dimension after the rows.
TensorSpec OverSteps(const TensorSpec& spec) {
  TensorSpec all = spec;
  if (spec.unknown_rank) return all;
  Shape shape{-1, -1};
  for (const int64_t dim : spec.shape.dims().subspan(1)) shape.Append(dim);
  all.shape = std::move(shape);
  all.batch_axis = 0;
  if (!all.dimension_names.empty())
    all.dimension_names.insert(all.dimension_names.begin() + 1, "steps");
  return all;
}

TensorSpec CountOf(std::string name, bool optional) {
  TensorSpec spec;
  spec.name = std::move(name);
  spec.dtype = DType::kInt64;
  spec.shape = Shape{-1};
  spec.batch_axis = 0;
  spec.optional = optional;
  return spec;
}

// Adds a tensor that the cell lacks behind all others.
Status AddCount(TensorSpec spec, std::string_view option, std::vector<TensorSpec>& specs) {
  if (std::ranges::find(specs, spec.name, &TensorSpec::name) != specs.end())
    return InvalidArgument(
        "has a cell with a tensor of the name '{}', which the server adds; {} "
        "gives it another name",
        spec.name, option);
  const bool has_places = std::ranges::any_of(specs, [](const auto& each) { return each.place; });
  if (has_places) spec.place = static_cast<uint32_t>(specs.size());
  specs.push_back(std::move(spec));
  return OkStatus();
}

void SortByName(std::vector<TensorSpec>& specs) {
  // Without places, the order of the names is the model's own.
  std::ranges::sort(specs, {}, &TensorSpec::name);
}

Status DescribeSequences(const ModelInfo& cell, CellPlan& plan) {
  plan.info.platform = cell.platform;
  plan.info.notes = cell.notes;
  plan.info.left_out = cell.left_out;
  for (const Signature& other : cell.signatures) {
    if (&other != plan.signature)
      plan.info.left_out.push_back({other.name,
                                    "the model is served as a cell, and only the "
                                    "signature of the cell is"});
  }
  ModelTraits& traits = plan.info.traits;
  traits.not_deterministic = cell.traits.not_deterministic;
  traits.has_side_effects = cell.traits.has_side_effects;
  // A request waits in the cell's own queue, and its steps get slots.
  traits.runs_others = true;

  Signature& all = plan.info.signatures.emplace_back();
  all.name = plan.signature->name;
  all.method_name = plan.signature->method_name;
  all.left_out = plan.signature->left_out;
  for (const CellInput& input : plan.inputs) {
    TensorSpec& spec = all.inputs.emplace_back(
        input.role == InputRole::kStep ? OverSteps(*input.spec) : *input.spec);
    // A sequence without a state starts with zeros, if it is known how many.
    if (input.role != InputRole::kConstant)
      spec.optional = input.role == InputRole::kState && !HasOpenRow(*input.spec);
  }
  for (const CellOutput& output : plan.outputs) {
    if (output.is_stop) continue;
    all.outputs.push_back(output.each_step ? OverSteps(*output.spec) : *output.spec);
  }
  TRY(AddCount(CountOf(plan.lengths_input, plan.has_steps), "lengths_input", all.inputs));
  if (plan.has_stop) TRY(AddCount(CountOf(plan.steps_output, false), "steps_output", all.outputs));
  SortByName(all.inputs);
  SortByName(all.outputs);
  return OkStatus();
}

}  // namespace

StatusOr<CellPlan> CellPlan::Make(const ModelInfo& cell, const CellSettings& settings) {
  CellPlan plan;
  plan.signature = cell.FindSignature(settings.signature);
  if (plan.signature == nullptr)
    return InvalidArgument("has a cell with the signature '{}'. {}", settings.signature,
                           WhyNoSignature(cell, settings.signature));
  if (cell.traits.has_state || cell.traits.any_signature || cell.traits.runs_others)
    return InvalidArgument("is no cell: {}", cell.traits.runs_others ? "it only runs other models"
                                             : cell.traits.has_state
                                                 ? "it keeps a state between requests by itself"
                                                 : "it has no signature of its own");
  TRY(CheckRows(*plan.signature));
  plan.lengths_input = settings.lengths_input;
  plan.steps_output = settings.steps_output;
  for (const TensorSpec& spec : plan.signature->inputs) plan.inputs.push_back({&spec});
  for (const TensorSpec& spec : plan.signature->outputs)
    plan.outputs.push_back({.spec = &spec, .each_step = true});
  for (const std::string& name : settings.inputs) {
    ASSIGN_OR_RETURN(const uint32_t place, PlaceOf(plan.signature->inputs, name, "input"));
    if (plan.inputs[place].role == InputRole::kStep)
      return InvalidArgument("has a cell that names the input '{}' twice", name);
    plan.inputs[place].role = InputRole::kStep;
    plan.has_steps = true;
  }
  if (settings.states.empty())
    return InvalidArgument("has a cell without a state, so its steps do not depend on each other");
  for (const CellState& state : settings.states) TRY(AddState(state, plan));
  TRY(AddStop(settings.stop, plan));
  plan.rows_differ = std::ranges::any_of(plan.inputs, [](const CellInput& input) {
    return HasOpenRow(*input.spec) || (input.role == InputRole::kConstant && input.spec->optional);
  });
  TRY(DescribeSequences(cell, plan));
  return plan;
}

}  // namespace penstock::cells
