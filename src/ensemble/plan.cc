// SPDX-License-Identifier: Apache-2.0
// The specification of a tensor that a step makes is known from the model's signature. That of a
// tensor which a request sends is what all the steps that take it agree on. A model that takes any
// tensors (builtin:identity) gives them back under their names, so its outputs are, for types and
// shapes, the same tensors as its inputs: `same_as_`.
#include "ensemble/plan.h"

#include <algorithm>
#include <map>
#include <utility>

namespace penstock::ensemble {
namespace {

// What is known of a tensor, and by whom.
struct Known {
  bool is_known = false;
  TensorSpec spec;
  std::string by;           // as "output 'y' of step 'a'"
  bool from_step = false;   // false: of a request. More steps may add to it
  bool has_needer = false;  // one that cannot do without it
};

std::string ShapeText(const TensorSpec& spec) {
  return spec.unknown_rank ? "any" : spec.shape.ToString();
}

// Returns false if no tensor fits both. Else `a` becomes what fits both.
bool MergeShapes(TensorSpec& a, const TensorSpec& b) {
  if (b.unknown_rank) return true;
  if (a.unknown_rank) {
    a.unknown_rank = false;
    a.shape = b.shape;
    a.dimension_names = b.dimension_names;
    return true;
  }
  if (a.shape.rank() != b.shape.rank()) return false;
  for (size_t axis = 0; axis < a.shape.rank(); ++axis) {
    if (b.shape.dim(axis) < 0) continue;
    if (a.shape.dim(axis) >= 0 && a.shape.dim(axis) != b.shape.dim(axis)) return false;
    a.shape.SetDim(axis, b.shape.dim(axis));
  }
  return true;
}

std::string ListNames(const std::vector<TensorSpec>& specs) {
  std::string names;
  for (const TensorSpec& spec : specs)
    names += fmt::format("{}'{}'", names.empty() ? "" : ", ", spec.name);
  return names.empty() ? "none" : names;
}

// Makes one plan. One thread.
class Planner {
 public:
  Planner(const Graph& graph, std::span<const ModelInfo* const> infos)
      : graph_(graph), infos_(infos) {}

  StatusOr<Plan> Make() {
    TRY(CheckGraph(graph_));
    plan_.models = ModelsOf(graph_);
    NumberTensors();
    for (const uint32_t position : OrderOf(graph_)) TRY(AddStep(graph_.steps[position]));
    Connect();
    DescribeTensors();
    TRY(Describe());
    return std::move(plan_);
  }

 private:
  void NumberTensors() {
    for (const std::string& input : graph_.inputs) Number(input);
    for (const Step& step : graph_.steps) {
      for (const Mapping& output : step.outputs) Number(output.tensor);
    }
    known_.resize(numbers_.size());
    for (uint32_t i = 0; i < numbers_.size(); ++i) same_as_.push_back(i);
    plan_.tensors = static_cast<uint32_t>(numbers_.size());
    for (const std::string& input : graph_.inputs) plan_.inputs.push_back({input, At(input)});
    for (const std::string& output : graph_.outputs) {
      plan_.outputs.push_back({output, At(output)});
      known_[At(output)].has_needer = true;
    }
  }
  void Number(const std::string& tensor) {
    numbers_.emplace(tensor, static_cast<uint32_t>(numbers_.size()));
  }
  uint32_t At(const std::string& tensor) const { return numbers_.at(tensor); }

  Status AddStep(const Step& step) {
    PlanStep& to = plan_.steps.emplace_back();
    to.name = step.name;
    to.signature = step.signature;
    to.model =
        static_cast<uint32_t>(std::ranges::find(plan_.models, step.model) - plan_.models.begin());
    const ModelInfo& info = *infos_[to.model];
    AddTraits(info.traits);
    to.is_always_run = info.traits.has_state || info.traits.has_side_effects;
    for (const Mapping& each : step.inputs) to.inputs.push_back({each.name, At(each.tensor)});
    for (const Mapping& each : step.outputs) to.outputs.push_back({each.name, At(each.tensor)});
    if (info.traits.any_signature) return AddAnyStep(step);
    const Signature* const signature = info.FindSignature(step.signature);
    if (signature == nullptr) {
      return InvalidArgument("step '{}': model {} has no signature '{}'. {}", step.name,
                             step.model.ToString(), step.signature,
                             WhyNoSignature(info, step.signature));
    }
    to.filters = to.outputs.size() < signature->outputs.size();
    TRY(AddInputs(step, *signature, info.traits));
    return AddOutputs(step, *signature);
  }

