// SPDX-License-Identifier: Apache-2.0
// Calls to a scripted server: connections, tries again, time-outs, errors.
#include "penstock_client/client.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <future>
#include <set>
#include <thread>

#include "answers_fake.h"
#include "scripted_server.h"

namespace penstock_client {
namespace {

using std::chrono::milliseconds;

const std::vector<float> kX = {1};
const std::string kOne = FakeAnswer({MakeFake<float>({1}, {1})});
const std::string kBusy = Http("the queue is full\n", "503 Service Unavailable");

ClientOptions Quick() { return {.retry = {.delay = milliseconds(1)}}; }

ScriptedServer::Play Always(std::string answer) {
  return [answer](int, int, const std::string&) { return answer; };
}

std::vector<int> Connections(const ScriptedServer& server) {
  std::vector<int> connections;
  for (const auto& request : server.requests()) connections.push_back(request.connection);
  return connections;
}

float InferOne(const Model& model) {
  const Output y = model.InferOne(kX);
  return y.values<float>()[0];
}

// The error of a call, which must be of this class.
template <typename Expected, typename Call>
Expected ErrorOf(Call call) {
  try {
    call();
  } catch (const Expected& error) {
    return error;
  } catch (const std::exception& error) {
    ADD_FAILURE() << "another error: " << error.what();
    throw;
  }
  throw std::logic_error("no error");
}

#define EXPECT_TEXT(text, part) EXPECT_NE(std::string(text).find(part), std::string::npos) << (text)

// Something that a test opens for a server. Thread-safe.
class Gate {
 public:
  void Open() { open_.set_value(); }
  void Wait() { opened_.wait_for(std::chrono::seconds(60)); }

