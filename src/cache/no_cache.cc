// SPDX-License-Identifier: Apache-2.0
#include "cache/no_cache.h"

#include <utility>

#include "base/log.h"
#include "infer/engine.h"

namespace penstock::cache {

NoCache::NoCache(const ModelInfo& info, const std::vector<Status>& why_not)
    : json_('{' + SignaturesJson(info, why_not) + '}') {}

void NoCache::Run(Engine& engine, const ModelHandle& handle, const InferRequest& request,
                  RunPlace place, ResponseCallback done) {
  engine.RunPastCache(handle, request, place, std::move(done));
}

std::string SignaturesJson(const ModelInfo& info, const std::vector<Status>& why_not) {
  std::string cached, others;
  const auto add = [](std::string& to, std::string_view before, std::string_view text) {
    to += before;
    to += '"';
    AppendJsonEscaped(to, text);
    to += '"';
  };
  for (size_t i = 0; i < info.signatures.size(); ++i) {
    const std::string& name = info.signatures[i].name;
    if (why_not[i].ok()) {
      add(cached, cached.empty() ? "" : ",", name);
    } else {
      add(others, others.empty() ? "{\"name\":" : ",{\"name\":", name);
      add(others, ",\"reason\":", MessageOf(why_not[i]));
      others += '}';
    }
  }
  return "\"signatures\":[" + cached + "],\"not_cached\":[" + others + ']';
}

}  // namespace penstock::cache
