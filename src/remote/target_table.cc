// SPDX-License-Identifier: Apache-2.0
#include "remote/target_table.h"

#include <algorithm>
#include <utility>

namespace penstock::remote {

std::shared_ptr<const Targets> TargetTable::Set(const TargetList& list) {
  std::vector<Entry> entries;
  auto targets = std::make_shared<Targets>();
  for (const FoundTarget& found : list) {
    const auto known = std::ranges::find_if(entries_, [&](const Entry& each) {
      return each.target != nullptr && each.found.IsSame(found);
    });
    std::shared_ptr<Target> target =
        known == entries_.end() ? make_(found) : std::move(known->target);
    if (known == entries_.end() || known->found.is_healthy != found.is_healthy)
      target->record->OnHealth(found.is_healthy);
    targets->push_back(target);
    entries.push_back({found, std::move(target)});
  }
  std::erase_if(left_, [](const auto& each) { return each.expired(); });
  for (Entry& entry : entries_) {
    if (entry.target != nullptr) left_.push_back(entry.target);
  }
  entries_ = std::move(entries);
  return targets;
}

void TargetTable::Close() {
  for (Entry& entry : entries_) entry.target->channels.clear();
  for (const auto& each : left_) {
    if (const auto target = each.lock()) target->channels.clear();
  }
  entries_.clear();
  left_.clear();
}

}  // namespace penstock::remote
