// SPDX-License-Identifier: Apache-2.0
// A client that sends gRPC requests at a fixed rate, whether or not the earlier ones have been
// answered, and writes down each: a server that stalls delays those of its stall, all of them.
//   paced_load PORT PATH MESSAGE_FILE CONNECTIONS REQUESTS PER_SECOND LOG_FILE
// The log has a record for each request: when it was sent (microseconds since the epoch), the time
// to the end of its answer (microseconds), how late it was sent, and its grpc-status (-1: none).
// Ends with 0 when all were answered, well or not. SIGTERM sends no more.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace {

using SteadyClock = std::chrono::steady_clock;
using std::chrono::nanoseconds;

constexpr auto kAnswerTimeMax = std::chrono::seconds(30);  // after the last request
volatile std::sig_atomic_t stopping = 0;

// As it is in the log.
struct Record {
  int64_t sent_us = 0;
  float took_us = 0;
  float late_us = 0;
  int32_t grpc_status = -1;
  int32_t answer_bytes = 0;
};

void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "paced_load: %s (%s)\n", what, std::strerror(errno));
  std::_Exit(1);
}

float Microseconds(SteadyClock::duration time) {
  return std::chrono::duration<float, std::micro>(time).count();
}

// What all connections send, and what became of it. One thread.
struct Run {
  std::string path, authority, message;  // the message with its five bytes of gRPC before it
  std::vector<Record> records;
  std::vector<SteadyClock::time_point> sent;
  size_t answered = 0;
};

// One request on its way. One thread.
struct Stream {
  Run& run;
  size_t index;
  size_t body_sent = 0;
};

