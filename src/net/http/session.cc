// SPDX-License-Identifier: Apache-2.0
#include "net/http/session.h"

#include "net/call.h"

namespace penstock::net {

void CutCalls::Add(int64_t& of_protocol, const Call& call) {
  ++of_protocol;
  if (call.start() >= oldest_start) return;
  oldest_start = call.start();
  oldest_peer = call.head().peer;
}

void CutCalls::Add(const CutCalls& other) {
  http1 += other.http1;
  http2 += other.http2;
  grpc += other.grpc;
  if (other.oldest_start >= oldest_start) return;
  oldest_start = other.oldest_start;
  oldest_peer = other.oldest_peer;
}

}  // namespace penstock::net
