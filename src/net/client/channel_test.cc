// SPDX-License-Identifier: Apache-2.0
// Channels over real sockets, on loopback: to a server of ours, and to servers that misbehave.
#include "net/client/channel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <future>
#include <string>
#include <thread>

#include "base/os/loopback_listener.h"
#include "base/os/test_folder.h"
#include "net/socket/identity_fake.h"
#include "net/socket/server.h"

namespace penstock::net {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

// A port that listens, and whose connections nobody serves: what a stopped process looks like.
class SilentPort final {
 public:
  SilentPort() = default;
  ~SilentPort() { close(listener_.socket); }
  SilentPort(const SilentPort&) = delete;
  SilentPort& operator=(const SilentPort&) = delete;

  uint16_t port() const { return listener_.port; }

 private:
  const LoopbackListener listener_ = ListenOnLoopback();
};

// A server with three methods, and a loop for clients. One thread; the handlers run on the loops.
class GrpcChannelTest : public testing::Test {
 protected:
  GrpcChannelTest() {
    router_.AddGrpc({.method = "/t.T/Echo", .handler = [](GrpcCallRef call) {
                       call->Respond(ByteChain(call->message()));
                     }});
    router_.AddGrpc({.method = "/t.T/Timeout", .handler = [](GrpcCallRef call) {
                       ByteChain answer;
                       answer.AppendCopy(call->deadline() == kNoDeadline ? "none" : "some");
                       call->Respond(std::move(answer));
                     }});
    router_.AddGrpc({.method = "/t.T/Never", .handler = [this](GrpcCallRef call) {
                       call->cancel().SetCallback([this] { cancelled_.set_value(); });
                       kept_.push_back(std::move(call));
                       came_.set_value();
                     }});
    options_.loops = 1;
    options_.listen = {{.address = "127.0.0.1", .port = 0}};
    options_.inflight_bytes_max = 512 << 20;
  }

