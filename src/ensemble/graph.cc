// SPDX-License-Identifier: Apache-2.0
#include "ensemble/graph.h"

#include <algorithm>
#include <map>
#include <set>

namespace penstock::ensemble {
namespace {

// The step that makes each tensor. nullopt: a request sends it.
using Origins = std::map<std::string_view, std::optional<uint32_t>>;

Status CheckNames(const Graph& graph) {
  if (graph.steps.empty()) return InvalidArgument("it has no step");
  if (graph.steps.size() > kStepsMax)
    return InvalidArgument("it has {} steps: more than {}", graph.steps.size(), kStepsMax);
  if (graph.outputs.empty())
    return InvalidArgument("it has no output; name a tensor that a step makes");
  std::set<std::string_view> names;
  for (const Step& step : graph.steps) {
    if (step.model.name.empty()) return InvalidArgument("step '{}' names no model", step.name);
    if (!names.insert(step.name).second) {
      return InvalidArgument("two steps are called '{}'; give them names of their own", step.name);
    }
  }
  names.clear();
  for (const std::string& output : graph.outputs) {
    if (!names.insert(output).second)
      return InvalidArgument("the output '{}' is named twice", output);
  }
  return OkStatus();
}

StatusOr<Origins> FindOrigins(const Graph& graph) {
  Origins origins;
  for (const std::string& input : graph.inputs) {
    if (input.empty()) return InvalidArgument("an input has no name");
    if (!origins.emplace(input, std::nullopt).second)
      return InvalidArgument("the input '{}' is named twice", input);
  }
  for (uint32_t i = 0; i < graph.steps.size(); ++i) {
    const Step& step = graph.steps[i];
    for (const Mapping& output : step.outputs) {
      if (output.tensor.empty())
        return InvalidArgument("step '{}', output '{}': it names no tensor", step.name,
                               output.name);
      const auto [found, is_new] = origins.emplace(output.tensor, i);
      if (is_new) continue;
      const std::string other =
          found->second ? fmt::format("step '{}' makes", graph.steps[*found->second].name)
                        : std::string("a request sends");
      return InvalidArgument("step '{}', output '{}': {} the tensor '{}' too", step.name,
                             output.name, other, output.tensor);
    }
  }
  return origins;
}

std::string NoOrigin(const Origins& origins) {
  std::string known;
  for (const auto& [name, step] : origins)
    known += fmt::format("{}'{}'", known.empty() ? "" : ", ", name);
  return "no input of the ensemble and no step gives it; there are " +
         (known.empty() ? "none" : known);
}

Status CheckUses(const Graph& graph, const Origins& origins) {
  for (const Step& step : graph.steps) {
    for (const Mapping& input : step.inputs) {
      if (origins.contains(input.tensor)) continue;
      return InvalidArgument("step '{}', input '{}', tensor '{}': {}", step.name, input.name,
                             input.tensor, NoOrigin(origins));
    }
  }
  for (const std::string& output : graph.outputs) {
    if (!origins.contains(output))
      return InvalidArgument("output '{}': {}", output, NoOrigin(origins));
  }
  return OkStatus();
}

// Follows the tensors from the outputs back, and finds cycles and what no output needs. One thread.
class BackWalk {
 public:
  BackWalk(const Graph& graph, const Origins& origins)
      : graph_(graph), origins_(origins), states_(graph.steps.size(), State::kNew) {}

  // Returns the first cycle, as a text.
  std::optional<std::string> Visit(std::string_view tensor) {
    used_.insert(tensor);
    const std::optional<uint32_t> origin = origins_.at(tensor);
    if (!origin || states_[*origin] == State::kDone) return std::nullopt;
    const uint32_t at = *origin;
    if (states_[at] == State::kOpen) return Cycle(at, tensor);
    states_[at] = State::kOpen;
    for (const Mapping& input : graph_.steps[at].inputs) {
      trail_.emplace_back(at, tensor);
      if (auto cycle = Visit(input.tensor)) return cycle;
      trail_.pop_back();
    }
    states_[at] = State::kDone;
    order_.push_back(at);
    return std::nullopt;
  }

