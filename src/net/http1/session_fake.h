// SPDX-License-Identifier: Apache-2.0
// An HTTP/1.1 connection without I/O, for tests and fuzzing.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "net/http/session_fake.h"

namespace penstock::net {

// A server with one HTTP/1.1 connection. One thread.
class FakeHttp1Server final : public FakeServer {
 public:
  explicit FakeHttp1Server(const Router& router, ServerOptions options = DefaultOptions())
      : FakeServer(router, std::move(options), MakeHttp1Session) {}

  // Returns the session's answer to `request`, which it gets in one read.
  std::string Ask(std::string_view request) {
    (void)Receive(request);
    return Send();
  }
};

}  // namespace penstock::net
