// SPDX-License-Identifier: Apache-2.0
// The pages with which operators inspect and change models (docs/admin-api.md):
//   GET    /admin/v1/models             all models
//   GET    /admin/v1/models/NAME        one: base path, mode, labels, pin, versions
//   PUT    /admin/v1/models/NAME        adds or replaces it: a ModelConfig as JSON
//   DELETE /admin/v1/models/NAME
//   POST   /admin/v1/models/NAME:VERB   load, unload, unpin; pin: {"version": 3};
//                                       label: {"label": "stable", "version": 3}, without version:
//                                       removes it
#pragma once

#include <string>
#include <string_view>

#include "base/shared_page.h"
#include "config/change_request.h"
#include "core/manager.h"
#include "net/frontend.h"
#include "schedule/scheduler.h"

namespace penstock::access {
class Caller;
}

namespace penstock {

// kRead serves the pages that only show. kFull also serves those that change models.
enum class AdminAccess { kOff, kRead, kFull };

// The access for a value of --admin_api: "off", "read" or "full".
inline AdminAccess AdminAccessOf(std::string_view admin_api) {
  if (admin_api == "off") return AdminAccess::kOff;
  return admin_api == "full" ? AdminAccess::kFull : AdminAccess::kRead;
}

// Serves the pages above. Thread-safe. `manager` and `scheduler` outlive it.
class ModelAdminFrontend final : public net::Frontend {
 public:
  // `has_admin_port`: only that port serves the pages.
  ModelAdminFrontend(AdminAccess access, bool has_admin_port, const core::Manager& manager,
                     const schedule::Scheduler& scheduler, ChangeFunction change,
                     ModelEntriesFunction entries);

  std::string_view name() const override { return "model admin"; }
  void Register(net::Router& router) override;
  void RegisterAdmin(net::Router& router) override;

 private:
  // PERMISSION_DENIED if this port or --admin_api does not allow changes.
  Status CheckMayChange(const net::Endpoint& endpoint) const;
  void Handle(net::HttpCallRef call);
  void Change(net::HttpCallRef call, std::string name, std::string_view verb) const;
  void RespondList(net::HttpCall& call);
  // Lists the models that the caller may change. Null: all.
  std::string ListJson(const access::Caller* caller) const;
  std::string ModelJson(const std::string& name, const ModelEntry& entry,
                        const schedule::QueueStates& queues) const;

  const AdminAccess access_;
  const bool has_admin_port_;
  const core::Manager& manager_;
  const schedule::Scheduler& scheduler_;
  const ChangeFunction change_;
  const ModelEntriesFunction entries_;
  SharedPage list_page_;
};

}  // namespace penstock
