// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <map>
#include <thread>

#include "base/log.h"
#include "tables/redis_store.h"

namespace penstock::tables {
namespace {

// How long the nodes have to connect before those that have not are left out.
constexpr Duration kWait = std::chrono::milliseconds(500);
constexpr Duration kPause = std::chrono::milliseconds(5);

// A setting that should be another.
struct Advice {
  std::string_view setting;
  std::string_view wanted;
  std::string_view reason;
};
constexpr std::array kAdvices = {
    Advice{"cluster-require-full-coverage", "no",
           "if a master dies, all nodes refuse all reads until a replica has taken its place"},
    Advice{"cluster-allow-reads-when-down", "yes",
           "nodes that have lost the others refuse reads of rows that they have"},
};

// The settings of a node, by their names.
using Settings = std::map<std::string, std::string, std::less<>>;

std::vector<std::pair<redis::Address, StatusOr<redis::Value>>> AskNodes(redis::Cluster& cluster,
                                                                        std::string_view pattern) {
  const std::array<std::string_view, 3> arguments = {"CONFIG", "GET", pattern};
  const SteadyTime until = std::chrono::steady_clock::now() + kWait;
  for (;;) {
    auto answers = cluster.CallEach(redis::MakeCommand(arguments));
    bool is_complete = true;
    for (const auto& [address, answer] : answers)
      is_complete = is_complete && answer.status().code() != StatusCode::kUnavailable;
    if (is_complete || std::chrono::steady_clock::now() >= until) return answers;
    std::this_thread::sleep_for(kPause);
  }
}

std::string MendingCommand(const redis::Address& address, std::string_view setting,
                           std::string_view wanted) {
  return fmt::format("redis-cli --cluster call {} CONFIG SET {} {}", address.ToString(), setting,
                     wanted);
}

// Rows of the current generation have no time to live, so only policies for all keys evict them.
void WarnOfEviction(const redis::Address& address, const Settings& settings,
                    const std::string& log_name) {
  const auto policy = settings.find("maxmemory-policy");
  const auto memory = settings.find("maxmemory");
  if (policy == settings.end() || memory == settings.end() || memory->second == "0" ||
      !policy->second.starts_with("allkeys"))
    return;
  PENSTOCK_LOG(kWarning,
               "{}: the Redis node {} has maxmemory-policy {}, so it drops rows when its memory is "
               "full; better: {}",
               log_name, address.ToString(), policy->second,
               MendingCommand(address, "maxmemory-policy", "noeviction"));
}

}  // namespace

void WarnOfSettings(redis::Cluster& cluster, const std::string& log_name) {
  std::map<redis::Address, Settings> nodes;
  for (const std::string_view pattern : {"cluster-*", "maxmemory*"}) {
    for (const auto& [address, answer] : AskNodes(cluster, pattern)) {
      if (!answer.ok() && answer.status().code() == StatusCode::kFailedPrecondition) {
        // It may be a service that somebody else runs.
        PENSTOCK_LOG(kWarning,
                     "{}: the Redis node {} does not show its settings, so they are not checked: "
                     "{}",
                     log_name, address.ToString(), MessageOf(answer.status()));
        return;
      }
      if (!answer.ok()) continue;
      const std::vector<redis::Value>& texts = answer->elements;
      for (size_t i = 0; i + 1 < texts.size(); i += 2)
        nodes[address].emplace(texts[i].text, texts[i + 1].text);
    }
  }
  // One warning for a setting is enough: the command mends all nodes.
  for (const Advice& advice : kAdvices) {
    for (const auto& [address, settings] : nodes) {
      const auto found = settings.find(advice.setting);
      if (found == settings.end() || found->second == advice.wanted) continue;
      PENSTOCK_LOG(kWarning, "{}: the Redis node {} has {} {}: {}; better: {}", log_name,
                   address.ToString(), advice.setting, found->second, advice.reason,
                   MendingCommand(address, advice.setting, advice.wanted));
      break;
    }
  }
  for (const auto& [address, settings] : nodes) WarnOfEviction(address, settings, log_name);
}

}  // namespace penstock::tables