  void AddTraits(const ModelTraits& traits) {
    ModelTraits& to = plan_.info.traits;
    to.has_state |= traits.has_state;
    to.not_deterministic |= traits.not_deterministic;
    to.has_side_effects |= traits.has_side_effects;
  }

  Status AddAnyStep(const Step& step) {
    for (const Mapping& input : step.inputs) known_[At(input.tensor)].has_needer = true;
    for (const Mapping& output : step.outputs) {
      const auto input = std::ranges::find(step.inputs, output.name, &Mapping::name);
      if (input == step.inputs.end()) {
        return InvalidArgument(
            "step '{}', output '{}': model {} takes any tensors and gives them back, but the step "
            "has no input of that name",
            step.name, output.name, step.model.ToString());
      }
      same_as_[At(output.tensor)] = Root(At(input->tensor));
    }
    plan_.steps.back().filters = step.outputs.size() < step.inputs.size();
    return OkStatus();
  }

  Status AddInputs(const Step& step, const Signature& signature, const ModelTraits& traits) {
    for (const Mapping& input : step.inputs) {
      const TensorSpec* const spec = signature.FindInput(input.name);
      if (spec == nullptr) return NoSuchTensor(step, signature, "input", input);
      TRY(Require(step, input, *spec, traits));
    }
    for (const TensorSpec& spec : signature.inputs) {
      if (spec.optional ||
          std::ranges::find(step.inputs, spec.name, &Mapping::name) != step.inputs.end())
        continue;
      return InvalidArgument(
          "step '{}': the input '{}' of model {} gets no tensor; say inputs {{ key: \"{}\" value: "
          "TENSOR }}",
          step.name, spec.name, step.model.ToString(), spec.name);
    }
    return OkStatus();
  }

  static Status NoSuchTensor(const Step& step, const Signature& signature, std::string_view what,
                             const Mapping& mapping) {
    const std::string why = signature.WhyLeftOut(mapping.name);
    return InvalidArgument(
        "step '{}', {} '{}': signature '{}' of model {} has no such {}, only {}{}{}", step.name,
        what, mapping.name, signature.name, step.model.ToString(), what,
        ListNames(what == "input" ? signature.inputs : signature.outputs), why.empty() ? "" : ". ",
        why);
  }

  // The step takes the tensor, which must be as `spec` says.
  Status Require(const Step& step, const Mapping& input, const TensorSpec& spec,
                 const ModelTraits& traits) {
    const uint32_t tensor = At(input.tensor);
    Known& known = known_[Root(tensor)];
    known.has_needer |= !spec.optional || Root(tensor) != tensor;
    if (!known.from_step) plan_.info.traits.any_shape |= traits.any_shape;
    const std::string by = fmt::format("input '{}' of step '{}'", input.name, step.name);
    if (!known.is_known) {
      known.is_known = true;
      known.spec = spec;
      known.by = by;
      return OkStatus();
    }
    const auto differ = [&](std::string_view what, std::string_view is, std::string_view wanted) {
      return InvalidArgument(
          "step '{}', input '{}', tensor '{}': the {} must be {}, but for {} it is {}", step.name,
          input.name, input.tensor, what, wanted, known.by, is);
    };
    if (known.spec.dtype != spec.dtype)
      return differ("type", DTypeName(known.spec.dtype), DTypeName(spec.dtype));
    TensorSpec merged = known.spec;
    if (!traits.any_shape && !MergeShapes(merged, spec))
      return differ("shape", ShapeText(known.spec), ShapeText(spec));
    if (known.from_step) return OkStatus();
    if (merged.batch_axis != spec.batch_axis) merged.batch_axis = -1;
    if (merged.dimension_names != spec.dimension_names) merged.dimension_names.clear();
    merged.default_value.reset();  // the models may have different ones
    known.spec = std::move(merged);
    return OkStatus();
  }

