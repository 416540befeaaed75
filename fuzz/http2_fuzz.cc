// SPDX-License-Identifier: Apache-2.0
// A whole HTTP/2 connection without I/O; gRPC and plain handlers answer. The first byte of the
// input says what happens beside it, the second one into how large reads the rest is cut (0: not at
// all).
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "net/http2/session_fake.h"
#include "protocols/tfs/predict_reader.h"
#include "session_fuzz.h"

namespace penstock::net {
namespace {

// Bits of the first byte; bits 2 and 3 choose the size of a flush.
constexpr unsigned kPrefaceFirst = 1;  // the input begins behind the client's preface
constexpr unsigned kHalfClose = 2;
constexpr unsigned kEarlyDrain = 16;  // the server drains from the second read on
constexpr unsigned kSmallLimits = 32;
constexpr unsigned kSlow = 64;   // time passes between reads
constexpr unsigned kLost = 128;  // the connection is lost at the end, with calls unanswered

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
using HeldGrpc = Held<GrpcCallRef>;

void Echo(const GrpcCallRef& call) { call->Respond(ByteChain(call->message())); }

void EchoStream(GrpcCallRef call) {
  GrpcCall& reader = *call;
  reader.Read([call = std::move(call)](std::optional<Slice> message) mutable {
    if (!message) return call->Finish(OkStatus(), {{"x-end", "yes"}});
    GrpcCall& writer = *call;
    writer.Write(ByteChain(*std::move(message)), [call = std::move(call)](bool ok) mutable {
      if (ok) EchoStream(std::move(call));
    });
  });
}

void AddGrpc(Router& router) {
  router.AddGrpc({.method = "/a/u", .handler = Echo});
  router.AddGrpc({.method = "/a/gzip", .handler = Echo, .compress = true});
  router.AddGrpc({.method = "/tensorflow.serving.PredictionService/Predict",
                  .handler = Echo,
                  .landing = tfs::PredictLanding});
  router.AddGrpc({.method = "/a/s", .is_unary = false, .handler = EchoStream});
  router.AddGrpc({.method = "/a/late", .handler = HeldGrpc::HoldLate});
  router.AddGrpc({.method = "/a/keep", .handler = HeldGrpc::HoldForEver});
  router.AddGrpc({.method = "/a/unread", .is_unary = false, .handler = HeldGrpc::HoldForEver});
  router.AddGrpc({.method = "/a/drop", .handler = [](GrpcCallRef) {}});
}

Router MakeRouter() {
  Router router;
  AddGrpc(router);
  router.AddHttp({.path = "/", .handler = EchoHttp});
  router.AddHttp({.path = "/long", .methods = {"GET"}, .handler = AnswerLong});
  return router;
}

ServerOptions OptionsFor(unsigned how) {
  ServerOptions options = FakeHttp2Server::DefaultOptions();
  options.body_bytes_max = 1 << 20;
  if ((how & kSmallLimits) != 0) {
    options.body_bytes_max = 2048;
    options.inflight_bytes_max = 16 << 10;
    options.header_bytes_max = 1024;
    options.requests_max = 4;
    options.write_queue_bytes_max = 1024;
  }
  return options;
}

// Gives one read and what follows from it. False: the connection ends.
bool Give(FakeHttp2Server& server, std::string_view read, unsigned how) {
  if (!server.Receive(read)) return false;
  for (const GrpcCallRef& call : std::exchange(HeldGrpc::Calls().late, {})) Echo(call);
  server.RunPosted();
  server.Send(size_t{16} << (how >> 2 & 3) * 4);
  return (how & kSlow) == 0 || server.Pass(std::chrono::seconds(5));
}

void Play(FakeHttp2Server& server, std::string_view input, size_t step, unsigned how) {
  if ((how & kPrefaceFirst) != 0 && !server.Receive(kPreface)) return;
  while (!input.empty()) {
    const std::string_view read = input.substr(0, step);
    input.remove_prefix(read.size());
    if (!Give(server, read, how)) return;
    if ((how & kEarlyDrain) != 0) server.session().StartDrain();
  }
  if ((how & kLost) != 0) return server.DropConnection();
  if (!server.Pass(std::chrono::seconds(2))) return;
  if ((how & kHalfClose) != 0 && !server.session().OnEndOfInput()) return;
  server.session().StartDrain();
  server.Send();
}

}  // namespace
}  // namespace penstock::net

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace penstock::net;
  static const Router router = MakeRouter();
  if (size < 2) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 2, size - 2);
  FakeHttp2Server server(router, OptionsFor(data[0]));
  Play(server, input, data[1] == 0 ? input.size() : data[1], data[0]);
  HeldGrpc::Calls() = {};  // dropped without an answer
  return 0;
}
