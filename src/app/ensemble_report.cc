// SPDX-License-Identifier: Apache-2.0
#include "app/ensemble_report.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/log.h"
#include "ensemble/draw.h"
#include "ensemble/plan.h"

namespace penstock {
namespace {

std::string JsonText(std::string_view text) {
  std::string quoted = "\"";
  AppendJsonEscaped(quoted, text);
  return quoted + '"';
}

// As {"x":"tensor"}.
std::string JsonOf(const std::vector<ensemble::Mapping>& mappings) {
  std::string json;
  for (const ensemble::Mapping& each : mappings)
    json +=
        fmt::format("{}{}:{}", json.empty() ? "" : ",", JsonText(each.name), JsonText(each.tensor));
  return "{" + json + "}";
}

// The steps, each after those that it needs.
std::string StepsJson(const ensemble::Graph& graph) {
  std::string json;
  for (const uint32_t position : OrderOf(graph)) {
    const ensemble::Step& step = graph.steps[position];
    json += fmt::format(R"({}{{"name":{},"model":{})", json.empty() ? "" : ",", JsonText(step.name),
                        JsonText(step.model.name));
    if (step.model.version) json += fmt::format(R"(,"version":{})", step.model.version->value);
    if (!step.model.label.empty()) json += ",\"label\":" + JsonText(step.model.label);
    json += fmt::format(R"(,"signature":{},"inputs":{},"outputs":{}}})",
                        JsonText(step.signature.empty() ? kDefaultSignatureName : step.signature),
                        JsonOf(step.inputs), JsonOf(step.outputs));
  }
  return "[" + json + "]";
}

// Describes models of a list. One thread.
class Inspector {
 public:
  Inspector(const std::vector<ConfiguredModel>& models, const LoadOptions& options,
            BackendHost& backends, const Sources& sources)
      : models_(models), options_(options), backends_(backends), sources_(sources) {}

  // `label` may be empty.
  StatusOr<ModelReport> Describe(const std::string& name,
                                 std::optional<core::VersionNumber> version,
                                 const std::string& label) {
    const auto model = std::ranges::find(models_, name, &ConfiguredModel::name);
    if (model == models_.end()) return NoModel(name);
    if (!label.empty()) {
      const auto found = model->labels.find(label);
      if (found == model->labels.end())
        return Error(StatusCode::kNotFound, "model '{}' has no label '{}'", name, label);
      version = found->second;
    }
    if (!model->ensembles.empty()) return DescribeEnsemble(*model, version);
    if (!model->remotes.empty())
      return Error(StatusCode::kUnimplemented,
                   "model '{}' is remote: only its targets can describe it", name);
    LoadOptions options = options_;
    options.platform = model->platform;
    return InspectModel(model->base_path, options, backends_, sources_, version);
  }

 private:
  Status NoModel(const std::string& name) const {
    std::string names;
    for (const ConfiguredModel& model : models_)
      names += fmt::format("{}{}", names.empty() ? "" : ", ", model.name);
    return Error(StatusCode::kNotFound, "there is no model '{}' in the list; it has {}", name,
                 names.empty() ? "none" : names);
  }

  // REQUIRES: CheckEnsembles is OK, so that the steps do not lead back here.
  StatusOr<ModelReport> DescribeEnsemble(const ConfiguredModel& model,
                                         std::optional<core::VersionNumber> version) {
    const auto highest = std::ranges::max_element(model.ensembles, {}, &ensemble::Graph::version);
    const auto graph =
        version ? std::ranges::find(model.ensembles, *version, &ensemble::Graph::version) : highest;
    if (graph == model.ensembles.end())
      return Error(StatusCode::kNotFound, "ensemble '{}' has no version {}", model.name,
                   version->value);
    std::vector<ModelInfo> infos;
    for (const ensemble::StepModel& each : ModelsOf(*graph)) {
      StatusOr<ModelReport> report = Describe(each.name, each.version, each.label);
      if (!report.ok()) {
        const auto step = std::ranges::find(graph->steps, each, &ensemble::Step::model);
        return Error(report.status().code(), "model '{}', step '{}': {}", model.name, step->name,
                     MessageOf(report.status()));
      }
      infos.push_back(std::move(report->info));
    }
    std::vector<const ModelInfo*> pointers;
    for (const ModelInfo& info : infos) pointers.push_back(&info);
    StatusOr<ensemble::Plan> plan = MakePlan(*graph, pointers);
    if (!plan.ok()) return InvalidArgument("model '{}', {}", model.name, MessageOf(plan.status()));
    ModelReport report{model.name, {}, graph->version, "", {}};
    for (const ensemble::Graph& each : model.ensembles) report.versions.push_back(each.version);
    std::ranges::sort(report.versions);
    report.steps = ensemble::DrawText(*plan);
    report.steps_json = StepsJson(*graph);
    report.dot = ensemble::DrawDot(*plan, model.name);
    report.info = std::move(plan->info);
    return report;
  }

  const std::vector<ConfiguredModel>& models_;
  const LoadOptions& options_;
  BackendHost& backends_;
  const Sources& sources_;
};

}  // namespace

StatusOr<ModelReport> InspectConfigured(const std::vector<ConfiguredModel>& models,
                                        const std::string& name, const LoadOptions& options,
                                        BackendHost& backends, const Sources& sources) {
  return Inspector(models, options, backends, sources).Describe(name, std::nullopt, "");
}

}  // namespace penstock
