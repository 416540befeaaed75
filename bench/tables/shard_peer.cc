// SPDX-License-Identifier: Apache-2.0
// The least that a table in shards can cost: sockets that move the same bytes, without protocols or
// look-ups. And a client that takes little time itself.
//   shard_peer shard PORT REQUEST ANSWER           answers REQUEST bytes with ANSWER bytes
//   shard_peer root PORT REQUEST ANSWER SHARD...   divides REQUEST bytes among the ports of shards,
//                                                  which answer a share of ANSWER bytes each
//   shard_peer raw PORT REQUEST ANSWER CALLS       calls one of these, one request at a time
//   shard_peer grpc PORT FILE CALLS                calls Predict; FILE has requests, each after its
//                                                  length in 4 bytes of this machine's order
// The last two print the median time of a call in microseconds.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

namespace {

[[noreturn]] void Fail(const char* what) {
  std::fprintf(stderr, "shard_peer: %s\n", what);
  std::exit(1);
}

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

void SetNoDelay(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

int Listen(int port) {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  const int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  const sockaddr_in address = Loopback(port);
  if (bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      listen(listener, 128) != 0)
    Fail("cannot listen");
  return listener;
}

int Connect(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  const sockaddr_in address = Loopback(port);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
    Fail("cannot connect");
  SetNoDelay(fd);
  return fd;
}

// False: the peer is gone.
bool SendAll(int fd, const char* data, size_t size) {
  while (size > 0) {
    const ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
    if (sent <= 0) return false;
    data += sent;
    size -= static_cast<size_t>(sent);
  }
  return true;
}

void Watch(int poll, int fd, uint64_t id) {
  epoll_event event{EPOLLIN, {.u64 = id}};
  epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
}

// Answers each request at its last byte. Connections have the number of their socket.
void RunShard(int port, size_t request_bytes, size_t answer_bytes) {
  const std::string answer(answer_bytes, 'a');
  std::vector<char> buffer(1 << 20);
  std::vector<size_t> received(1024);
  const int listener = Listen(port);
  const int poll = epoll_create1(0);
  Watch(poll, listener, static_cast<uint64_t>(listener));
  std::array<epoll_event, 16> ready;
  for (;;) {
    const int count = epoll_wait(poll, ready.data(), static_cast<int>(ready.size()), -1);
    for (int i = 0; i < count; ++i) {
      const int fd = static_cast<int>(ready[static_cast<size_t>(i)].data.u64);
      if (fd == listener) {
        const int accepted = accept(listener, nullptr, nullptr);
        SetNoDelay(accepted);
        received.at(static_cast<size_t>(accepted)) = 0;
        Watch(poll, accepted, static_cast<uint64_t>(accepted));
        continue;
      }
      size_t& sum = received[static_cast<size_t>(fd)];
      const ssize_t got = recv(fd, buffer.data(), buffer.size(), 0);
      sum += got > 0 ? static_cast<size_t>(got) : 0;
      bool is_good = got > 0;
      for (; is_good && sum >= request_bytes; sum -= request_bytes)
        is_good = SendAll(fd, answer.data(), answer.size());
      if (!is_good) close(fd);
    }
  }
}

// One client with one request at a time. The shares of the answer are read to where they stay.
void RunRoot(int port, size_t request_bytes, size_t answer_bytes, const std::vector<int>& ports) {
  std::vector<int> shards;
  for (const int each : ports) shards.push_back(Connect(each));
  const size_t share = answer_bytes / shards.size();
  std::vector<char> request(request_bytes);
  std::vector<char> answer(share * shards.size());
  const int listener = Listen(port);
  for (;;) {
    const int client = accept(listener, nullptr, nullptr);
    SetNoDelay(client);
    const int poll = epoll_create1(0);
    Watch(poll, client, shards.size());
    for (size_t i = 0; i < shards.size(); ++i) Watch(poll, shards[i], i);
    std::vector<size_t> received(shards.size() + 1);
    size_t missing = 0;
    std::array<epoll_event, 16> ready;
    for (bool is_open = true; is_open;) {
      const int count = epoll_wait(poll, ready.data(), static_cast<int>(ready.size()), -1);
      for (int i = 0; i < count; ++i) {
        const size_t id = ready[static_cast<size_t>(i)].data.u64;
        const bool is_client = id == shards.size();
        char* const to = is_client ? request.data() : answer.data() + id * share;
        const size_t wanted = (is_client ? request_bytes : share) - received[id];
        const ssize_t got = recv(is_client ? client : shards[id], to + received[id], wanted, 0);
        if (got <= 0) {
          is_open = false;
          break;
        }
        received[id] += static_cast<size_t>(got);
        if (static_cast<size_t>(got) < wanted) continue;
        received[id] = 0;
        if (is_client) {
          missing = shards.size();
          const size_t part = request_bytes / shards.size();
          for (size_t k = 0; k < shards.size(); ++k)
            SendAll(shards[k], request.data() + k * part, part);
        } else if (--missing == 0) {
          SendAll(client, answer.data(), answer.size());
        }
      }
    }
    close(poll);
    close(client);
  }
}

void PrintMedian(std::vector<double>& times) {
  const auto middle = times.begin() + static_cast<ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  std::printf("%.1f\n", *middle);
}

template <typename Call>
void TimeCalls(int calls, Call call) {
  std::vector<double> times;
  for (int i = 0; i < calls; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    call(i);
    times.push_back(
        std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin)
            .count());
  }
  PrintMedian(times);
}

void CallRaw(int port, size_t request_bytes, size_t answer_bytes, int calls) {
  const std::string request(request_bytes, 'r');
  std::vector<char> buffer(1 << 20);
  const int fd = Connect(port);
  TimeCalls(calls, [&](int) {
    if (!SendAll(fd, request.data(), request.size())) Fail("the peer is gone");
    for (size_t left = answer_bytes; left > 0;) {
      const ssize_t got = recv(fd, buffer.data(), std::min(left, buffer.size()), 0);
      if (got <= 0) Fail("the peer is gone");
      left -= static_cast<size_t>(got);
    }
  });
}

// --- HTTP/2: only what a server needs to be content

constexpr uint8_t kData = 0, kHeaders = 1, kSettings = 4, kPing = 6, kGoaway = 7, kWindow = 8;
constexpr uint8_t kEndStream = 1, kEndHeaders = 4, kAck = 1;
constexpr uint32_t kWindowMax = 0x7fffffff;

std::string BigEndian(uint32_t number, int bytes) {
  std::string text;
  for (int i = bytes - 1; i >= 0; --i) text += static_cast<char>(number >> (8 * i));
  return text;
}

std::string Frame(uint8_t kind, uint8_t flags, uint32_t stream, std::string_view payload) {
  return BigEndian(static_cast<uint32_t>(payload.size()), 3) + static_cast<char>(kind) +
         static_cast<char>(flags) + BigEndian(stream, 4) + std::string(payload);
}

// A field of HPACK that is not kept. Its name is that of the static table.
std::string Literal(uint8_t index, std::string_view value) {
  std::string text = index < 15 ? std::string(1, static_cast<char>(index))
                                : std::string{15, static_cast<char>(index - 15)};
  return text + static_cast<char>(value.size()) + std::string(value);
}

std::string RequestFrames(uint32_t stream, std::string_view message) {
  constexpr size_t kFrameMax = 16384;
  static const std::string head = "\x83\x86" +
                                  Literal(4, "/tensorflow.serving.PredictionService/Predict") +
                                  Literal(1, "localhost") + Literal(31, "application/grpc") +
                                  std::string("\0\x02te\x08trailers", 13);
  std::string frames = Frame(kHeaders, kEndHeaders, stream, head);
  const std::string body = std::string(1, '\0') +
                           BigEndian(static_cast<uint32_t>(message.size()), 4) +
                           std::string(message);
  for (size_t at = 0; at < body.size(); at += kFrameMax)
    frames += Frame(kData, at + kFrameMax >= body.size() ? kEndStream : 0, stream,
                    std::string_view(body).substr(at, kFrameMax));
  return frames;
}

// One call at a time. One thread.
class GrpcCaller final {
 public:
  explicit GrpcCaller(int port) : fd_(Connect(port)), buffer_(1 << 20) {
    Send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" +
         Frame(kSettings, 0, 0, BigEndian(4, 2) + BigEndian(kWindowMax, 4)) +
         Frame(kWindow, 0, 0, BigEndian(kWindowMax - 65535, 4)));
  }

