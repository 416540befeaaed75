// SPDX-License-Identifier: Apache-2.0
#include "ensemble/draw.h"

#include <algorithm>
#include <iterator>
#include <vector>

namespace penstock::ensemble {
namespace {

std::string TypeText(const TensorSpec& spec) {
  if (spec.dtype == DType::kInvalid) return "any type";
  return fmt::format("{} {}", DTypeName(spec.dtype), DescribeShape(spec));
}

// The stage of each step: one after the last of those that it needs.
std::vector<size_t> StagesOf(const Plan& plan) {
  std::vector<size_t> stages(plan.steps.size(), 0);
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    for (const uint32_t next : plan.steps[i].next)
      stages[next] = std::max(stages[next], stages[i] + 1);
  }
  return stages;
}

std::string ModelText(const Plan& plan, const PlanStep& step) {
  std::string text = plan.models[step.model].ToString();
  if (!step.signature.empty()) text += fmt::format(", signature {}", step.signature);
  return text;
}

void AppendStep(const Plan& plan, const PlanStep& step, std::string& text) {
  fmt::format_to(std::back_inserter(text), "    {} (model {})\n", step.name, ModelText(plan, step));
  size_t width = 0;
  for (const auto* tensors : {&step.inputs, &step.outputs}) {
    for (const PlanTensor& each : *tensors) width = std::max(width, each.name.size());
  }
  for (const PlanTensor& input : step.inputs)
    fmt::format_to(std::back_inserter(text), "      {:<{}}  <-  {}\n", input.name, width,
                   plan.specs[input.tensor].name);
  for (const PlanTensor& output : step.outputs) {
    const TensorSpec& spec = plan.specs[output.tensor];
    fmt::format_to(std::back_inserter(text), "      {:<{}}  ->  {}  {}\n", output.name, width,
                   spec.name, TypeText(spec));
  }
}

// A string in Graphviz's language.
std::string Quoted(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c == '\n' ? "\\n" : std::string(1, c);
  }
  return quoted + '"';
}

// The node that gives a tensor: a step, or the ensemble's input.
std::string OriginOf(const Plan& plan, uint32_t tensor) {
  for (const PlanStep& step : plan.steps) {
    if (std::ranges::find(step.outputs, tensor, &PlanTensor::tensor) != step.outputs.end())
      return "step " + step.name;
  }
  return "input " + plan.specs[tensor].name;
}

}  // namespace

std::string DrawText(const Plan& plan) {
  const std::vector<size_t> stages = StagesOf(plan);
  std::string text;
  for (size_t stage = 0; stage <= *std::ranges::max_element(stages); ++stage) {
    const bool are_several = std::ranges::count(stages, stage) > 1;
    fmt::format_to(std::back_inserter(text), "  stage {}{}\n", stage + 1,
                   are_several ? ", side by side" : "");
    for (size_t i = 0; i < plan.steps.size(); ++i) {
      if (stages[i] == stage) AppendStep(plan, plan.steps[i], text);
    }
  }
  return text;
}

std::string DrawDot(const Plan& plan, std::string_view name) {
  std::string text =
      fmt::format("digraph {} {{\n  rankdir=LR;\n  node [shape=box];\n", Quoted(name));
  const auto line = std::back_inserter(text);
  const auto add_ends = [&](std::string_view what, const std::vector<PlanTensor>& tensors) {
    for (const PlanTensor& each : tensors)
      fmt::format_to(line, "  {} [shape=ellipse, label={}];\n",
                     Quoted(fmt::format("{} {}", what, each.name)),
                     Quoted(fmt::format("{}\n{}", each.name, TypeText(plan.specs[each.tensor]))));
  };
  add_ends("input", plan.inputs);
  for (const PlanStep& step : plan.steps)
    fmt::format_to(line, "  {} [label={}];\n", Quoted("step " + step.name),
                   Quoted(fmt::format("{}\n{}", step.name, ModelText(plan, step))));
  add_ends("output", plan.outputs);
  const auto add_edge = [&](uint32_t tensor, const std::string& to) {
    const TensorSpec& spec = plan.specs[tensor];
    fmt::format_to(line, "  {} -> {} [label={}];\n", Quoted(OriginOf(plan, tensor)), Quoted(to),
                   Quoted(fmt::format("{}\n{}", spec.name, TypeText(spec))));
  };
  for (const PlanStep& step : plan.steps) {
    for (const PlanTensor& input : step.inputs) add_edge(input.tensor, "step " + step.name);
  }
  for (const PlanTensor& output : plan.outputs) add_edge(output.tensor, "output " + output.name);
  return text + "}\n";
}

}  // namespace penstock::ensemble
