// SPDX-License-Identifier: Apache-2.0
// A port for the servers that tests imitate.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>

#include "base/check.h"

namespace penstock {

// A socket that listens at a free port of the loopback interface. The caller closes it.
struct LoopbackListener {
  int socket = -1;
  uint16_t port = 0;
};

inline LoopbackListener ListenOnLoopback(int backlog = 16) {
  LoopbackListener listener{.socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* const any = reinterpret_cast<sockaddr*>(&address);
  socklen_t size = sizeof address;
  PENSTOCK_CHECK(::bind(listener.socket, any, size) == 0 &&
                     ::listen(listener.socket, backlog) == 0 &&
                     ::getsockname(listener.socket, any, &size) == 0,
                 "no port");
  listener.port = ntohs(address.sin_port);
  return listener;
}

}  // namespace penstock
