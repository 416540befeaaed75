// SPDX-License-Identifier: Apache-2.0
// The order of the start: check the options, load the certificates, bind the addresses, and only
// then start threads. So a server that cannot start fails before it has done anything, and names
// the setting. Accepting may begin later (Listen): an address is bound early, so that a conflict
// shows before minutes of loading models, but no client gets in before they are loaded.
//
// The order of the end: the listeners end on loop 0, then each loop closes its connections and
// joins its thread. Calls of handlers that still run keep the Loop objects and the ServerState
// alive.
#include "net/socket/server.h"

#include <atomic>
#include <numeric>
#include <utility>

#include "base/log.h"
#include "base/mutex.h"
#include "net/http/session.h"
#include "net/loop/server_state.h"
#include "net/socket/event_loop.h"
#include "net/socket/listener.h"
#include "net/socket/tls.h"

namespace penstock::net {

// The parts of a server. Thread-safe as Server is.
struct Server::Impl {
  std::shared_ptr<ServerState> state;
  std::unique_ptr<TlsContext> tls;
  std::vector<std::unique_ptr<EventLoop>> loops;
  std::vector<int> ports;
  std::vector<std::unique_ptr<Listener>> listeners;  // once they run, only loop 0 uses them
  std::atomic<bool> is_listening{true};

