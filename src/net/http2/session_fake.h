// SPDX-License-Identifier: Apache-2.0
// An HTTP/2 connection without I/O, for tests and fuzzing.
#pragma once

#include <utility>

#include "net/http/session_fake.h"

namespace penstock::net {

// A server with one HTTP/2 connection. One thread.
class FakeHttp2Server final : public FakeServer {
 public:
  explicit FakeHttp2Server(const Router& router, ServerOptions options = DefaultOptions())
      : FakeServer(router, std::move(options), MakeHttp2Session) {}
};

}  // namespace penstock::net
