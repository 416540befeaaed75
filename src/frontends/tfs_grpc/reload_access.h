// SPDX-License-Identifier: Apache-2.0
// Where HandleReloadConfigRequest is answered.
#pragma once

#include <string_view>

namespace penstock::tfs {

// The ports that answer HandleReloadConfigRequest. The request can name any path of the host, and
// its sender can replace every model, so access must be limited.
enum class ReloadAccess {
  kNone,
  kProtected,  // ports that require client certificates, loopback addresses, unix sockets
  kAdminPort,  // the same, but only if they are for administration
  kAll,
};

// The access for a value of --reload_rpc: "auto", "on" or "off". With an admin port, "auto" means
// that port. TensorFlow Serving accepts reloads on every port, so "auto" does too in a server that
// stands in for it.
inline ReloadAccess ReloadAccessOf(std::string_view reload_rpc, bool stands_in_for_tfs,
                                   bool has_admin_port) {
  if (reload_rpc == "off") return ReloadAccess::kNone;
  if (reload_rpc == "auto" && has_admin_port) return ReloadAccess::kAdminPort;
  return reload_rpc == "on" || stands_in_for_tfs ? ReloadAccess::kAll : ReloadAccess::kProtected;
}

}  // namespace penstock::tfs
