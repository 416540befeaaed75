// SPDX-License-Identifier: Apache-2.0
// The errors here begin with a verb, as in config_files.cc: the caller puts the file and the model
// before them.
#include "config/ensemble_config.h"

#include <algorithm>
#include <utility>

#include "config/declared_versions.h"
#include "penstock/model_options.pb.h"

namespace penstock {
namespace {

template <typename Map>
StatusOr<std::vector<ensemble::Mapping>> ReadMappings(const Map& from, std::string_view what) {
  std::vector<ensemble::Mapping> mappings;
  for (const auto& [name, tensor] : from) {
    if (name.empty() || tensor.empty())
      return InvalidArgument(
          "{} need a key, the name in the model, and a value, that of the tensor", what);
    mappings.push_back({name, tensor});
  }
  std::ranges::sort(mappings, {}, &ensemble::Mapping::name);
  return mappings;
}

StatusOr<ensemble::Step> ReadStep(const config::EnsembleStep& from) {
  ensemble::Step step{.name = from.name().empty() ? from.model() : from.name(),
                      .model = {.name = from.model(), .label = from.label()},
                      .signature = from.signature()};
  const auto in_step = [&step](const Status& status) {
    return InvalidArgument("step '{}': {}", step.name, MessageOf(status));
  };
  if (from.has_version()) {
    if (!from.label().empty())
      return in_step(InvalidArgument("it has both a version and a label; name one of them"));
    if (from.version() < 0)
      return in_step(InvalidArgument("the version {} is negative", from.version()));
    step.model.version = core::VersionNumber{from.version()};
  }
  auto inputs = ReadMappings(from.inputs(), "inputs");
  if (!inputs.ok()) return in_step(inputs.status());
  auto outputs = ReadMappings(from.outputs(), "outputs");
  if (!outputs.ok()) return in_step(outputs.status());
  step.inputs = *std::move(inputs);
  step.outputs = *std::move(outputs);
  return step;
}

StatusOr<ensemble::Graph> ReadGraph(const config::Ensemble& from) {
  ensemble::Graph graph;
  if (from.has_version()) graph.version = core::VersionNumber{from.version()};
  if (graph.version < core::VersionNumber{1})
    return InvalidArgument("its version is {}, but the first one is 1", graph.version.value);
  graph.inputs = {from.input().begin(), from.input().end()};
  graph.outputs = {from.output().begin(), from.output().end()};
  for (const config::EnsembleStep& each : from.step()) {
    ASSIGN_OR_RETURN(ensemble::Step step, ReadStep(each));
    graph.steps.push_back(std::move(step));
  }
  TRY(CheckGraph(graph));
  return graph;
}

}  // namespace

StatusOr<std::vector<ensemble::Graph>> ReadEnsembles(const config::ModelOptions& options) {
  ASSIGN_OR_RETURN(
      std::vector<ensemble::Graph> graphs,
      ReadDeclaredVersions<ensemble::Graph>(options.ensemble(), "ensemble", ReadGraph));
  if (!graphs.empty())
    TRY(CheckNoRunOptions(options, "an ensemble", "for the models of its steps"));
  return graphs;
}

}  // namespace penstock