  void Serve() {
    StatusOr<std::unique_ptr<Server>> server = Server::Start(options_, router_, metrics_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  ChannelOptions To(int port) {
    ChannelOptions options;
    options.host = "127.0.0.1";
    options.port = static_cast<uint16_t>(port);
    return options;
  }
  static UnaryRequest Request(std::string path, std::string_view message = "abc") {
    return {.path = std::move(path), .message = ByteChain(WholeSlice(CopyToBuffer(message)))};
  }
  static std::future<UnaryAnswer> Start(GrpcChannel& channel, UnaryRequest request,
                                        uint64_t* id = nullptr) {
    auto promise = std::make_shared<std::promise<UnaryAnswer>>();
    std::future<UnaryAnswer> answer = promise->get_future();
    const uint64_t call = channel.Start(std::move(request), [promise](UnaryAnswer&& given) {
      promise->set_value(std::move(given));
    });
    if (id != nullptr) *id = call;
    return answer;
  }
  UnaryAnswer Ask(GrpcChannel& channel, std::string path, std::string_view message = "abc") {
    return Start(channel, Request(std::move(path), message)).get();
  }

  Router router_;
  MetricsRegistry metrics_;
  ServerOptions options_;
  std::vector<GrpcCallRef> kept_;
  std::promise<void> came_, cancelled_;
  std::unique_ptr<Server> server_;
  ClientLoop loop_{"client"};
};

TEST_F(GrpcChannelTest, Calls) {
  Serve();
  GrpcChannel channel(loop_, To(server_->ports()[0]));
  for (const size_t size : {size_t{0}, size_t{3}, size_t{100'000}, size_t{20} << 20}) {
    const std::string message(size, 'x');
    const UnaryAnswer answer = Ask(channel, "/t.T/Echo", message);
    ASSERT_EQ(answer.status, OkStatus());
    EXPECT_EQ(answer.message.view(), message);
  }
  EXPECT_EQ(Ask(channel, "/t.T/No").status.code(), StatusCode::kUnimplemented);
  EXPECT_THAT(metrics_.Text(), HasSubstr("penstock_net_connections_total 1\n"));
}

TEST_F(GrpcChannelTest, ACallBeginsInTheAnswerOfAnother) {
  Serve();
  GrpcChannel channel(loop_, To(server_->ports()[0]));
  std::promise<std::string> second;
  bool has_returned = false;  // of the loop
  channel.Start(Request("/t.T/Echo", "one"), [&](UnaryAnswer&& first) {
    EXPECT_TRUE(loop_.IsCurrent());
    EXPECT_EQ(first.message.view(), "one");
    channel.Start(Request("/t.T/Echo", "two"), [&](UnaryAnswer&& answer) {
      EXPECT_TRUE(has_returned) << "an answer never comes before Start has returned";
      second.set_value(std::string(answer.message.view()));
    });
    has_returned = true;
  });
  EXPECT_FALSE(loop_.IsCurrent());
  EXPECT_EQ(second.get_future().get(), "two");
}

TEST_F(GrpcChannelTest, CallsFromManyThreads) {
  Serve();
  GrpcChannel channel(loop_, To(server_->ports()[0]));
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        const std::string message = fmt::format("{} {}", t, i);
        if (Ask(channel, "/t.T/Echo", message).message.view() == message) ++good;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 800);
}

TEST_F(GrpcChannelTest, OnALoopOfAServerACallChangesNoThread) {
  Serve();
  const std::shared_ptr<IoLoop> loop = server_->IoLoops()[0];
  GrpcChannel channel(*loop, To(server_->ports()[0]));
  std::promise<std::string> second;
  std::thread::id begun;
  loop->Post([&] {
    begun = std::this_thread::get_id();
    EXPECT_TRUE(loop->IsCurrent());
    channel.Start(Request("/t.T/Echo", "one"), [&](UnaryAnswer&&) {
      channel.Start(Request("/t.T/Echo", "two"), [&](UnaryAnswer&& answer) {
        EXPECT_EQ(std::this_thread::get_id(), begun);
        second.set_value(std::string(answer.message.view()));
      });
    });
  });
  EXPECT_EQ(second.get_future().get(), "two");
  EXPECT_EQ(Ask(channel, "/t.T/Echo", "from another thread").message.view(), "from another thread");
}

TEST_F(GrpcChannelTest, ALoopOfAServerEndsItsCalls) {
  Serve();
  const SilentPort silent;
  Router no_routes;
  StatusOr<std::unique_ptr<Server>> other = Server::Start(options_, no_routes, metrics_);
  ASSERT_TRUE(other.ok()) << other.status();
  const std::shared_ptr<IoLoop> loop = (*other)->IoLoops()[0];
  GrpcChannel channel(*loop, To(server_->ports()[0]));
  GrpcChannel connecting(*loop, To(silent.port()));
  std::future<UnaryAnswer> sent = Start(channel, Request("/t.T/Never"));
  std::future<UnaryAnswer> waiting = Start(connecting, Request("/t.T/Echo"));
  came_.get_future().wait();
  other->reset();
  EXPECT_EQ(sent.get().status.code(), StatusCode::kCancelled);
  EXPECT_EQ(waiting.get().status.code(), StatusCode::kCancelled);
  EXPECT_EQ(Ask(channel, "/t.T/Echo").status.code(), StatusCode::kCancelled);
  cancelled_.get_future().wait();  // the connection has ended
}

TEST_F(GrpcChannelTest, SendsWhatIsLeftOfTheDeadline) {
  Serve();
  GrpcChannel channel(loop_, To(server_->ports()[0]));
  EXPECT_EQ(Ask(channel, "/t.T/Timeout").message.view(), "none");
  UnaryRequest request = Request("/t.T/Timeout");
  request.deadline = std::chrono::steady_clock::now() + std::chrono::hours(1);
  EXPECT_EQ(Start(channel, std::move(request)).get().message.view(), "some");
}

TEST_F(GrpcChannelTest, EndsCallsAtTheirDeadline) {
  Serve();
  GrpcChannel channel(loop_, To(server_->ports()[0]));
  UnaryRequest request = Request("/t.T/Never");
  request.deadline = std::chrono::steady_clock::now() + milliseconds(20);
  EXPECT_EQ(Start(channel, std::move(request)).get().status.code(), StatusCode::kDeadlineExceeded);
}

TEST_F(GrpcChannelTest, CancelReachesTheServer) {
  Serve();
  GrpcChannel channel(loop_, To(server_->ports()[0]));
  uint64_t id = 0;
  auto answer = Start(channel, Request("/t.T/Never"), &id);
  came_.get_future().wait();
  channel.Cancel(id);
  EXPECT_EQ(answer.get().status.code(), StatusCode::kCancelled);
  cancelled_.get_future().wait();
}

TEST_F(GrpcChannelTest, IsDestroyedWithOpenCalls) {
  Serve();
  std::future<UnaryAnswer> answer;
  {
    GrpcChannel channel(loop_, To(server_->ports()[0]));
    answer = Start(channel, Request("/t.T/Never"));
    came_.get_future().wait();
  }
  EXPECT_EQ(answer.get().status.code(), StatusCode::kCancelled);
}

TEST_F(GrpcChannelTest, ConnectsAgainAfterTheServerHasEnded) {
  Serve();
  const int port = server_->ports()[0];
  ChannelOptions options = To(port);
  options.backoff_min = options.backoff_max = milliseconds(1);
  GrpcChannel channel(loop_, std::move(options));
  EXPECT_EQ(Ask(channel, "/t.T/Echo").status, OkStatus());
  server_->Drain();
  server_.reset();
  UnaryAnswer answer = Ask(channel, "/t.T/Echo");
  EXPECT_EQ(answer.status.code(), StatusCode::kUnavailable);
  EXPECT_TRUE(answer.is_unprocessed) << answer.status;
  options_.listen[0].port = port;
  MetricsRegistry metrics;
  auto server = Server::Start(options_, router_, metrics);
  ASSERT_TRUE(server.ok());
  server_ = *std::move(server);
  while (!Ask(channel, "/t.T/Echo").status.ok()) std::this_thread::yield();
  server_.reset();
}

TEST_F(GrpcChannelTest, GivesUpAServerThatSaysNothing) {
  const SilentPort silent;
  ChannelOptions options = To(silent.port());
  options.connect_timeout = milliseconds(20);
  options.calls_max = 2;
  GrpcChannel channel(loop_, std::move(options));
  auto first = Start(channel, Request("/t.T/Echo"));
  auto second = Start(channel, Request("/t.T/Echo"));
  const UnaryAnswer refused = Ask(channel, "/t.T/Echo");
  EXPECT_EQ(refused.status.code(), StatusCode::kUnavailable);
  EXPECT_TRUE(refused.is_unprocessed);
  const UnaryAnswer answer = first.get();
  EXPECT_EQ(answer.status.code(), StatusCode::kUnavailable);
  EXPECT_THAT(std::string(MessageOf(answer.status)), HasSubstr("does not answer within 20 ms"));
  EXPECT_TRUE(answer.is_unprocessed);
  EXPECT_TRUE(second.get().is_unprocessed);
}

TEST_F(GrpcChannelTest, SaysThatANameIsUnknown) {
  ChannelOptions options = To(1);
  options.host = "no-such-host.invalid";
  GrpcChannel channel(loop_, std::move(options));
  const UnaryAnswer answer = Ask(channel, "/t.T/Echo");
  EXPECT_THAT(std::string(MessageOf(answer.status)), HasSubstr("no-such-host.invalid"));
}

// With TLS; the server's certificate is for "localhost".
class GrpcChannelTlsTest : public GrpcChannelTest {
 protected:
  GrpcChannelTlsTest() {
    Write("server.pem", server_identity_.certificate);
    Write("server.key", server_identity_.key);
    Write("client.pem", client_identity_.certificate);
    Write("client.key", client_identity_.key);
    options_.tls.certificate_file = folder_ / "server.pem";
    options_.tls.key_file = folder_ / "server.key";
    options_.listen[0].tls = true;
  }
  void Write(const char* name, const std::string& text) { std::ofstream(folder_ / name) << text; }
  UnaryAnswer AskWith(ClientTlsOptions tls, std::string host = "localhost") {
    ChannelOptions options = To(server_->ports()[0]);
    options.host = std::move(host);
    options.tls = std::make_unique<ClientTlsOptions>(std::move(tls));
    GrpcChannel channel(loop_, std::move(options));
    return Ask(channel, "/t.T/Echo", std::string(100'000, 'x'));
  }

  const TestFolder folder_;
  const Identity server_identity_ = MakeIdentity("localhost");
  const Identity client_identity_ = MakeIdentity("client");
};

TEST_F(GrpcChannelTlsTest, ChecksTheServer) {
  Serve();
  const std::string ca = folder_ / "server.pem";
  const UnaryAnswer answer = AskWith({.ca_file = ca});
  ASSERT_EQ(answer.status, OkStatus());
  EXPECT_EQ(answer.message.size, 100'000U);
  EXPECT_EQ(AskWith({.ca_file = ca, .server_name = "localhost"}, "127.0.0.1").status, OkStatus());
  const auto text = [](const UnaryAnswer& refused) {
    EXPECT_EQ(refused.status.code(), StatusCode::kUnavailable);
    EXPECT_TRUE(refused.is_unprocessed);
    return std::string(MessageOf(refused.status));
  };
  EXPECT_THAT(text(AskWith({.ca_file = ca}, "127.0.0.1")), HasSubstr("mismatch"));
  EXPECT_THAT(text(AskWith({.ca_file = ca, .server_name = "other"})), HasSubstr("mismatch"));
  EXPECT_THAT(text(AskWith({.ca_file = folder_ / "client.pem"})), HasSubstr("self-signed"));
  EXPECT_THAT(text(AskWith({})), HasSubstr("self-signed"));
}

TEST_F(GrpcChannelTlsTest, ShowsItsOwnCertificate) {
  options_.tls.client_ca_file = folder_ / "client.pem";
  options_.tls.require_client_certificate = true;
  Serve();
  const std::string ca = folder_ / "server.pem";
  EXPECT_EQ(AskWith({.ca_file = ca,
                     .certificate_file = folder_ / "client.pem",
                     .key_file = folder_ / "client.key"})
                .status,
            OkStatus());
  EXPECT_EQ(AskWith({.ca_file = ca}).status.code(), StatusCode::kUnavailable);
}

TEST_F(GrpcChannelTlsTest, NamesTheFileThatIsWrong) {
  Serve();
  const auto text = [this](ClientTlsOptions tls) {
    const UnaryAnswer answer = AskWith(std::move(tls));
    EXPECT_TRUE(answer.is_unprocessed);
    return std::string(MessageOf(answer.status));
  };
  EXPECT_THAT(text({.ca_file = folder_ / "none.pem"}), HasSubstr("none.pem cannot be used"));
  EXPECT_THAT(text({.ca_file = folder_ / "server.key"}), HasSubstr("server.key cannot be used"));
  EXPECT_THAT(text({.certificate_file = folder_ / "client.pem"}), HasSubstr("needs both"));
  EXPECT_THAT(
      text({.certificate_file = folder_ / "client.pem", .key_file = folder_ / "server.key"}),
      HasSubstr("server.key cannot be used"));
}

}  // namespace
}  // namespace penstock::net