  void Call(std::string_view message) {
    Send(RequestFrames(stream_, message));
    stream_ += 2;
    size_t data_bytes = 0;
    for (bool is_over = false; !is_over;) {
      const ssize_t got = recv(fd_, buffer_.data() + have_, buffer_.size() - have_, 0);
      if (got <= 0) Fail("the server has closed the connection");
      have_ += static_cast<size_t>(got);
      size_t at = 0;
      for (size_t size = 0; have_ - at >= 9 && have_ - at >= (size = 9 + PayloadBytes(at));
           at += size)
        is_over |= TakeFrame(at, size - 9, data_bytes);
      std::memmove(buffer_.data(), buffer_.data() + at, have_ - at);
      have_ -= at;
    }
    if (data_bytes == 0) Fail("a call has failed");
    unacknowledged_ += data_bytes;
    if (unacknowledged_ < kWindowMax / 4) return;
    Send(Frame(kWindow, 0, 0, BigEndian(static_cast<uint32_t>(unacknowledged_), 4)));
    unacknowledged_ = 0;
  }

 private:
  uint8_t Byte(size_t at) const { return static_cast<uint8_t>(buffer_[at]); }
  size_t PayloadBytes(size_t at) const {
    return size_t{Byte(at)} << 16 | size_t{Byte(at + 1)} << 8 | Byte(at + 2);
  }
  void Send(const std::string& bytes) {
    if (!SendAll(fd_, bytes.data(), bytes.size())) Fail("the server is gone");
  }
  // True: it ends the call.
  bool TakeFrame(size_t at, size_t payload, size_t& data_bytes) {
    const uint8_t kind = Byte(at + 3), flags = Byte(at + 4);
    if (kind == kData) data_bytes += payload;
    if (kind == kGoaway) Fail("the server ends the connection");
    if (kind == kSettings && (flags & kAck) == 0) Send(Frame(kSettings, kAck, 0, {}));
    if (kind == kPing && (flags & kAck) == 0)
      Send(Frame(kPing, kAck, 0, {buffer_.data() + at + 9, 8}));
    return (kind == kData || kind == kHeaders) && (flags & kEndStream) != 0;
  }