 private:
  std::promise<void> open_;
  std::shared_future<void> opened_ = open_.get_future().share();
};

TEST(ClientTest, CallsShareAConnection) {
  ScriptedServer server(Always(Http(kOne)));
  const Client client(server.url(), {.token = "secret", .headers = {{"x-request-id", "mine"}}});
  for (int i = 0; i < 3; ++i) {
    const Output output = client.model("m", {.version = 2}).InferOne(kX);
    EXPECT_EQ(output.values<float>()[0], 1);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(output.bytes().data()) % 4, 0u);
  }
  EXPECT_EQ(Connections(server), (std::vector<int>{0, 0, 0}));
  const std::string head = server.requests()[0].head;
  EXPECT_EQ(head.rfind("POST /graphpipe/m/versions/2 HTTP/1.1\r\n", 0), 0u) << head;
  EXPECT_TEXT(head, "\r\nAuthorization: Bearer secret\r\n");
  EXPECT_TEXT(head, "\r\nx-request-id: mine\r\n");
  EXPECT_EQ(head.find("Expect"), std::string::npos);
  EXPECT_EQ(head.find("Transfer-Encoding"), std::string::npos);
}

TEST(ClientTest, ServersBehindAPath) {
  ScriptedServer server(Always(Http(kOne)));
  const Client client(server.url() + "/proxy/");
  InferOne(client.model("a/b c"));
  InferOne(client.model());
  InferOne(client.model(".."));
  const auto requests = server.requests();
  EXPECT_TEXT(requests[0].head, "POST /proxy/graphpipe/a%2Fb%20c HTTP");
  EXPECT_TEXT(requests[1].head, "POST /proxy/ HTTP");
  EXPECT_TEXT(requests[2].head, "POST /proxy/graphpipe/.. HTTP");
}

TEST(ClientTest, ModelsOutliveTheirClient) {
  ScriptedServer server(Always(Http(kOne)));
  const Model model = Client(server.url()).model("m");
  EXPECT_EQ(InferOne(model), 1);
}

TEST(ClientTest, LargeTensorsArriveWhole) {
  std::vector<float> x(300'000);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i);
  const std::string answer =
      FakeAnswer({MakeFake<float>({300, 1000}, x), MakeFake<float>({1}, {5})});
  ScriptedServer server(Always(Http(answer)));
  const auto outputs = Client(server.url()).model("m").Infer({{x, {300, 1000}}, kX, x});
  ASSERT_EQ(outputs.size(), 2u);
  const auto whole = outputs[0].values<float>();
  EXPECT_EQ(std::vector<float>(whole.begin(), whole.end()), x);
  EXPECT_EQ(outputs[1].values<float>()[0], 5);
  const std::string bytes(reinterpret_cast<const char*>(x.data()), x.size() * sizeof(float));
  const std::string body = server.requests()[0].body;
  // Both begin at a multiple of 64, and their size is one.
  const size_t second = body.size() - bytes.size();
  EXPECT_TRUE(body.substr(second) == bytes);
  EXPECT_TRUE(body.substr(second - 64 - bytes.size(), bytes.size()) == bytes);
}

TEST(ClientTest, AnswersInChunksAndUntilTheEnd) {
  std::string chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (size_t at = 0; at < kOne.size(); at += 8) {
    const std::string part = kOne.substr(at, 8);
    chunks += std::to_string(part.size()) + "\r\n" + part + "\r\n";
  }
  chunks += "0\r\n\r\n";
  const std::string until_end = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + kOne;
  ScriptedServer server(
      [&](int, int number, const std::string&) { return number == 2 ? until_end : chunks; });
  const Client client(server.url());
  for (int i = 0; i < 4; ++i) EXPECT_EQ(InferOne(client.model("m")), 1);
  EXPECT_EQ(Connections(server), (std::vector<int>{0, 0, 0, 1}));
}

TEST(ClientTest, LongAnswersInChunks) {
  const std::vector<float> x(500'000, 3);
  const std::string answer = FakeAnswer({MakeFake<float>({500'000}, x)});
  ScriptedServer server(Always("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + answer));
  const Output output = Client(server.url()).model("m").InferOne(kX);
  EXPECT_EQ(output.size(), x.size());
  EXPECT_EQ(output.values<float>().back(), 3);
}

TEST(ClientTest, BusyServersAreAskedAgain) {
  ScriptedServer server(
      [](int, int number, const std::string&) { return number < 3 ? kBusy : Http(kOne); });
  EXPECT_EQ(InferOne(Client(server.url(), Quick()).model("m")), 1);
  const auto requests = server.requests();
  ASSERT_EQ(requests.size(), 4u);
  EXPECT_EQ(requests[0].body, requests[3].body);
  EXPECT_EQ(Connections(server), (std::vector<int>{0, 0, 0, 0}));
}

TEST(ClientTest, LargeRequestsToBusyServersToo) {
  const std::vector<float> x(100'000, 2);
  ScriptedServer server(
      [](int, int number, const std::string&) { return number < 2 ? kBusy : Http(kOne); });
  Client(server.url(), Quick()).model("m").Infer(x);
  const auto requests = server.requests();
  ASSERT_EQ(requests.size(), 3u);
  EXPECT_EQ(requests[0].body, requests[2].body);
}

TEST(ClientTest, TriesAreLimited) {
  ScriptedServer server(Always(kBusy));
  const Client client(server.url(), {.retry = {.attempts_max = 2, .delay = milliseconds(1)}});
  const auto error = ErrorOf<Unavailable>([&] { client.model("m").Infer(kX); });
  EXPECT_STREQ(error.what(), "503: the queue is full");
  EXPECT_EQ(server.requests().size(), 2u);
}

TEST(ClientTest, AnOverloadedServerGetsFewTriesAgain) {
  ScriptedServer server(Always(kBusy));
  const Client client(server.url(), {.retry = {.delay = milliseconds(1), .budget = 5}});
  for (int i = 0; i < 20; ++i) EXPECT_THROW(client.model("m").Infer(kX), Unavailable);
  EXPECT_EQ(server.requests().size(), 25u);
}

TEST(ClientTest, LongWaitsAreLeftToTheCaller) {
  ScriptedServer server(Always(Http("loading", "503 Service Unavailable", "Retry-After: 30\r\n")));
  for (const ClientOptions& options :
       {ClientOptions{}, ClientOptions{.timeout = std::chrono::seconds(20),
                         .retry = {.delay_max = std::chrono::seconds(60)}}}) {
    const auto error =
        ErrorOf<Unavailable>([&] { Client(server.url(), options).model("m").Infer(kX); });
    EXPECT_EQ(error.retry_after(), std::chrono::seconds(30));
  }
  EXPECT_EQ(server.requests().size(), 2u);
}

TEST(ClientTest, AnyRetryAfterIsRead) {
  const std::vector<std::pair<std::string, int64_t>> cases = {
      {"Retry-After: 99999999999999999999\r\n", INT32_MAX},
      {"retry-after:\t9300000000000000 \r\n", INT32_MAX},
      {"Retry-After: 40\r\nRetry-After: 1\r\n", 40},
      {"Retry-After: -99999999999999999999\r\n", 0},
      {"Retry-After: 0\r\n", 0},
      {"Retry-After: \r\n", 0},
      {"Retry-After: 5 or so\r\n", 0},
      {"Retry-After: Tue, 31 Dec 1999 23:59:59 GMT\r\n", 0}};
  ScriptedServer server([&](int, int number, const std::string&) {
    return Http("busy", "503 Any", cases[static_cast<size_t>(number)].first);
  });
  const Client client(server.url(), {.timeout = std::nullopt, .retry = {.attempts_max = 1}});
  for (const auto& [field, seconds] : cases) {
    const auto error = ErrorOf<Unavailable>([&] { client.model("m").Infer(kX); });
    EXPECT_EQ(error.retry_after().value_or(std::chrono::seconds(0)).count(), seconds) << field;
  }
  ScriptedServer dated(
      Always(Http("busy", "503 Any", "Retry-After: Fri, 31 Dec 2100 23:59:59 GMT\r\n")));
  const auto error = ErrorOf<Unavailable>([&] { Client(dated.url()).model("m").Infer(kX); });
  EXPECT_GT(error.retry_after(), std::chrono::hours(24 * 365));
}

TEST(ClientTest, ErrorsWithinTheMessageHaveATimeToWait) {
  ScriptedServer server(
      Always(Http(FakeAnswer({}, {{503, "busy"}}), "200 OK", "Retry-After: 30\r\n")));
  const auto error = ErrorOf<Unavailable>([&] { Client(server.url()).model("m").Infer(kX); });
  EXPECT_EQ(error.retry_after(), std::chrono::seconds(30));
  EXPECT_EQ(server.requests().size(), 1u);
}

TEST(ClientTest, RetryAfterIsObeyed) {
  using Clock = std::chrono::steady_clock;
  ScriptedServer server([](int, int number, const std::string&) {
    return number == 0 ? Http("busy", "503 Service Unavailable", "Retry-After: 1\r\n") : Http(kOne);
  });
  const auto start = Clock::now();
  InferOne(Client(server.url(), Quick()).model("m"));
  EXPECT_GE(Clock::now() - start, std::chrono::seconds(1));
}

TEST(ClientTest, OtherErrorsAreNotTriedAgain) {
  const int statuses[] = {400, 401, 403, 404, 413, 500, 504, 302};
  ScriptedServer server([&](int, int number, const std::string&) {
    const std::string status = std::to_string(statuses[number]);
    return Http("reason " + status + "\n", status + " Any");
  });
  const Client client(server.url());
  for (const int status : statuses) {
    const auto error = ErrorOf<ServerError>([&] { client.model("m").Infer(kX); });
    EXPECT_EQ(error.status(), status);
    EXPECT_EQ(error.text(), "reason " + std::to_string(status));
  }
  EXPECT_EQ(server.requests().size(), std::size(statuses));
}

TEST(ClientTest, EachStatusHasItsClass) {
  const std::vector<std::pair<int, std::function<void(const Model&)>>> cases = {
      {400, [](const Model& model) { EXPECT_THROW(model.Infer(kX), BadRequest); }},
      {401, [](const Model& model) { EXPECT_THROW(model.Infer(kX), Unauthorized); }},
      {403, [](const Model& model) { EXPECT_THROW(model.Infer(kX), Forbidden); }},
      {404, [](const Model& model) { EXPECT_THROW(model.Infer(kX), NotFound); }},
      {413, [](const Model& model) { EXPECT_THROW(model.Infer(kX), TooLarge); }}};
  ScriptedServer server([&](int, int number, const std::string&) {
    return Http("", std::to_string(cases[static_cast<size_t>(number)].first) + " Any");
  });
  const Client client(server.url());
  for (const auto& [status, check] : cases) check(client.model("m"));
}

TEST(ClientTest, ErrorsWithinTheMessageAreTriedAgainToo) {
  const std::string answers[] = {FakeAnswer({}, {{503, "busy"}}),
                                 FakeAnswer({}, {{400, "no input q"}})};
  ScriptedServer server([&](int, int number, const std::string&) { return Http(answers[number]); });
  const Client client(server.url(), Quick());
  EXPECT_STREQ(ErrorOf<BadRequest>([&] { client.model("m").Infer(kX); }).what(), "400: no input q");
}

TEST(ClientTest, AKeptConnectionThatWasClosedIsReplaced) {
  const std::vector<float> large(100'000);
  for (const Inputs& input : {Inputs(kX), Inputs(large)}) {
    ScriptedServer server([](int, int number, const std::string&) {
      return number == 1 ? std::nullopt : std::optional(Http(kOne));
    });
    const Client client(server.url());
    for (int i = 0; i < 2; ++i) client.model("m").Infer(input);
    EXPECT_EQ(Connections(server), (std::vector<int>{0, 0, 1}));
    EXPECT_EQ(server.requests()[1].body, server.requests()[2].body);
  }
}

TEST(ClientTest, ARequestIsSentOnceIfItMustBe) {
  ScriptedServer server([](int, int number, const std::string&) {
    return number == 0 ? std::optional(Http(kOne)) : std::nullopt;
  });
  const Client client(server.url(), {.retry = {.attempts_max = 1}});
  client.model("m").Infer(kX);
  EXPECT_THROW(client.model("m").Infer(kX), ConnectionLost);
  EXPECT_EQ(server.requests().size(), 2u);
}

TEST(ClientTest, ARequestThatEndsTheServerIsSentTwiceAtMost) {
  std::atomic<int> waiting = 0;
  Gate all_wait;
  ScriptedServer server([&](int, int number, const std::string&) {
    if (number >= 3) return std::optional<std::string>();
    if (++waiting == 3) all_wait.Open();
    all_wait.Wait();
    return std::optional(Http(kOne));
  });
  const Client client(server.url());
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) threads.emplace_back([&] { client.model("m").Infer(kX); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_THROW(client.model("m").Infer(kX), ConnectionLost);
  EXPECT_EQ(server.requests().size(), 5u);
}

TEST(ClientTest, ConnectionsThatEndEarly) {
  ScriptedServer server([](int, int number, const std::string&) {
    return number == 0 ? std::nullopt
                       : std::optional(
                             "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n"
                             "Connection: close\r\n\r\n" +
                             kOne);
  });
  const Client client(server.url());
  for (int i = 0; i < 2; ++i) EXPECT_THROW(client.model("m").Infer(kX), ConnectionLost);
  EXPECT_EQ(server.requests().size(), 2u) << "not sent again: the server may have run the model";
}

// The bytes of a call's answer come, and `stray` after it, while nobody asks.
void CheckStrayBytes(const std::string& stray, bool closes) {
  Gate answered;
  Gate sent;
  ScriptedServer server([&](int socket, int number, const std::string&) {
    if (number != 0) return std::optional(Http(kOne));
    const std::string first = Http(kOne);
    send(socket, first.data(), first.size(), MSG_NOSIGNAL);
    answered.Wait();
    send(socket, stray.data(), stray.size(), MSG_NOSIGNAL);  // over loopback, it is there at once
    sent.Open();
    return closes ? std::nullopt : std::optional<std::string>("");
  });
  const Client client(server.url());
  EXPECT_EQ(InferOne(client.model("m")), 1);
  answered.Open();
  sent.Wait();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(InferOne(client.model("m")), 1);
  EXPECT_EQ(Connections(server), (std::vector<int>{0, 1, 1, 1}));
}

TEST(ClientTest, AStrayAnswerOnAKeptConnectionIsNotTakenForTheNextOne) {
  CheckStrayBytes(Http(FakeAnswer({MakeFake<float>({1}, {666})})), false);
  CheckStrayBytes(Http("idle", "408 Request Timeout", "Connection: close\r\n"), true);
}

// A socket that a reset ends.
void Reset(int socket) {
  sockaddr none{};
  none.sa_family = AF_UNSPEC;
  ASSERT_EQ(connect(socket, &none, sizeof(none)), 0);
}

TEST(ClientTest, EachKeptConnectionThatEndsIsReplaced) {
  const std::vector<float> large(100'000);
  for (const bool by_reset : {true, false}) {
    for (const Inputs& input : {Inputs(kX), Inputs(large)}) {
      ScriptedServer server([&](int socket, int number, const std::string&) {
        if (number % 2 == 0) return std::optional(Http(kOne));
        if (by_reset) Reset(socket);
        return std::optional<std::string>();
      });
      const Client client(server.url(), {.retry = {.budget = 100}});
      for (int i = 0; i < 20; ++i) client.model("m").Infer(input);
      EXPECT_EQ(server.requests().size(), 39u);
    }
  }
}

TEST(ClientTest, ARequestIsNotSentAgainAfterALineOfItsAnswer) {
  for (const bool by_reset : {true, false}) {
    ScriptedServer server([&](int socket, int number, const std::string&) {
      if (number == 0) return std::optional(Http(kOne));
      const std::string line = "HTTP/1.1 200 OK\r\n";
      send(socket, line.data(), line.size(), MSG_NOSIGNAL);
      if (by_reset) Reset(socket);
      return std::optional<std::string>();
    });
    const Client client(server.url());
    client.model("m").Infer(kX);
    EXPECT_THROW(client.model("m").Infer(kX), ConnectionLost);
    EXPECT_EQ(server.requests().size(), 2u);
  }
}

TEST(ClientTest, ARequestThatWasSentIsLostIfThereIsNoOtherConnection) {
  ScriptedServer* self = nullptr;
  ScriptedServer server([&](int, int number, const std::string&) {
    if (number == 0) return std::optional(Http(kOne));
    self->StopListening();
    return std::optional<std::string>();
  });
  self = &server;
  const Client client(server.url());
  client.model("m").Infer(kX);
  EXPECT_TEXT(ErrorOf<ConnectionLost>([&] { client.model("m").Infer(kX); }).what(),
              "there is no other");
}

TEST(ClientTest, HeadsThatDoNotEnd) {
  std::string many = "HTTP/1.1 200 OK\r\n";
  while (many.size() < 400'000) many += "X-" + std::to_string(many.size()) + ": y\r\n";
  const std::string long_line = "HTTP/1.1 200 OK\r\nX: " + std::string(200'000, 'x');
  for (const std::string& head : {long_line, many}) {
    ScriptedServer server(Always(head + "\r\nConnection: close\r\n\r\n"));
    EXPECT_TEXT(ErrorOf<ProtocolError>([&] { Client(server.url()).model("m").Infer(kX); }).what(),
                "head");
  }
}

TEST(ClientTest, HeadsThatEndEarlyAreLostConnections) {
  for (const std::string head : {"HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 503 Busy\r\n"}) {
    ScriptedServer server([&](int socket, int, const std::string&) {
      send(socket, head.data(), head.size(), MSG_NOSIGNAL);
      return std::nullopt;
    });
    EXPECT_THROW(Client(server.url()).model("m").Infer(kX), ConnectionLost);
    EXPECT_EQ(server.requests().size(), 1u);
  }
}

TEST(ClientTest, NoServer) {
  int port = 0;
  {
    ScriptedServer server(Always(""));
    port = server.port();
  }
  const Client client("http://127.0.0.1:" + std::to_string(port));
  EXPECT_THROW(client.model("m").Infer(kX), ConnectionFailed);
  const Client unix_client("http://localhost", {.unix_socket = "/nonexistent/socket"});
  EXPECT_THROW(unix_client.model("m").Infer(kX), ConnectionFailed);
}

TEST(ClientTest, HugeTimesDoNotOverflow) {
  ScriptedServer server(Always(Http(kOne)));
  const Client client(server.url(), {.connect_timeout = milliseconds::max(),
                                     .timeout = milliseconds::max(),
                                     .idle_max = std::chrono::seconds::max()});
  for (int i = 0; i < 2; ++i) EXPECT_EQ(InferOne(client.model("m")), 1);
  EXPECT_EQ(Connections(server), (std::vector<int>{0, 0}));
  client.model("m").Infer(kX, {.timeout = std::chrono::hours(24 * 365 * 300)});
  for (const milliseconds timeout : {milliseconds(0), milliseconds(-1), milliseconds::min()})
    EXPECT_THROW(client.model("m").Infer(kX, {.timeout = timeout}), TimeoutExpired);
}

TEST(ClientTest, TheTimeIsForTheWholeAnswer) {
  Gate end;
  ScriptedServer server([&](int socket, int, const std::string&) -> std::optional<std::string> {
    const std::string head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
    send(socket, head.data(), head.size(), MSG_NOSIGNAL);
    while (send(socket, "x", 1, MSG_NOSIGNAL) == 1) std::this_thread::sleep_for(milliseconds(20));
    return std::nullopt;
  });
  const Client client(server.url());
  const auto error =
      ErrorOf<TimeoutExpired>([&] { client.model("m").Infer(kX, {.timeout = milliseconds(300)}); });
  EXPECT_TEXT(error.what(), "300 ms");
}

TEST(ClientTest, AnswersThatAreTooLargeOrWrong) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {Http(std::string(2000, '\0')), "answer_bytes_max"},
      {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + std::string(2000, '\0'),
       "answer_bytes_max"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\nConnection: close\r\n\r\nx",
       "answer_bytes_max"},
      {Http("not a message"), "malformed"},
      {Http(""), "malformed"},
      {"junk\r\nConnection: close\r\n\r\n", "not HTTP"}};
  ScriptedServer server([&](int, int number, const std::string&) {
    return cases[static_cast<size_t>(number)].first;
  });
  const Client client(server.url(), {.answer_bytes_max = 1000});
  for (const auto& [answer, text] : cases)
    EXPECT_TEXT(ErrorOf<ProtocolError>([&] { client.model("m").Infer(kX); }).what(), text);
}

TEST(ClientTest, LongReasonsAreCut) {
  ScriptedServer server(Always(Http(std::string(1 << 20, 'x'), "400 Bad Request")));
  const auto error = ErrorOf<BadRequest>([&] { Client(server.url()).model("m").Infer(kX); });
  EXPECT_EQ(error.text().size(), 64u << 10);
}

TEST(ClientTest, EarlyRefusalsAreRead) {
  ScriptedServer server(
      [](int socket, int, const std::string&) -> std::optional<std::string> {
        const std::string answer =
            Http("at most 1000 bytes", "413 Too Large", "Connection: close\r\n");
        send(socket, answer.data(), answer.size(), MSG_NOSIGNAL);
        shutdown(socket, SHUT_WR);
        char bytes[1 << 16];
        while (recv(socket, bytes, sizeof(bytes), 0) > 0) {
        }
        return std::nullopt;
      },
      /*reads_bodies=*/false);
  const std::vector<double> large(1 << 20);
  const auto error = ErrorOf<TooLarge>([&] { Client(server.url()).model("m").Infer(large); });
  EXPECT_EQ(error.text(), "at most 1000 bytes");
}

TEST(ClientTest, ConnectionsAreLimited) {
  Gate entered;
  Gate leave;
  ScriptedServer server([&](int, int number, const std::string&) {
    if (number == 0) {
      entered.Open();
      leave.Wait();
    }
    return Http(kOne);
  });
  const Client client(server.url(), {.connections_max = 1});
  std::thread first([&] { client.model("m").Infer(kX); });
  entered.Wait();
  const auto error =
      ErrorOf<TimeoutExpired>([&] { client.model("m").Infer(kX, {.timeout = milliseconds(50)}); });
  EXPECT_TEXT(error.what(), "connections_max");
  leave.Open();
  first.join();
  EXPECT_EQ(InferOne(client.model("m")), 1);
  EXPECT_EQ(Connections(server), (std::vector<int>{0, 0}));
}

TEST(ClientTest, ManyThreads) {
  ScriptedServer server([](int, int, const std::string& body) {
    float value = 0;
    std::memcpy(&value, body.data() + body.size() - sizeof(value), sizeof(value));
    return Http(FakeAnswer({MakeFake<float>({1}, {value})}));
  });
  const Client client(server.url(), {.connections_max = 3});
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      const std::vector<float> x = {static_cast<float>(i)};
      for (int j = 0; j < 20; ++j) {
        const Output y = client.model("m").InferOne(x);
        if (y.values<float>()[0] != x[0]) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  const auto connections = Connections(server);
  EXPECT_LE((std::set<int>(connections.begin(), connections.end()).size()), 3u);
}

TEST(ClientTest, OutputsByName) {
  const std::string answers[] = {FakeMetadata("x", "y", 10), kOne};
  ScriptedServer server(
      [&](int, int number, const std::string&) { return Http(answers[number % 2]); });
  const Model model = Client(server.url()).model("m");
  const auto outputs = model.InferNamed({{"x", kX}});
  ASSERT_EQ(outputs.size(), 1u);
  EXPECT_EQ(outputs.at("y").size(), 1u);
  const std::string two = FakeAnswer({MakeFake<float>({1}, {1}), MakeFake<float>({1}, {2})});
  ScriptedServer other(Always(Http(two)));
  const Model pair = Client(other.url()).model("m");
  EXPECT_THROW(pair.InferOne(kX), std::invalid_argument);
  EXPECT_THROW(pair.InferNamed(kX, {.outputs = {"a"}}), ProtocolError);
  EXPECT_EQ(pair.InferNamed(kX, {.outputs = {"b", "a"}}).at("a").size(), 1u);
}

TEST(ClientTest, AnotherNumberOfOutputsThanWereNamedIsRefused) {
  const std::string answers[] = {FakeAnswer({}),
                                 FakeAnswer({MakeFake<float>({1}, {1}), MakeFake<float>({1}, {2})}),
                                 FakeAnswer({}), FakeAnswer({})};
  ScriptedServer server([&](int, int number, const std::string&) { return Http(answers[number]); });
  const Model model = Client(server.url()).model("m");
  for (int i = 0; i < 2; ++i)
    EXPECT_TEXT(ErrorOf<ProtocolError>([&] { model.Infer(kX, {.outputs = {"scores"}}); }).what(),
                "not the 1");
  EXPECT_THROW(model.InferOne(kX), ProtocolError);
  EXPECT_TRUE(model.Infer(kX).empty());
}

TEST(ClientTest, WrongOptions) {
  EXPECT_THROW(Client("localhost:8501"), std::invalid_argument);
  EXPECT_THROW(Client("http://h", {.ca_file = "x"}), std::invalid_argument);
  EXPECT_THROW(Client("http://h", {.connections_max = 0}), std::invalid_argument);
  EXPECT_THROW(Client("http://h", {.connections_max = 65537}), std::invalid_argument);
  EXPECT_THROW(Client("http://h", {.connect_timeout = milliseconds(0)}), std::invalid_argument);
  EXPECT_THROW(Client("http://h", {.connect_timeout = milliseconds(-5)}), std::invalid_argument);
  EXPECT_THROW(Client("http://h", {.idle_max = std::chrono::seconds(-1)}), std::invalid_argument);
  for (const char* name : {"", "a b", "a:", "\xc3\xa4"})
    EXPECT_THROW(Client("http://h", {.headers = {{name, "x"}}}), std::invalid_argument) << name;
  EXPECT_THROW(Client("http://h", {.token = "a\r\nX-Other: b"}), std::invalid_argument);
  EXPECT_THROW(Client("http://h", {.headers = {{"x", "a\n"}}}), std::invalid_argument);
}

}  // namespace
}  // namespace penstock_client
