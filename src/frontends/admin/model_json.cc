// SPDX-License-Identifier: Apache-2.0
#include "frontends/admin/model_json.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <iterator>
#include <map>
#include <utility>

#include "frontends/admin/admin_json.h"
#include "infer/served_model.h"

namespace penstock {

namespace {

// The steps of an ensemble, and the versions that they use now.
std::string StepsField(const ModelSteps& steps) {
  std::string json = ",\"steps\":[";
  const char* separator = "";
  for (const ModelStep& step : steps.List()) {
    json += fmt::format(
        R"({}{{"name":{},"model":{},"version":{},"signature":{}}})", std::exchange(separator, ","),
        JsonQuoted(step.name), JsonQuoted(step.model),
        step.version ? std::to_string(step.version->value) : "null", JsonQuoted(step.signature));
  }
  return json + "]";
}

// The steps of ensembles, and what was measured of the batches and the caches of the ready
// versions, as fields of each version. A version without them has none.
std::map<core::VersionNumber, std::string> RunFields(const core::Manager& manager,
                                                     std::string_view name) {
  std::map<core::VersionNumber, std::string> fields;
  manager.VisitReady(name, [&](const core::ServableId& id, core::Servable& servable) {
    // All loaders return what MakeServedModel makes, so the cast is safe.
    const auto& model = static_cast<const ServedModel&>(servable);
    std::string& json = fields[id.version];
    if (model.info().steps != nullptr) json = StepsField(*model.info().steps);
    if (model.cache() != nullptr) json += ",\"row_cache\":" + model.cache()->StateJson();
    const Batcher* const batcher = model.batcher();
    if (batcher == nullptr) return;
    json += ",\"batching\":[";
    const char* separator = "";
    for (uint32_t i = 0; i < model.info().signatures.size(); ++i) {
      if (!batcher->IsOn(i)) continue;
      json += fmt::format(R"({}{{"signature":{},"rows_limit":{},"curve":[)",
                          std::exchange(separator, ","),
                          JsonQuoted(model.info().signatures[i].name), batcher->RowsMax(i));
      const char* between = "";
      for (const BatchTime& time : batcher->Curve(i)) {
        json += fmt::format(R"({}{{"rows":{},"row_us":{:.3f}}})", std::exchange(between, ","),
                            time.rows_max, time.row_time_ns / 1000);
      }
      json += "]}";
    }
    json += ']';
  });
  return fields;
}

}  // namespace

std::string VersionFields(const core::Manager& manager, std::string_view name, bool shows_runs) {
  std::string json;
  if (const Status source = manager.SourceStatus(name); !source.ok())
    json = "\"source_error\":" + JsonQuoted(MessageOf(source)) + ",";
  json += "\"versions\":[";
  std::map<core::VersionNumber, std::string> runs;
  if (shows_runs) runs = RunFields(manager, name);
  const char* separator = "";
  for (const core::VersionStatus& version : manager.VersionStatuses(name)) {
    fmt::format_to(std::back_inserter(json), R"({}{{"version":{},"state":"{}","since":"{:%FT%TZ}")",
                   std::exchange(separator, ","), version.id.version.value,
                   core::VersionStateName(version.state),
                   std::chrono::floor<std::chrono::milliseconds>(version.since));
    fmt::format_to(std::back_inserter(json), R"(,"memory_bytes":{},"memory_measured":{})",
                   version.memory_bytes, version.is_memory_measured);
    if (const auto found = runs.find(version.id.version); found != runs.end())
      json += found->second;
    if (!version.status.ok()) json += ",\"error\":" + JsonQuoted(version.status.ToString());
    json += '}';
  }
  return json += ']';
}

}  // namespace penstock
