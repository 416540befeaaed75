// SPDX-License-Identifier: Apache-2.0
#include "net/options.h"

#include <arpa/inet.h>

namespace penstock::net {

bool IsLoopback(const std::string& address) {
  in6_addr v6 = {};
  if (inet_pton(AF_INET6, address.c_str(), &v6) == 1)
    return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
  in_addr v4 = {};
  return inet_pton(AF_INET, address.c_str(), &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127;
}

}  // namespace penstock::net
