// SPDX-License-Identifier: Apache-2.0
#include "remote/configured_targets.h"

#include <algorithm>
#include <future>
#include <utility>

#include "base/log.h"

namespace penstock::remote {
namespace {

// Connections that fail cause no more than one look-up in this time.
constexpr Duration kLookupsApart = std::chrono::seconds(1);

}  // namespace

ConfiguredTargets::ConfiguredTargets(std::string model, std::vector<RemoteTarget> targets,
                                     Duration interval, RemoteLoops& loops)
    : model_(std::move(model)), targets_(std::move(targets)), interval_(interval), loops_(loops) {
  for (size_t i = 0; i < targets_.size(); ++i) {
    if (targets_[i].is_dns) names_.push_back({.position = i});
  }
}

void ConfiguredTargets::Start(Changed changed) {
  loop().Post([self = shared_from_this(), changed = std::move(changed)]() mutable {
    if (self->is_stopped_) return;
    self->changed_ = std::move(changed);
    if (self->names_.empty()) return self->changed_(self->List());
    self->LookUp();
  });
}

void ConfiguredTargets::Refresh() {
  if (names_.empty()) return;
  loop().Post([self = shared_from_this()] {
    if (self->loop().clock().Now() >= self->looked_up_ + kLookupsApart) self->LookUp();
  });
}

void ConfiguredTargets::Stop() {
  std::promise<void> stopped;
  loop().Post([this, &stopped] {
    StopOnLoop();
    stopped.set_value();
  });
  stopped.get_future().wait();
}

void ConfiguredTargets::StopOnLoop() {
  is_stopped_ = true;
  changed_ = nullptr;
  Disarm();
}

void ConfiguredTargets::LookUp() {
  if (open_ > 0 || is_stopped_) return;
  looked_up_ = loop().clock().Now();
  failure_ = OkStatus();
  open_ = names_.size();
  for (size_t i = 0; i < names_.size(); ++i) {
    const RemoteTarget& target = targets_[names_[i].position];
    loops_.dns().Ask({.name = target.host, .server = target.dns_server},
                     [self = shared_from_this(), i](StatusOr<std::vector<std::string>> found) {
                       self->loop().Post([self, i, found = std::move(found)]() mutable {
                         self->OnFound(i, std::move(found));
                       });
                     });
  }
}

void ConfiguredTargets::OnFound(size_t index, StatusOr<std::vector<std::string>> found) {
  --open_;
  if (is_stopped_) return;
  Name& name = names_[index];
  const bool was_failing = std::exchange(name.is_failing, !found.ok());
  if (found.ok()) {
    name.addresses = *std::move(found);
    if (was_failing)
      PENSTOCK_LOG(kInfo, "model {}: the name '{}' is known to the DNS again", model_,
                   targets_[name.position].host);
  } else {
    failure_ = std::move(found).status();
    // Without an address before, the error of the load says it.
    if (!was_failing && !name.addresses.empty())
      PENSTOCK_LOG(kWarning, "model {}: {}; its targets stay as they are", model_,
                   MessageOf(failure_));
  }
  if (open_ == 0) Report();
}

void ConfiguredTargets::Report() {
  loop().timers().Arm(*this, loop().clock().Now() + interval_);
  TargetList list = List();
  if (list != reported_) {
    reported_ = std::move(list);
    changed_(reported_);
  }
  if (!failure_.ok() && changed_) changed_(failure_);
}

TargetList ConfiguredTargets::List() const {
  TargetList list;
  const auto add = [&list](FoundTarget target) {
    const auto is_same = [&](const FoundTarget& each) { return each.IsSame(target); };
    if (!std::ranges::any_of(list, is_same)) list.push_back(std::move(target));
  };
  for (size_t i = 0; i < targets_.size(); ++i) {
    const RemoteTarget& target = targets_[i];
    if (!target.is_dns) {
      add({.host = target.host, .port = target.port});
      continue;
    }
    for (const std::string& address : std::ranges::find(names_, i, &Name::position)->addresses)
      add({.host = address, .port = target.port, .name = target.host});
  }
  return list;
}

}  // namespace penstock::remote