  Status AddOutputs(const Step& step, const Signature& signature) {
    for (const Mapping& output : step.outputs) {
      const TensorSpec* const spec = signature.FindOutput(output.name);
      if (spec == nullptr) return NoSuchTensor(step, signature, "output", output);
      known_[At(output.tensor)] = {
          .is_known = true,
          .spec = *spec,
          .by = fmt::format("output '{}' of step '{}'", output.name, step.name),
          .from_step = true};
    }
    return OkStatus();
  }

  uint32_t Root(uint32_t tensor) const { return same_as_[tensor]; }

  // Finds out which steps wait for which.
  void Connect() {
    std::vector<int> makers(numbers_.size(), -1);
    for (uint32_t i = 0; i < plan_.steps.size(); ++i) {
      PlanStep& step = plan_.steps[i];
      for (const PlanTensor& input : step.inputs) {
        const int maker = makers[input.tensor];
        if (maker < 0) continue;
        std::vector<uint32_t>& next = plan_.steps[static_cast<size_t>(maker)].next;
        if (!next.empty() && next.back() == i) continue;  // it takes several tensors of that step
        next.push_back(i);
        ++step.needs;
      }
      for (const PlanTensor& output : step.outputs) makers[output.tensor] = static_cast<int>(i);
    }
  }

  void DescribeTensors() {
    plan_.specs.resize(numbers_.size());
    for (const auto& [name, number] : numbers_) {
      plan_.specs[number] = known_[Root(number)].spec;
      plan_.specs[number].name = name;
    }
  }

  Status Describe() {
    ModelInfo& info = plan_.info;
    info.platform = "ensemble";
    info.traits.runs_others = true;
    Signature& signature = info.signatures.emplace_back();
    signature.name = std::string(kDefaultSignatureName);
    signature.method_name = "tensorflow/serving/predict";
    for (const PlanTensor& input : plan_.inputs) {
      ASSIGN_OR_RETURN(TensorSpec spec, SpecOf("input", input));
      spec.optional = !known_[input.tensor].has_needer;
      if (!spec.optional) spec.default_value.reset();
      signature.inputs.push_back(std::move(spec));
    }
    for (const PlanTensor& output : plan_.outputs) {
      ASSIGN_OR_RETURN(TensorSpec spec, SpecOf("output", output));
      spec.optional = false;
      signature.outputs.push_back(std::move(spec));
    }
    std::ranges::sort(signature.inputs, {}, &TensorSpec::name);
    std::ranges::sort(signature.outputs, {}, &TensorSpec::name);
    return OkStatus();
  }

  StatusOr<TensorSpec> SpecOf(std::string_view what, const PlanTensor& tensor) const {
    const Known& known = known_[Root(tensor.tensor)];
    if (!known.is_known) {
      return InvalidArgument(
          "{} '{}': its type is not known, because only steps whose models take any tensors use it",
          what, tensor.name);
    }
    TensorSpec spec = known.spec;
    spec.name = tensor.name;
    spec.backend_name = known.by;
    spec.part = {};  // the other parts may have no name here
    return spec;
  }

  const Graph& graph_;
  const std::span<const ModelInfo* const> infos_;
  Plan plan_;
  std::map<std::string, uint32_t> numbers_;  // of the tensors
  std::vector<Known> known_;                 // of each tensor
  std::vector<uint32_t> same_as_;            // the tensor that has the same type and shape
};

bool IsSame(const TensorSpec& a, const TensorSpec& b) {
  return a.name == b.name && a.dtype == b.dtype && a.unknown_rank == b.unknown_rank &&
         a.shape == b.shape && a.optional == b.optional;
}

}  // namespace

StatusOr<Plan> MakePlan(const Graph& graph, std::span<const ModelInfo* const> infos) {
  return Planner(graph, infos).Make();
}

bool HasSameTensors(const ModelInfo& a, const ModelInfo& b) {
  const Signature& first = a.signatures.front();
  const Signature& second = b.signatures.front();
  return a.traits.any_shape == b.traits.any_shape &&
         std::ranges::equal(first.inputs, second.inputs, IsSame) &&
         std::ranges::equal(first.outputs, second.outputs, IsSame);
}

}  // namespace penstock::ensemble
