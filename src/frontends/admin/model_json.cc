// SPDX-License-Identifier: Apache-2.0
#include "frontends/admin/model_json.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <iterator>
#include <utility>

#include "frontends/admin/admin_json.h"

namespace penstock {

std::string VersionFields(const core::Manager& manager, std::string_view name) {
  std::string json;
  if (const Status source = manager.SourceStatus(name); !source.ok())
    json = "\"source_error\":" + JsonQuoted(MessageOf(source)) + ",";
  json += "\"versions\":[";
  const char* separator = "";
  for (const core::VersionStatus& version : manager.VersionStatuses(name)) {
    fmt::format_to(std::back_inserter(json), R"({}{{"version":{},"state":"{}","since":"{:%FT%TZ}")",
                   std::exchange(separator, ","), version.id.version.value,
                   core::VersionStateName(version.state),
                   std::chrono::floor<std::chrono::milliseconds>(version.since));
    fmt::format_to(std::back_inserter(json), R"(,"memory_bytes":{},"memory_measured":{})",
                   version.memory_bytes, version.is_memory_measured);
    if (!version.status.ok()) json += ",\"error\":" + JsonQuoted(version.status.ToString());
    json += '}';
  }
  return json += ']';
}

}  // namespace penstock
