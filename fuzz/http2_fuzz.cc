// SPDX-License-Identifier: Apache-2.0
// A whole HTTP/2 connection without I/O: the input is cut into reads; gRPC and plain handlers
// answer. The first byte says how: bit 0 sends the preface first, bit 1 ends the input by a
// half-close, bits 2-3 choose the size of a flush.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "net/http2_session_fake.h"

namespace penstock::net {
namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr size_t kReadBytes = 37;  // so that frames are cut everywhere

void EchoStream(GrpcCallRef call) {
  GrpcCall& reader = *call;
  reader.Read([call = std::move(call)](std::optional<Slice> message) mutable {
    if (!message) return call->Finish(OkStatus());
    GrpcCall& writer = *call;
    writer.Write(ByteChain(*std::move(message)), [call = std::move(call)](bool ok) mutable {
      if (ok) EchoStream(std::move(call));
    });
  });
}

const Router& Routes() {
  static const Router* const routes = [] {
    auto* router = new Router;
    GrpcRoute unary;
    unary.method = "/a/u";
    unary.handler = [](GrpcCallRef call) { call->Respond(ByteChain(call->message())); };
    router->AddGrpc(std::move(unary));
    GrpcRoute stream;
    stream.method = "/a/s";
    stream.is_unary = false;
    stream.handler = EchoStream;
    router->AddGrpc(std::move(stream));
    HttpRoute echo;
    echo.path = "/";
    echo.handler = [](HttpCallRef call) {
      HttpResponse response;
      response.body = ByteChain(call->body());
      call->Respond(std::move(response));
    };
    router->AddHttp(std::move(echo));
    return router;
  }();
  return *routes;
}

void Run(std::string_view input) {
  const auto how = static_cast<unsigned char>(input[0]);
  ServerOptions options = FakeHttp2Server::DefaultOptions();
  options.body_bytes_max = 1 << 20;
  FakeHttp2Server server(Routes(), options);
  const size_t flush_bytes = size_t{16} << (how >> 2 & 3) * 4;
  if ((how & 1) != 0 && !server.Receive(kPreface)) return;
  for (input.remove_prefix(1); !input.empty();) {
    const std::string_view part = input.substr(0, kReadBytes);
    input.remove_prefix(part.size());
    if (!server.Receive(part)) break;
    server.RunPosted();
    server.Send(flush_bytes);
  }
  if (!server.Pass(std::chrono::seconds(2))) return;
  if ((how & 2) != 0 && !server.session().OnEndOfInput()) return;
  server.session().StartDrain();
  server.Send(flush_bytes);
}

}  // namespace
}  // namespace penstock::net

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 0) penstock::net::Run({reinterpret_cast<const char*>(data), size});
  return 0;
}
