// SPDX-License-Identifier: Apache-2.0
// Each question has a channel of c-ares of its own: so it sees the resolver's configuration of now,
// and ends with its channel. One poll waits for the sockets of all.
#include "net/client/dns.h"

#include <ares.h>
#include <arpa/inet.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/executor.h"

namespace penstock::net {
namespace {

using std::chrono::milliseconds;

// Each server gets this time for its first answer, and longer when it is asked again.
constexpr int kServerTimeMs = 1000;
constexpr int kTries = 3;
constexpr size_t kAddressesMax = 4096;

std::vector<std::string> AddressesOf(const ares_addrinfo& found) {
  std::set<std::string> addresses;
  for (const ares_addrinfo_node* node = found.nodes; node != nullptr; node = node->ai_next) {
    std::array<char, INET6_ADDRSTRLEN> text = {};
    const void* const bytes =
        node->ai_family == AF_INET6
            ? static_cast<const void*>(
                  &reinterpret_cast<const sockaddr_in6*>(node->ai_addr)->sin6_addr)
            : &reinterpret_cast<const sockaddr_in*>(node->ai_addr)->sin_addr;
    if (inet_ntop(node->ai_family, bytes, text.data(), text.size()) != nullptr)
      addresses.insert(text.data());
    if (addresses.size() == kAddressesMax) break;
  }
  return {addresses.begin(), addresses.end()};
}

}  // namespace

// One question. One thread.
class DnsThread::Lookup final {
 public:
  Lookup(Asked&& asked, Duration time_limit)
      : asked_(std::move(asked)),
        end_(std::chrono::steady_clock::now() + time_limit),
        time_limit_(time_limit) {
    ares_options options = {};
    options.timeout = kServerTimeMs;
    options.tries = kTries;
    int error = ares_init_options(&channel_, &options, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES);
    if (error != ARES_SUCCESS) channel_ = nullptr;
    if (error == ARES_SUCCESS && !asked_.question.server.empty())
      error = ares_set_servers_ports_csv(channel_, asked_.question.server.c_str());
    if (error != ARES_SUCCESS) {
      Fail(ares_strerror(error));
      return;
    }
    ares_addrinfo_hints hints = {};
    hints.ai_flags = ARES_AI_NOSORT;
    hints.ai_family = AF_UNSPEC;
    ares_getaddrinfo(channel_, asked_.question.name.c_str(), /*service=*/nullptr, &hints, OnResult,
                     this);
  }
  ~Lookup() {
    if (channel_ != nullptr) ares_destroy(channel_);  // calls OnResult, if it was not
  }
  Lookup(const Lookup&) = delete;
  Lookup& operator=(const Lookup&) = delete;

  bool is_over() const { return !asked_.done; }
  void GiveUp(std::string_view reason) {
    if (!is_over()) Fail(reason);
  }

  // Adds its sockets to `sockets`. Returns how long to wait for them at most.
  int AddTo(std::vector<pollfd>& sockets) {
    std::array<ares_socket_t, ARES_GETSOCK_MAXNUM> own;
    const auto wanted = static_cast<unsigned>(ares_getsock(channel_, own.data(), own.size()));
    first_ = sockets.size();
    for (unsigned i = 0; i < own.size(); ++i) {
      short events = 0;
      if (ARES_GETSOCK_READABLE(wanted, i)) events |= POLLIN;
      if (ARES_GETSOCK_WRITABLE(wanted, i)) events |= POLLOUT;
      if (events != 0) sockets.push_back({own[i], events, 0});
    }
    count_ = sockets.size() - first_;
    const auto left = std::chrono::ceil<milliseconds>(end_ - std::chrono::steady_clock::now());
    timeval most = {.tv_sec = 0, .tv_usec = 0};
    timeval next = {};
    most.tv_usec = static_cast<suseconds_t>(std::clamp<int64_t>(left.count(), 0, 999) * 1000);
    const timeval* const time = ares_timeout(channel_, &most, &next);
    return static_cast<int>(time->tv_sec * 1000 + time->tv_usec / 1000) + 1;
  }
  // Uses what has arrived at the sockets.
  void Continue(const std::vector<pollfd>& sockets) {
    constexpr ares_socket_t kNone = ARES_SOCKET_BAD;
    for (size_t i = first_; i < first_ + count_ && !is_over(); ++i) {
      const short events = sockets[i].revents;
      if (events == 0) continue;
      ares_process_fd(channel_, (events & ~POLLOUT) != 0 ? sockets[i].fd : kNone,
                      (events & POLLOUT) != 0 ? sockets[i].fd : kNone);
    }
    if (!is_over()) ares_process_fd(channel_, kNone, kNone);  // time-outs
    if (!is_over() && std::chrono::steady_clock::now() >= end_)
      Fail(fmt::format("no DNS server answers within {} ms",
                       std::chrono::ceil<milliseconds>(time_limit_).count()));
  }