  const int fd_;
  std::vector<char> buffer_;
  size_t have_ = 0;
  uint32_t stream_ = 1;
  size_t unacknowledged_ = 0;
};

void CallGrpc(int port, const char* file, int calls) {
  std::ifstream stream(file, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(stream)), {});
  std::vector<std::string_view> messages;
  for (size_t at = 0; at < bytes.size();) {
    uint32_t size = 0;
    std::memcpy(&size, bytes.data() + at, sizeof(size));
    messages.push_back(std::string_view(bytes).substr(at + sizeof(size), size));
    at += sizeof(size) + size;
  }
  GrpcCaller caller(port);
  TimeCalls(calls, [&](int i) { caller.Call(messages[static_cast<size_t>(i) % messages.size()]); });
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  const auto number = [&](size_t index) { return std::stoi(words[index]); };
  if (words.size() == 4 && words[0] == "shard") {
    RunShard(number(1), std::stoul(words[2]), std::stoul(words[3]));
  } else if (words.size() > 4 && words[0] == "root") {
    std::vector<int> ports;
    for (size_t i = 4; i < words.size(); ++i) ports.push_back(number(i));
    RunRoot(number(1), std::stoul(words[2]), std::stoul(words[3]), ports);
  } else if (words.size() == 5 && words[0] == "raw") {
    CallRaw(number(1), std::stoul(words[2]), std::stoul(words[3]), number(4));
  } else if (words.size() == 4 && words[0] == "grpc") {
    CallGrpc(number(1), words[2].c_str(), number(3));
  } else {
    Fail("wrong arguments; they are at the top of the source");
  }
}