  // Of the steps that were visited: each comes after those that it needs.
  const std::vector<uint32_t>& order() const { return order_; }
  bool HasVisited(uint32_t step) const { return states_[step] == State::kDone; }
  bool IsUsed(std::string_view tensor) const { return used_.contains(tensor); }

 private:
  enum class State : uint8_t { kNew, kOpen, kDone };

  // The trail goes from a step to those that it needs; the text goes the way of the tensors.
  std::string Cycle(uint32_t at, std::string_view tensor) const {
    std::string text = fmt::format("step '{}' -> '{}'", graph_.steps[at].name, tensor);
    for (auto item = trail_.rbegin(); item != trail_.rend(); ++item) {
      text += fmt::format(" -> step '{}'", graph_.steps[item->first].name);
      if (item->first == at) break;
      text += fmt::format(" -> '{}'", item->second);
    }
    return text;
  }

  const Graph& graph_;
  const Origins& origins_;
  std::vector<State> states_;
  std::vector<std::pair<uint32_t, std::string_view>> trail_;  // a step, and what it was needed for
  std::vector<uint32_t> order_;
  std::set<std::string_view> used_;
};

Status CheckPaths(const Graph& graph, const Origins& origins) {
  BackWalk walk(graph, origins);
  for (const std::string& output : graph.outputs) {
    if (const auto cycle = walk.Visit(output))
      return InvalidArgument("the steps wait for each other: {}", *cycle);
  }
  for (uint32_t i = 0; i < graph.steps.size(); ++i) {
    if (walk.HasVisited(i)) continue;
    // Its cycle, if it is in one, is more help than that it is of no use.
    for (const Mapping& output : graph.steps[i].outputs) {
      if (const auto cycle = walk.Visit(output.tensor))
        return InvalidArgument("the steps wait for each other: {}", *cycle);
    }
    return InvalidArgument("step '{}': no output of the ensemble needs it", graph.steps[i].name);
  }
  for (const std::string& input : graph.inputs) {
    if (!walk.IsUsed(input)) return InvalidArgument("input '{}': no step takes it", input);
  }
  return OkStatus();
}

void Mix(uint64_t& hash, std::string_view text) {
  constexpr uint64_t kPrime = 0x100000001b3;  // FNV-1a
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * kPrime;
  hash = (hash ^ 0xff) * kPrime;  // no character of UTF-8: the end of the text
}

}  // namespace

std::string StepModel::ToString() const {
  if (version) return fmt::format("{} version {}", name, version->value);
  return label.empty() ? name : fmt::format("{} label {}", name, label);
}

Status CheckGraph(const Graph& graph) {
  TRY(CheckNames(graph));
  ASSIGN_OR_RETURN(const Origins origins, FindOrigins(graph));
  TRY(CheckUses(graph, origins));
  return CheckPaths(graph, origins);
}

std::vector<uint32_t> OrderOf(const Graph& graph) {
  const StatusOr<Origins> origins = FindOrigins(graph);
  BackWalk walk(graph, *origins);
  for (const std::string& output : graph.outputs) walk.Visit(output);
  return walk.order();
}

std::vector<StepModel> ModelsOf(const Graph& graph) {
  std::vector<StepModel> models;
  for (const Step& step : graph.steps) {
    if (std::ranges::find(models, step.model) == models.end()) models.push_back(step.model);
  }
  return models;
}

uint64_t RevisionOf(const Graph& graph) {
  uint64_t hash = 0xcbf29ce484222325;
  const auto mix_all = [&](const std::vector<Mapping>& mappings) {
    for (const Mapping& mapping : mappings) {
      Mix(hash, mapping.name);
      Mix(hash, mapping.tensor);
    }
    Mix(hash, "");
  };
  for (const std::string& input : graph.inputs) Mix(hash, input);
  Mix(hash, "");
  for (const std::string& output : graph.outputs) Mix(hash, output);
  for (const Step& step : graph.steps) {
    Mix(hash, step.name);
    Mix(hash, step.model.ToString());
    Mix(hash, step.signature);
    mix_all(step.inputs);
    mix_all(step.outputs);
  }
  return hash;
}

}  // namespace penstock::ensemble