  int64_t open_requests() const {
    return std::accumulate(loops.begin(), loops.end(), int64_t{0}, [](int64_t sum, auto& loop) {
      return sum + loop->loop().open_requests();
    });
  }
  int connections() const {
    return std::accumulate(loops.begin(), loops.end(), 0,
                           [](int sum, auto& loop) { return sum + loop->connection_count(); });
  }
  void AddListeners(std::vector<BoundSocket> bound);
  void StartListeners();
};

void Server::Impl::AddListeners(std::vector<BoundSocket> bound) {
  for (size_t i = 0; i < bound.size(); ++i) {
    ports.push_back(bound[i].port);
    listeners.push_back(std::make_unique<Listener>(std::move(bound[i]), state->options.listen[i],
                                                   state->endpoints[i], loops, *state));
  }
}

void Server::Impl::StartListeners() {
  loops[0]->Post([this] {
    for (auto& listener : listeners) listener->Start();
  });
}

namespace {

// Adds the setting that asked for the address to the error.
Status Blame(const ListenOptions& listen, Status status) {
  if (status.ok() || listen.asked_by.empty()) return status;
  return Error(status.code(), "{}: {}", listen.asked_by, MessageOf(status));
}

// How long the end of a drain waits until the cut calls have their errors.
constexpr Duration kCutTime = std::chrono::seconds(1);

void LogCut(const CutCalls& cut, int connections, int64_t running, SteadyTime now) {
  const int64_t calls = cut.http1 + cut.http2 + cut.grpc;
  std::string oldest;
  if (calls > 0) {
    const auto age = std::chrono::duration_cast<std::chrono::milliseconds>(now - cut.oldest_start);
    oldest = fmt::format("; the oldest call is of {}, {:.1f} s old", cut.oldest_peer,
                         static_cast<double>(age.count()) / 1000);
  }
  PENSTOCK_LOG(kWarning,
               "the time to drain is over: {} requests over HTTP/1.1, {} over HTTP/2 and {} gRPC "
               "calls are cut off on {} connections, {} requests still run{}",
               cut.http1, cut.http2, cut.grpc, connections, running, oldest);
}

Status Check(const ServerOptions& options) {
  if (options.listen.empty()) return InvalidArgument("the server has no address to listen on");
  if (options.connections_max < 1 || options.requests_max < 1)
    return InvalidArgument("connections_max and requests_max must be at least 1");
  if (options.header_bytes_max < 1024)
    return InvalidArgument("header_bytes_max is {}; the least is 1024", options.header_bytes_max);
  for (const ListenOptions& listen : options.listen)
    if (listen.tls && !options.tls.enabled())
      return InvalidArgument("TLS is asked for on port {}, but there is no certificate",
                             listen.port);
  return OkStatus();
}

}  // namespace

StatusOr<std::unique_ptr<Server>> Server::Start(ServerOptions options, const Router& router,
                                                MetricsRegistry& metrics, const Clock& clock) {
  TRY(Check(options));
  auto impl = std::make_unique<Impl>();
  if (options.tls.enabled()) {
    ASSIGN_OR_RETURN(impl->tls, TlsContext::Load(options.tls));
  }
  std::vector<BoundSocket> bound;
  for (const ListenOptions& listen : options.listen) {
    StatusOr<BoundSocket> socket = Bind(listen);
    TRY(Blame(listen, socket.status()));
    if (options.listens_at_start) TRY(Blame(listen, net::Listen(socket->socket.get(), listen)));
    bound.push_back(*std::move(socket));
  }
  const bool listens_at_start = options.listens_at_start;
  impl->state =
      std::make_shared<ServerState>(WithDefaults(std::move(options)), router, metrics, clock);
  for (int i = 0; i < impl->state->options.loops; ++i)
    impl->loops.push_back(std::make_unique<EventLoop>(impl->state, impl->tls.get(), i));
  impl->AddListeners(std::move(bound));
  if (listens_at_start) impl->StartListeners();
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Server::~Server() {
  impl_->loops[0]->Post([this] { impl_->listeners.clear(); });
  // Loop 0 ends first: it runs the listeners, which give connections to all loops.
  for (auto& loop : impl_->loops) loop->Stop();
  impl_->loops.clear();
}

Status Server::Listen() {
  for (size_t i = 0; i < impl_->listeners.size(); ++i) {
    const ListenOptions& options = impl_->state->options.listen[i];
    TRY(Blame(options, net::Listen(impl_->listeners[i]->socket(), options)));
  }
  impl_->StartListeners();
  return OkStatus();
}

std::vector<int> Server::ports() const { return impl_->ports; }

bool Server::Drain() {
  ServerState& state = *impl_->state;
  const SteadyTime until = std::chrono::steady_clock::now() + state.options.drain_timeout;
  // Set the flag first. A connection that is adopted after the loops were told sees it at its first
  // tick.
  state.StartDrain();
  impl_->loops[0]->Post([this] {
    impl_->listeners.clear();
    // Until here a listener may still hand over a connection. So the wait below needs this, too.
    impl_->is_listening = false;
    impl_->state->NotifyEnd();
  });
  for (auto& loop : impl_->loops) loop->Post([&loop] { loop->StartDrain(); });
  // Wait for the connections too, so that the last answers have been sent.
  const auto is_quiet = [this] {
    return !impl_->is_listening && impl_->open_requests() == 0 && impl_->connections() == 0;
  };
  const bool is_done = state.WaitUntilQuiet(is_quiet, until);
  const bool all_answered = impl_->open_requests() == 0;
  if (!is_done) CutOff();
  return all_answered;
}

void Server::CutOff() {
  // A loop may be busy for longer than this function waits, so the tasks share what they use.
  struct Report {
    Mutex mutex;
    CutCalls cut GUARDED_BY(mutex);
    std::atomic<size_t> missing{0};
  };
  ServerState& state = *impl_->state;
  const auto report = std::make_shared<Report>();
  report->missing = impl_->loops.size();
  const int connections = impl_->connections();
  for (auto& loop : impl_->loops) {
    const bool is_posted = loop->Post([report, &loop, &state] {
      CutCalls cut;
      loop->CutOff(cut);
      {
        MutexLock lock(report->mutex);
        report->cut.Add(cut);
      }
      --report->missing;
      state.NotifyEnd();
    });
    if (!is_posted) --report->missing;
  }
  const SteadyTime until = std::chrono::steady_clock::now() + kCutTime;
  state.WaitUntilQuiet([&] { return report->missing == 0; }, until);
  {
    MutexLock lock(report->mutex);
    LogCut(report->cut, connections, impl_->open_requests(), state.clock.Now());
  }
  // The clients shall get their errors. A run that does not heed its cancel is not waited for.
  state.WaitUntilQuiet([this] { return impl_->connections() == 0; }, until);
}

std::function<int64_t()> Server::OpenRequests() const {
  std::vector<std::weak_ptr<Loop>> loops;
  for (const auto& loop : impl_->loops) loops.push_back(loop->loop().weak_from_this());
  return [loops = std::move(loops)] {
    int64_t sum = 0;
    for (const auto& weak : loops) {
      if (const auto loop = weak.lock()) sum += loop->open_requests();
    }
    return sum;
  };
}

std::vector<std::shared_ptr<IoLoop>> Server::IoLoops() const {
  std::vector<std::shared_ptr<IoLoop>> loops;
  for (const auto& loop : impl_->loops) loops.push_back(loop->io_loop());
  return loops;
}

}  // namespace penstock::net
