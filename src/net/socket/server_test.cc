// SPDX-License-Identifier: Apache-2.0
// The whole network layer over real sockets, on loopback.
#include "net/socket/server.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <future>
#include <string>
#include <thread>

#include "base/mutex.h"
#include "base/os/test_folder.h"
#include "net/socket/client_fake.h"

namespace penstock::net {
namespace {

using std::chrono::milliseconds;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

// A server with three routes. One thread; the handlers run on the loops.
class ServerTest : public testing::Test {
 protected:
  ServerTest() {
    router_.AddHttp(EchoRoute());
    router_.AddHttp({.path = "/peer", .handler = [](HttpCallRef call) {
                       HttpResponse response;
                       response.body.AppendCopy(
                           fmt::format("{} {}", call->head().peer, call->head().endpoint->is_tls));
                       call->Respond(std::move(response));
                     }});
    router_.AddHttp({.path = "/later", .handler = [this](HttpCallRef call) {
                       MutexLock lock(mutex_);
                       waiting_ = std::move(call);
                       changed_.NotifyAll();
                     }});
    options_.loops = 2;
    options_.listen = {{.address = "127.0.0.1", .port = 0}};
    options_.inflight_bytes_max = 512 << 20;
  }

  void Start() {
    StatusOr<std::unique_ptr<Server>> server = Server::Start(options_, router_, metrics_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  SocketClient Connect(size_t index = 0) { return SocketClient(server_->ports()[index]); }
  // Waits until a call for /later has come.
  HttpCallRef TakeWaiting() {
    MutexLock lock(mutex_);
    while (!waiting_) changed_.Wait(mutex_);
    return std::exchange(waiting_, {});
  }
  static std::string Get(std::string_view path) {
    return fmt::format("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", path);
  }
  double Metric(const std::string& line) const {
    const std::string text = metrics_.Text();
    const size_t at = text.find("\n" + line + " ");
    return at == std::string::npos ? -1 : std::stod(text.substr(at + line.size() + 2));
  }

  Router router_;
  MetricsRegistry metrics_;
  ServerOptions options_;
  Mutex mutex_;
  CondVar changed_;
  HttpCallRef waiting_ GUARDED_BY(mutex_);
  std::unique_ptr<Server> server_;
};

TEST_F(ServerTest, ServesSeveralAddressesAndUnixSockets) {
  const TestFolder folder;
  const std::string path = folder / "socket";
  options_.listen = {{.port = 0}, {.address = "127.0.0.1", .port = 0}, {.unix_path = path}};
  Start();
  EXPECT_EQ(server_->ports()[2], 0);
  EXPECT_THAT(Connect(0).Ask(Get("/peer")), HasSubstr("\r\n\r\n127.0.0.1:"));
  EXPECT_THAT(Connect(1).Ask(Get("/peer")), HasSubstr("\r\n\r\n127.0.0.1:"));
  EXPECT_THAT(SocketClient(path).Ask(Get("/peer")), HasSubstr("\r\n\r\nunix false"));
  EXPECT_TRUE(server_->Drain());
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(ServerTest, WithoutListeningAtStartItRefusesConnectionsUntilListen) {
  const TestFolder folder;
  const std::string path = folder / "socket";
  options_.listen.push_back({.unix_path = path});
  options_.listens_at_start = false;
  Start();
  EXPECT_FALSE(Connect().is_connected());
  EXPECT_FALSE(SocketClient(path).is_connected());
  ASSERT_EQ(server_->Listen(), OkStatus());
  EXPECT_THAT(Connect().Ask(Get("/peer")), HasSubstr("\r\n\r\n127.0.0.1:"));
  EXPECT_THAT(SocketClient(path).Ask(Get("/peer")), HasSubstr("unix"));
  EXPECT_TRUE(server_->Drain());
}

TEST_F(ServerTest, SaysThatAnotherTookThePortBeforeListen) {
  options_.listens_at_start = false;
  options_.listen[0].asked_by = "--port=1";
  Start();
  ServerOptions other;
  other.loops = 1;
  other.listen = {{.address = "127.0.0.1", .port = server_->ports()[0]}};
  const auto second = Server::Start(other, router_, metrics_);
  ASSERT_TRUE(second.ok()) << second.status();
  const Status status = server_->Listen();
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_THAT(MessageOf(status), AllOf(StartsWith("--port=1: "), HasSubstr("127.0.0.1 port ")));
}

TEST_F(ServerTest, SaysWhyItCannotStart) {
  Start();
  ServerOptions other;
  const auto start = [&](ListenOptions listen) {
    other.listen = {std::move(listen)};
    return Server::Start(other, router_, metrics_).status();
  };
  const int port = server_->ports()[0];
  EXPECT_EQ(start({.address = "127.0.0.1", .port = port}).code(), StatusCode::kUnavailable);
  EXPECT_THAT(MessageOf(start({.address = "127.0.0.1", .port = port})),
              HasSubstr(fmt::format("127.0.0.1 port {}", port)));
  EXPECT_THAT(MessageOf(start({.address = "no-address", .port = 0})), HasSubstr("'no-address'"));
  EXPECT_THAT(MessageOf(start({.port = 70'000})), HasSubstr("70000 is not a port"));
  EXPECT_THAT(MessageOf(start({.unix_path = "/"})), HasSubstr("not a socket"));
  EXPECT_THAT(MessageOf(start({.unix_path = std::string(200, 'x')})), HasSubstr("longer than"));
  EXPECT_THAT(MessageOf(start({.port = 0, .tls = true})), HasSubstr("no certificate"));
  EXPECT_THAT(MessageOf(start({.address = "no-address", .port = 0, .asked_by = "--address=x"})),
              StartsWith("--address=x: 'no-address'"));
  other.listen = {};
  EXPECT_FALSE(Server::Start(other, router_, metrics_).ok());
}

TEST_F(ServerTest, TakesOverTheUnixSocketOfAServerThatWasKilled) {
  const TestFolder folder;
  const std::string path = folder / "socket";
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, path.size());
  const int stale = socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(bind(stale, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  close(stale);
  options_.listen = {{.unix_path = path}};
  Start();
  EXPECT_THAT(SocketClient(path).Ask(Get("/peer")), HasSubstr("unix"));
}

TEST_F(ServerTest, TakesOverTheUnixSocketOfARunningServerWhichKeepsItsConnections) {
  const TestFolder folder;
  const std::string path = folder / "socket";
  options_.listen = {{.unix_path = path}};
  Start();
  SocketClient old_client(path);
  EXPECT_THAT(old_client.Ask(Get("/peer")), HasSubstr("unix"));

  MetricsRegistry metrics;
  auto second = Server::Start(options_, router_, metrics);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_THAT(SocketClient(path).Ask(Get("/peer")), HasSubstr("unix"));
  EXPECT_THAT(metrics.Text(), HasSubstr("\npenstock_net_connections_total 1\n"));
  EXPECT_THAT(old_client.Ask(Get("/peer")), HasSubstr("unix"));

  // The first one ends, and leaves the path to the second one.
  EXPECT_TRUE(server_->Drain());
  server_.reset();
  EXPECT_THAT(SocketClient(path).Ask(Get("/peer")), HasSubstr("unix"));
  EXPECT_TRUE((*second)->Drain());
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(IsLoopbackTest, KnowsBothFamilies) {
  for (const char* local : {"127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"})
    EXPECT_TRUE(IsLoopback(local)) << local;
  for (const char* open :
       {"0.0.0.0", "::", "10.0.0.1", "128.0.0.1", "::ffff:10.0.0.1", "fe80::1", ""})
    EXPECT_FALSE(IsLoopback(open)) << open;
}

TEST_F(ServerTest, EchoesAHundredMegabytes) {
  Start();
  std::string body(100 << 20, '\0');
  for (size_t i = 0; i < body.size(); i += 997) body[i] = static_cast<char>(i);
  SocketClient client = Connect();
  auto sent = std::async(std::launch::async, [&] {
    client.Send(
        fmt::format("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.size()));
    client.Send(body);
  });
  const std::string answer = client.ReadAnswer();
  sent.get();
  EXPECT_THAT(answer.substr(0, 20), StartsWith("HTTP/1.1 200 OK"));
  EXPECT_TRUE(std::string_view(answer).substr(answer.find("\r\n\r\n") + 4) == body);
}

// A counter, since the place of the bytes cannot be seen from outside. The tensor is at byte 37.
TEST_F(ServerTest, BigBodiesAreReadToTheirPlaceWithoutACopy) {
  const TestFolder folder;
  const std::string path = folder / "socket";
  options_.listen.push_back({.unix_path = path});
  router_.AddHttp({.path = "/tensor",
                   .handler =
                       [](HttpCallRef call) {
                         const auto at = reinterpret_cast<uintptr_t>(call->body().data) + 37;
                         HttpResponse response;
                         response.body.AppendCopy(at % kBufferAlignment == 0 ? "good" : "bad");
                         call->Respond(std::move(response));
                       },
                   .landing = [](std::span<const std::byte>, uint64_t) -> size_t { return 37; }});
  Start();
  SocketClient tcp = Connect(), local(path);
  for (SocketClient* client : {&tcp, &local}) {
    for (const size_t size : {32u << 10, 100'001u, 602'112u, 20u << 20}) {
      const std::string head =
          fmt::format("POST /tensor HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", size);
      // First the head alone, as many clients send it, then with the body.
      client->Send(head);
      std::this_thread::sleep_for(milliseconds(2));
      client->Send(std::string(size, 'x'));
      EXPECT_THAT(client->ReadAnswer(), HasSubstr("good")) << size;
      EXPECT_THAT(client->Ask(head + std::string(size, 'x')), HasSubstr("good")) << size;
    }
  }
  EXPECT_EQ(Metric("penstock_net_body_bytes_copied_total"), 0);
}

// While a model runs elsewhere, its connection waits for the next request. The read that it has
// begun must not take the head and a part of the body.
TEST_F(ServerTest, ABodyAfterAnAnswerFromAnotherThreadIsNotCopied) {
  Start();
  SocketClient client = Connect();
  const std::string request = "POST /later HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n" +
                              std::string(200'000, 'x');
  for (int i = 0; i < 3; ++i) {
    client.Send(request);
    const HttpCallRef call = TakeWaiting();
    EXPECT_EQ(call->body().size, 200'000u);
    call->Respond(HttpResponse());
    EXPECT_THAT(client.ReadAnswer(), StartsWith("HTTP/1.1 200"));
  }
  EXPECT_EQ(Metric("penstock_net_body_bytes_copied_total"), 0);
}

TEST_F(ServerTest, ASlowReaderIsCutOffAfterTheWriteTimeout) {
  options_.write_timeout = milliseconds(100);
  Start();
  SocketClient slow = Connect();
  auto sent = std::async(std::launch::async, [&] {
    slow.Send(
        fmt::format("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", 64 << 20));
    slow.Send(std::string(64 << 20, 'x'));
  });
  sent.get();
  // Nobody reads: the server gives up, and closes without all of the answer.
  while (Metric("penstock_net_limits_hit_total{limit=\"timeout\"}") < 1)
    std::this_thread::sleep_for(milliseconds(5));
  EXPECT_LT(slow.ReadUntilClosed().size(), size_t{64} << 20);
}

TEST_F(ServerTest, ClosesConnectionsOverTheLimit) {
  options_.connections_max = 2;
  Start();
  SocketClient one = Connect();
  SocketClient two = Connect();
  EXPECT_THAT(one.Ask(Get("/peer")), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(two.Ask(Get("/peer")), StartsWith("HTTP/1.1 200"));
  EXPECT_EQ(Connect().ReadUntilClosed(), "");
  EXPECT_EQ(Metric("penstock_net_limits_hit_total{limit=\"connections\"}"), 1);
}

TEST_F(ServerTest, ClosesIdleConnectionsAndStalledHeads) {
  options_.idle_timeout = milliseconds(60);
  options_.header_timeout = milliseconds(60);
  Start();
  EXPECT_EQ(Connect().ReadUntilClosed(), "");
  SocketClient stalled = Connect();
  stalled.Send("GET / HT");
  EXPECT_THAT(stalled.ReadUntilClosed(), StartsWith("HTTP/1.1 408"));
  SocketClient preface = Connect();
  preface.Send("PRI * HT");
  EXPECT_EQ(preface.ReadUntilClosed(), "");
}

TEST_F(ServerTest, AnswersARefusedBodyBeforeClosing) {
  options_.body_bytes_max = 1000;
  Start();
  SocketClient client = Connect();
  client.Send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n");
  client.Send(std::string(300'000, 'x'));  // must not reset the connection before the answer
  EXPECT_THAT(client.ReadUntilClosed(), StartsWith("HTTP/1.1 413"));
}

TEST_F(ServerTest, CancelsWhenTheClientResets) {
  Start();
  {
    SocketClient client = Connect();
    client.Send(Get("/later"));
    const HttpCallRef call = TakeWaiting();
    std::promise<void> cancelled;
    call->cancel().SetCallback([&] { cancelled.set_value(); });
    client.Reset();
    cancelled.get_future().get();
  }
}

TEST_F(ServerTest, DrainWaitsForRequestsInFlight) {
  Start();
  SocketClient idle = Connect();
  EXPECT_THAT(idle.Ask(Get("/peer")), StartsWith("HTTP/1.1 200"));
  SocketClient busy = Connect();
  busy.Send(Get("/later"));
  HttpCallRef call = TakeWaiting();
  auto drained = std::async(std::launch::async, [&] { return server_->Drain(); });
  EXPECT_EQ(idle.ReadUntilClosed(), "");
  EXPECT_EQ(drained.wait_for(milliseconds(0)), std::future_status::timeout);
  HttpResponse response;
  response.body.AppendCopy("done");
  call->Respond(std::move(response));
  call = {};
  EXPECT_THAT(busy.ReadUntilClosed(), AllOf(HasSubstr("done"), HasSubstr("connection: close")));
  busy.Reset();
  EXPECT_TRUE(drained.get());
  EXPECT_FALSE(SocketClient(server_->ports()[0]).is_connected());
}

TEST_F(ServerTest, DrainDoesNotWaitForIdleClientsToClose) {
  Start();
  SocketClient idle = Connect();
  EXPECT_THAT(idle.Ask(Get("/peer")), StartsWith("HTTP/1.1 200"));
  SocketClient busy = Connect();
  busy.Send(Get("/later"));
  HttpCallRef call = TakeWaiting();
  auto drained = std::async(std::launch::async, [&] { return server_->Drain(); });
  EXPECT_EQ(idle.ReadUntilClosed(), "");
  // A server that waited would take what comes.
  idle.Send("x");
  EXPECT_EQ(send(idle.handle(), "x", 1, MSG_NOSIGNAL), -1);
  call->Respond({});
  call = {};
  EXPECT_THAT(busy.ReadUntilClosed(), HasSubstr("connection: close"));
  busy.Reset();
  EXPECT_TRUE(drained.get());
}

// Its bytes are read in the same burst of events in which the drain begins.
TEST_F(ServerTest, DrainAnswersTheRequestOfAConnectionThatHasJustCome) {
  std::promise<void> blocked, released;
  router_.AddHttp({.path = "/block", .handler = [&](HttpCallRef call) {
                     blocked.set_value();
                     released.get_future().wait();
                     call->Respond({});
                   }});
  Start();
  SocketClient idle = Connect();  // on loop 0, and so on in turn
  EXPECT_THAT(idle.Ask(Get("/peer")), StartsWith("HTTP/1.1 200"));
  SocketClient blocking = Connect();
  blocking.Send(Get("/block"));
  blocked.get_future().wait();
  SocketClient other = Connect();
  EXPECT_THAT(other.Ask(Get("/peer")), StartsWith("HTTP/1.1 200"));
  SocketClient late = Connect();  // on loop 1, which will hear of it and of the drain at once
  late.Send(Get("/peer"));
  SocketClient last = Connect();  // its answer shows that the one before was accepted
  EXPECT_THAT(last.Ask(Get("/peer")), StartsWith("HTTP/1.1 200"));
  auto drained = std::async(std::launch::async, [&] { return server_->Drain(); });
  EXPECT_EQ(idle.ReadUntilClosed(), "");
  released.set_value();
  EXPECT_THAT(late.ReadUntilClosed(), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(blocking.ReadUntilClosed(), StartsWith("HTTP/1.1 200"));
  late.Reset();
  blocking.Reset();
  EXPECT_TRUE(drained.get());
}

TEST_F(ServerTest, AnOldConnectionIsReplaced) {
  options_.connection_age_max = milliseconds(20);
  Start();
  SocketClient client = Connect();
  std::string answer;
  while (answer.find("connection: close") == std::string::npos) answer = client.Ask(Get("/peer"));
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200"));
  EXPECT_EQ(client.ReadUntilClosed(), "");
  EXPECT_THAT(Connect().Ask(Get("/peer")), StartsWith("HTTP/1.1 200"));
}

TEST_F(ServerTest, TheLastRequestOfAnOldConnectionHasAGraceTime) {
  options_.connection_age_max = options_.connection_age_grace = milliseconds(20);
  Start();
  SocketClient busy = Connect();
  busy.Send(Get("/later"));
  const HttpCallRef call = TakeWaiting();
  EXPECT_THAT(busy.ReadUntilClosed(),
              AllOf(StartsWith("HTTP/1.1 503"), HasSubstr("max_connection_age_grace_ms"),
                    HasSubstr("connection: close")));
  EXPECT_TRUE(call->cancel().IsCancelled());
}

TEST_F(ServerTest, DrainIsBounded) {
  options_.drain_timeout = milliseconds(20);
  Start();
  SocketClient busy = Connect();
  busy.Send(Get("/later"));
  const HttpCallRef call = TakeWaiting();
  EXPECT_FALSE(server_->Drain());
  server_.reset();
  EXPECT_TRUE(call->cancel().IsCancelled());
}

TEST_F(ServerTest, SpreadsConnectionsAndServesManyAtOnce) {
  Start();
  std::vector<std::future<int>> clients;
  for (int i = 0; i < 16; ++i)
    clients.push_back(std::async(std::launch::async, [&] {
      SocketClient client = Connect();
      int good = 0;
      for (int n = 0; n < 50; ++n) good += client.Ask(Get("/peer")).starts_with("HTTP/1.1 200");
      return good;
    }));
  for (auto& client : clients) EXPECT_EQ(client.get(), 50);
  EXPECT_EQ(Metric("penstock_net_requests_total{protocol=\"http/1.1\"}"), 16 * 50);
}

}  // namespace
}  // namespace penstock::net