 private:
  static void OnResult(void* self, int error, int, ares_addrinfo* found) {
    static_cast<Lookup*>(self)->OnResult(error, found);
  }
  void OnResult(int error, ares_addrinfo* found) {
    if (is_over()) {
      if (found != nullptr) ares_freeaddrinfo(found);
      return;
    }
    if (error != ARES_SUCCESS) return Fail(ares_strerror(error));
    std::vector<std::string> addresses = AddressesOf(*found);
    ares_freeaddrinfo(found);
    if (addresses.empty()) return Fail("it has no address");
    std::exchange(asked_.done, nullptr)(std::move(addresses));
  }
  void Fail(std::string_view reason) {
    std::exchange(asked_.done, nullptr)(Error(
        StatusCode::kUnavailable, "the name '{}' cannot be looked up{}: {}", asked_.question.name,
        asked_.question.server.empty() ? "" : " at " + asked_.question.server, reason));
  }

  Asked asked_;
  const SteadyTime end_;
  const Duration time_limit_;
  ares_channel channel_ = nullptr;
  size_t first_ = 0;  // of its sockets in the last wait
  size_t count_ = 0;
};

DnsThread::DnsThread(Duration time_limit)
    : time_limit_(time_limit), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  PENSTOCK_CHECK(wake_ >= 0, "no eventfd can be made");
}

DnsThread::~DnsThread() {
  {
    MutexLock lock(mutex_);
    is_stopped_ = true;
  }
  Wake();
  if (thread_.joinable()) thread_.join();
  close(wake_);
}

void DnsThread::Ask(DnsQuestion question, Done done) {
  {
    MutexLock lock(mutex_);
    asked_.push_back({std::move(question), std::move(done)});
    if (!std::exchange(is_started_, true)) thread_ = std::thread([this] { Run(); });
  }
  Wake();
}

void DnsThread::Wake() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_, &one, sizeof(one));
}

void DnsThread::Run() {
  SetThreadName("dns");
  while (TakeAsked()) {
    std::erase_if(open_, [](const auto& each) { return each->is_over(); });
    Wait();
  }
  for (const auto& each : open_) each->GiveUp("the server ends");
  open_.clear();
}

bool DnsThread::TakeAsked() {
  std::vector<Asked> asked;
  bool is_stopped = false;
  {
    MutexLock lock(mutex_);
    asked.swap(asked_);
    is_stopped = is_stopped_;
  }
  for (Asked& each : asked) open_.push_back(std::make_unique<Lookup>(std::move(each), time_limit_));
  return !is_stopped;
}

void DnsThread::Wait() {
  std::vector<pollfd> sockets = {{wake_, POLLIN, 0}};
  int time_ms = -1;
  for (const auto& each : open_) {
    const int most = each->AddTo(sockets);
    time_ms = time_ms < 0 ? most : std::min(time_ms, most);
  }
  if (poll(sockets.data(), sockets.size(), time_ms) < 0) return;  // a signal
  uint64_t count = 0;
  if (sockets[0].revents != 0 && read(wake_, &count, sizeof(count)) < 0) return;
  for (const auto& each : open_) each->Continue(sockets);
}

}  // namespace penstock::net
