// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace penstock::tfs {

// The ports that answer HandleReloadConfigRequest. The request can name any path of the host, and
// its sender can replace every model, so access must be limited.
enum class ReloadAccess {
  kNone,
  kProtected,  // ports that require client certificates, loopback addresses, unix sockets
  kAll,
};

}  // namespace penstock::tfs
