// SPDX-License-Identifier: Apache-2.0
// Any bytes, cut anywhere, to an HTTP/1.1 session without I/O.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "net/http1_session_fake.h"

namespace {

using penstock::net::FakeHttp1Server;
using penstock::net::HttpCallRef;
using penstock::net::HttpResponse;

penstock::net::Router MakeRouter() {
  penstock::net::Router router;
  const auto echo = [](HttpCallRef call) {
    HttpResponse response;
    response.body.Append(call->body());
    call->Respond(std::move(response));
  };
  router.AddHttp({.path = "/*",
                  .methods = {"GET", "POST"},
                  .handler = echo,
                  .landing = [](std::span<const std::byte> prefix, uint64_t) -> size_t {
                    return prefix.size() / 2;
                  }});
  router.AddHttp({.path = "/drop", .handler = [](HttpCallRef) {}});
  return router;
}

}  // namespace

// The first byte says into how large reads the rest is cut.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const penstock::net::Router router = MakeRouter();
  if (size == 0) return 0;
  penstock::net::ServerOptions options = FakeHttp1Server::DefaultOptions();
  options.body_bytes_max = 1 << 20;
  options.header_bytes_max = 4096;
  FakeHttp1Server server(router, options);
  const size_t step = data[0] == 0 ? size : data[0];
  std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  while (!rest.empty()) {
    const std::string_view piece = rest.substr(0, step);
    rest.remove_prefix(piece.size());
    (void)server.Ask(piece);
  }
  (void)server.session().OnEndOfInput();
  (void)server.Send();
  (void)server.Pass(std::chrono::minutes(2));
  return 0;
}
