// SPDX-License-Identifier: Apache-2.0
// Any bytes to an HTTP/1.1 session without I/O. The first byte of the input says into how large
// reads the rest is cut (0: not at all), the second one what happens meanwhile.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "net/http1/session_fake.h"
#include "session_fuzz.h"

namespace penstock::net {
namespace {

// Bits of the second byte.
constexpr unsigned kInPlace = 1;  // bodies are read to where the session wants them
constexpr unsigned kDrain = 2;    // the server drains from the second read on
constexpr unsigned kTicks = 4;    // time passes between reads
constexpr unsigned kDrop = 8;     // the connection is lost at the end, with calls unanswered

using HeldHttp = Held<HttpCallRef>;

Router MakeRouter() {
  Router router;
  router.AddHttp({.path = "/v1/*",
                  .methods = {"GET", "POST"},
                  .handler = EchoHttp,
                  .landing = [](std::span<const std::byte> prefix, uint64_t) -> size_t {
                    return prefix.size() / 2;
                  }});
  router.AddHttp({.path = "/long", .methods = {"GET"}, .handler = AnswerLong});
  router.AddHttp({.path = "/late", .handler = HeldHttp::HoldLate});
  router.AddHttp({.path = "/keep", .handler = HeldHttp::HoldForEver});
  router.AddHttp({.path = "/drop", .handler = [](HttpCallRef) {}});
  return router;
}

// As a connection would read.
void Give(FakeHttp1Server& server, std::string_view piece, bool is_in_place) {
  while (is_in_place && !piece.empty()) {
    const std::span<std::byte> target = server.session().ReadTarget();
    if (target.empty()) break;
    const size_t size = std::min(target.size(), piece.size());
    std::memcpy(target.data(), piece.data(), size);
    (void)server.session().OnBytes(target.first(size));
    piece.remove_prefix(size);
  }
  if (!piece.empty()) (void)server.Receive(piece);
}

// Gives the answers that are late, and those to the requests behind them.
void Settle(FakeHttp1Server& server) {
  server.Send();
  while (!HeldHttp::Calls().late.empty()) {
    for (HttpCallRef& call : std::exchange(HeldHttp::Calls().late, {})) EchoHttp(std::move(call));
    server.RunPosted();
    server.Send();
  }
}

// Plays `input` until the connection ends.
void Converse(FakeHttp1Server& server, std::string_view input, size_t step, unsigned how) {
  while (!input.empty()) {
    const std::string_view piece = input.substr(0, step);
    input.remove_prefix(piece.size());
    Give(server, piece, (how & kInPlace) != 0);
    if ((how & kTicks) != 0 && !server.Pass(std::chrono::seconds(5))) return;
    Settle(server);
    if ((how & kDrain) != 0) server.session().StartDrain();
  }
  if ((how & kDrop) != 0) {
    server.DropConnection();
    return;
  }
  (void)server.session().OnEndOfInput();
  Settle(server);
  (void)server.Pass(std::chrono::minutes(2));
}

void Play(std::string_view input, size_t step, unsigned how) {
  static const Router router = MakeRouter();
  ServerOptions options = FakeHttp1Server::DefaultOptions();
  options.body_bytes_max = 1 << 20;
  options.header_bytes_max = 4096;
  FakeHttp1Server server(router, options);
  Converse(server, input, step, how);
  HeldHttp::Calls() = {};  // dropped without an answer
}

}  // namespace
}  // namespace penstock::net

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace penstock::net;
  if (size < 2) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 2, size - 2);
  const size_t step = data[0] == 0 ? input.size() : data[0];
  Play(input, step, data[1]);
  return 0;
}
