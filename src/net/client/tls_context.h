// SPDX-License-Identifier: Apache-2.0
// TLS of connections to other servers.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "net/socket/tls.h"

namespace penstock::net {

// Whom to trust, and who we are. The server's certificate is always checked, and its name, too.
struct ClientTlsOptions {
  std::string ca_file = {};           // empty: the certificates that the system trusts
  std::string certificate_file = {};  // of the client; empty: it has none
  std::string key_file = {};
  std::string server_name = {};  // that the certificate must have; empty: the host of the target
};

// Makes the TLS of a new connection to `host`: TLS 1.2 or 1.3, and HTTP/2 by ALPN. Reads the files
// anew each time, so that changed certificates count. Errors: INVALID_ARGUMENT, with the name of
// the file and what is wrong with it, but nothing of its content.
StatusOr<std::unique_ptr<TlsFilter>> MakeClientTls(const ClientTlsOptions& options,
                                                   const std::string& host);

}  // namespace penstock::net