// One HTTP/2 connection. One thread.
class Connection {
 public:
  Connection(Run& run, int port) : run_(run), socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    Require(connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0,
            "cannot connect");
    const int on = 1;
    setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_send_callback(callbacks, OnSend);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, OnHeader);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, OnData);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, OnClose);
    nghttp2_session_client_new(&session_, callbacks, this);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, nullptr, 0);
    Flush();
  }
  ~Connection() {
    nghttp2_session_del(session_);
    close(socket_);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  int socket() const { return socket_; }

  void Send(size_t index) {
    const auto field = [](std::string_view name, std::string_view value) {
      return nghttp2_nv{reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
                        reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(),
                        value.size(), NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
    };
    const nghttp2_nv head[] = {
        field(":method", "POST"),  field(":scheme", "http"),
        field(":path", run_.path), field(":authority", run_.authority),
        field("te", "trailers"),   field("content-type", "application/grpc")};
    auto stream = std::make_unique<Stream>(Stream{run_, index});
    nghttp2_data_provider body{{.ptr = stream.get()}, ReadBody};
    Require(nghttp2_submit_request(session_, nullptr, head, std::size(head), &body,
                                   stream.release()) > 0,
            "cannot submit a request");
    Flush();
  }

  void Receive() {
    uint8_t bytes[65536];
    for (;;) {
      const ssize_t got = recv(socket_, bytes, sizeof(bytes), MSG_DONTWAIT);
      if (got < 0 && (errno == EAGAIN || errno == EINTR)) break;
      Require(got > 0, "the server closed a connection");
      now_ = SteadyClock::now();
      Require(nghttp2_session_mem_recv(session_, bytes, static_cast<size_t>(got)) == got,
              "broken HTTP/2 from the server");
      if (static_cast<size_t>(got) < sizeof(bytes)) break;
    }
    Flush();
  }

 private:
  void Flush() { Require(nghttp2_session_send(session_) == 0, "cannot send"); }

  static Stream* Find(nghttp2_session* session, int32_t id) {
    return static_cast<Stream*>(nghttp2_session_get_stream_user_data(session, id));
  }
  static ssize_t OnSend(nghttp2_session*, const uint8_t* data, size_t size, int, void* self) {
    const ssize_t sent =
        ::send(static_cast<Connection*>(self)->socket_, data, size, MSG_NOSIGNAL);  // may block
    return sent < 0 ? static_cast<ssize_t>(NGHTTP2_ERR_CALLBACK_FAILURE) : sent;
  }
  static ssize_t ReadBody(nghttp2_session*, int32_t, uint8_t* to, size_t room, uint32_t* flags,
                          nghttp2_data_source* source, void*) {
    Stream& stream = *static_cast<Stream*>(source->ptr);
    const std::string& message = stream.run.message;
    const size_t size = std::min(room, message.size() - stream.body_sent);
    std::memcpy(to, message.data() + stream.body_sent, size);
    stream.body_sent += size;
    if (stream.body_sent == message.size()) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(size);
  }
  static int OnHeader(nghttp2_session* session, const nghttp2_frame* frame, const uint8_t* name,
                      size_t name_size, const uint8_t* value, size_t value_size, uint8_t, void*) {
    Stream* const stream = Find(session, frame->hd.stream_id);
    const std::string_view key(reinterpret_cast<const char*>(name), name_size);
    if (stream != nullptr && key == "grpc-status") {
      const std::string text(reinterpret_cast<const char*>(value), value_size);
      stream->run.records[stream->index].grpc_status = std::atoi(text.c_str());
    }
    return 0;
  }
  static int OnData(nghttp2_session* session, uint8_t, int32_t id, const uint8_t*, size_t size,
                    void*) {
    if (Stream* const stream = Find(session, id); stream != nullptr) {
      stream->run.records[stream->index].answer_bytes += static_cast<int32_t>(size);
    }
    return 0;
  }
  static int OnClose(nghttp2_session* session, int32_t id, uint32_t, void* self) {
    const std::unique_ptr<Stream> stream(Find(session, id));
    if (stream == nullptr) return 0;
    Run& run = stream->run;
    const SteadyClock::time_point now = static_cast<Connection*>(self)->now_;
    run.records[stream->index].took_us = Microseconds(now - run.sent[stream->index]);
    ++run.answered;
    return 0;
  }

  Run& run_;
  const int socket_;
  nghttp2_session* session_ = nullptr;
  SteadyClock::time_point now_;  // when the bytes at hand were received
};

// Waits for answers until `until`, and takes them.
void Wait(int poll, SteadyClock::time_point until) {
  const nanoseconds left = std::max(nanoseconds(0), nanoseconds(until - SteadyClock::now()));
  const timespec timeout{left.count() / 1'000'000'000, left.count() % 1'000'000'000};
  epoll_event events[64];
  const int count = epoll_pwait2(poll, events, 64, &timeout, nullptr);
  Require(count >= 0 || errno == EINTR, "epoll");
  for (int i = 0; i < count; ++i) static_cast<Connection*>(events[i].data.ptr)->Receive();
}

// Sends the requests, each at its time, and waits for the last answers.
void SendAll(Run& run, const std::vector<std::unique_ptr<Connection>>& connections, int poll,
             double per_second) {
  const SteadyClock::time_point start = SteadyClock::now();
  size_t sent = 0;
  for (; sent < run.records.size() && stopping == 0; ++sent) {
    const auto at =
        start + nanoseconds(static_cast<int64_t>(static_cast<double>(sent) * 1e9 / per_second));
    do {
      Wait(poll, at);
    } while (SteadyClock::now() < at);
    run.sent[sent] = SteadyClock::now();
    run.records[sent].late_us = Microseconds(run.sent[sent] - at);
    run.records[sent].sent_us = std::chrono::duration_cast<std::chrono::microseconds>(
                                    std::chrono::system_clock::now().time_since_epoch())
                                    .count();
    connections[sent % connections.size()]->Send(sent);
  }
  run.records.resize(sent);
  const SteadyClock::time_point end = SteadyClock::now() + kAnswerTimeMax;
  while (run.answered < sent && SteadyClock::now() < end) Wait(poll, end);
}

std::string ReadFile(const char* path) {
  std::ifstream file(path, std::ios::binary);
  Require(file.good(), path);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 8) return 2;
  const int port = std::atoi(argv[1]);
  Run run;
  run.path = argv[2];
  run.authority = std::string("127.0.0.1:") + argv[1];
  run.message = ReadFile(argv[3]);
  run.records.resize(std::strtoull(argv[5], nullptr, 10));
  run.sent.resize(run.records.size());
  // Neither other programs nor timers shall make the client late; without the right to ask for the
  // first it does without.
  const sched_param priority{.sched_priority = 1};
  if (sched_setscheduler(0, SCHED_FIFO, &priority) != 0) {
    std::fprintf(stderr, "paced_load: runs without real-time priority\n");
  }
  prctl(PR_SET_TIMERSLACK, 1);
  std::signal(SIGTERM, [](int) { stopping = 1; });
  const int poll = epoll_create1(0);
  std::vector<std::unique_ptr<Connection>> connections;
  for (int i = 0; i < std::atoi(argv[4]); ++i) {
    connections.push_back(std::make_unique<Connection>(run, port));
    epoll_event event{.events = EPOLLIN, .data = {.ptr = connections.back().get()}};
    Require(epoll_ctl(poll, EPOLL_CTL_ADD, connections.back()->socket(), &event) == 0, "epoll_ctl");
  }
  SendAll(run, connections, poll, std::atof(argv[6]));
  std::ofstream log(argv[7], std::ios::binary);
  log.write(reinterpret_cast<const char*>(run.records.data()),
            static_cast<std::streamsize>(run.records.size() * sizeof(Record)));
  Require(log.good(), argv[7]);
  return run.answered == run.records.size() ? 0 : 1;
}
