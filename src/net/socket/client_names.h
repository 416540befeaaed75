// SPDX-License-Identifier: Apache-2.0
// Reads the names in a client certificate.
#pragma once

#include "access/access_table.h"

struct ssl_st;

namespace penstock::net {

// Returns the names in the certificate that the client has shown in the handshake and that was
// verified; none if there is no such certificate. The order is that of CertificateNames: URI, DNS
// and e-mail names (RFC 5280, section 4.2.1.6), then common names. A name may hold any byte, also
// NUL. REQUIRES: the handshake is over. Thread-safe.
access::CertificateNames ClientNamesOf(const ssl_st* ssl);

}  // namespace penstock::net
