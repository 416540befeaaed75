// SPDX-License-Identifier: Apache-2.0
#include "bench/load.h"

#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "bench/arrivals.h"

namespace penstock::bench {
namespace {

// Requests that are sent between two looks at the answers: a server that is far behind must not
// keep us from reading.
constexpr int kSendsOfATurnMax = 64;

SteadyTime Now() { return std::chrono::steady_clock::now(); }

Duration ThreadCpu() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

// The moments of a run, the same for all threads.
struct Schedule {
  SteadyTime start, measured_from, end, last;

  Schedule(const LoadOptions& options, SteadyTime now)
      : start(now),
        measured_from(start + options.warmup),
        end(measured_from + options.duration),
        last(end + options.timeout) {}
};

// The part of one thread: some of the connections, and its share of the rate. Shares of a Poisson
// process are Poisson processes, and so is their sum. One thread at a time.
class LoadThread final {
 public:
  LoadThread(const LoadOptions& options, const LoadTarget& target, size_t index)
      : options_(options),
        target_(target),
        poll_(epoll_create1(EPOLL_CLOEXEC)),
        share_(ShareOf(options.connections, index)),
        requests_max_(std::max<int64_t>(ShareOf(options.requests_max, index), 1)),
        in_flight_max_(std::max<int64_t>(ShareOf(options.in_flight_max, index), 1)),
        arrivals_(std::max(options.rate, 1e-9) / static_cast<double>(options.threads),
                  options.seed * static_cast<uint64_t>(kThreadsMax) + index) {}

  // Opens the connections, before the time counts.
  Status Open() {
    for (int64_t i = 0; i < share_; ++i) {
      lines_.push_back(std::make_unique<Line>());
      TRY(Connect(*lines_.back()));
    }
    return OkStatus();
  }

  void Run(const Schedule& schedule) {
    schedule_ = &schedule;
    prctl(PR_SET_TIMERSLACK, 1);  // 50 us late by default
    next_due_ = schedule.start + (IsOpenLoop() ? arrivals_.Next() : Duration(0));
    if (!IsOpenLoop()) FillStreams();
    while (result_.failure.ok() && Turn()) {
    }
    Finish();
  }

  LoadResult TakeResult() { return std::move(result_); }

 private:
  // One connection and its place in the poll. One thread at a time.
  struct Line {
    std::unique_ptr<GrpcClient> client;
    bool waits_for_room = false;  // polled for output, too
    bool has_news = true;         // something to flush
  };

  int64_t ShareOf(int64_t total, size_t index) const {
    return total / options_.threads + (static_cast<int64_t>(index) < total % options_.threads);
  }
  bool IsOpenLoop() const { return options_.rate > 0; }

  Status Connect(Line& line) {
    ASSIGN_OR_RETURN(Socket socket, target_.endpoint.Connect(options_.timeout));
    epoll_event event{.events = EPOLLIN, .data = {.ptr = &line}};
    if (epoll_ctl(poll_.get(), EPOLL_CTL_ADD, socket.get(), &event) != 0)
      return Error(StatusCode::kResourceExhausted, "epoll_ctl: error {}", errno);
    line.waits_for_room = false;
    line.client =
        std::make_unique<GrpcClient>(std::move(socket), target_.call, false,
                                     [this, &line](const Answer& answer) { Take(line, answer); });
    return OkStatus();
  }

  void Send(Line& line, SteadyTime due) {
    ++sent_;
    ++in_flight_;
    line.has_news = true;
    if (due >= schedule_->measured_from) ++result_.sent;
    line.client->Send(target_.framed, due);
    const int64_t limit = line.client->streams_max();
    if (static_cast<int64_t>(line.client->in_flight()) > limit) result_.streams_limit = limit;
  }

  void FillStreams() {
    const SteadyTime now = Now();
    for (int64_t i = 0; i < options_.streams; ++i) {
      for (const auto& line : lines_) {
        if (sent_ < requests_max_) Send(*line, now);
      }
    }
  }

  void Take(Line& line, const Answer& answer) {
    --in_flight_;
    if (answer.due >= schedule_->measured_from && answer.due < schedule_->end) Count(answer);
    if (answer.code == StatusCode::kOk && answer.at >= schedule_->measured_from &&
        answer.at < schedule_->end)
      ++result_.answered_in_time;
    const bool goes_on = !IsOpenLoop() && answer.at < schedule_->end && sent_ < requests_max_;
    if (goes_on && !line.client->is_lost()) Send(line, answer.at);
  }

  void Count(const Answer& answer) {
    const Duration time = answer.at - answer.due;
    if (answer.code == StatusCode::kOk) {
      result_.ok.Add(time);
      if (options_.deadline == Duration(0) || time <= options_.deadline) ++result_.in_deadline;
      return;
    }
    ErrorCount& error = result_.errors[static_cast<size_t>(answer.code)];
    if (error.times.count() == 0) error.message = answer.message;
    error.times.Add(time);
  }

  // Sends what is due, takes what has arrived. False at the end of the run.
  bool Turn() {
    const SteadyTime now = Now();
    if (now >= schedule_->measured_from && cpu_from_ == Duration(0)) cpu_from_ = ThreadCpu();
    if (now >= schedule_->end && cpu_to_ == Duration(0)) cpu_to_ = ThreadCpu();
    if (IsOpenLoop()) SendDue(now);
    for (const auto& line : lines_) {
      if (std::exchange(line->has_news, false)) Settle(*line, line->client->Flush());
    }
    const bool sends_no_more = now >= schedule_->end || sent_ >= requests_max_;
    if ((sends_no_more && in_flight_ == 0) || now >= schedule_->last) return false;
    Wait(now, sends_no_more);
    return true;
  }

  void SendDue(SteadyTime now) {
    for (int i = 0; i < kSendsOfATurnMax; ++i) {
      if (next_due_ > now || next_due_ >= schedule_->end || sent_ >= requests_max_ ||
          now >= schedule_->end)
        return;
      if (in_flight_ >= in_flight_max_) {
        result_.was_full = true;
        return;
      }
      Line& line = *lines_[static_cast<size_t>(sent_) % lines_.size()];
      if (next_due_ >= schedule_->measured_from) result_.late.Add(now - next_due_);
      Send(line, next_due_);
      next_due_ = schedule_->start + arrivals_.Next();
    }
  }

  // Handles the state of a connection after it was used.
  void Settle(Line& line, const Status& status) {
    if (!status.ok()) return Reconnect(line, status);
    const bool waits = line.client->has_output();
    if (waits == line.waits_for_room) return;
    line.waits_for_room = waits;
    epoll_event event{.events = waits ? EPOLLIN | EPOLLOUT : EPOLLIN, .data = {.ptr = &line}};
    epoll_ctl(poll_.get(), EPOLL_CTL_MOD, line.client->socket(), &event);
  }

  void Reconnect(Line& line, const Status& why) {
    ++result_.connections_lost;
    const Status status = Now() < schedule_->end ? Connect(line) : why;
    if (!status.ok()) {
      result_.failure =
          Error(StatusCode::kUnavailable, "{}; then: {}", MessageOf(why), MessageOf(status));
      return;
    }
    if (IsOpenLoop()) return;
    for (int64_t i = 0; i < options_.streams && sent_ < requests_max_; ++i) Send(line, Now());
  }

  void Wait(SteadyTime now, bool sends_no_more) {
    SteadyTime until = now < schedule_->measured_from ? schedule_->measured_from
                       : now < schedule_->end         ? schedule_->end
                                                      : schedule_->last;
    if (IsOpenLoop() && !sends_no_more && in_flight_ < in_flight_max_)
      until = std::min(until, next_due_);
    std::array<epoll_event, 64> events;
    const int count = PollUntil(until, events);
    for (int i = 0; i < count; ++i) {
      Line& line = *static_cast<Line*>(events[static_cast<size_t>(i)].data.ptr);
      line.has_news = true;
      if ((events[static_cast<size_t>(i)].events & ~EPOLLOUT) != 0)
        Settle(line, line.client->Receive());
    }
  }

  int PollUntil(SteadyTime until, std::array<epoll_event, 64>& events) {
    const auto left = std::max(Duration(0), until - Now());
    const int size = static_cast<int>(events.size());
    if (has_pwait2_) {
      const timespec time{
          .tv_sec = left / std::chrono::seconds(1),
          .tv_nsec = (left % std::chrono::seconds(1)) / std::chrono::nanoseconds(1)};
      const int count = epoll_pwait2(poll_.get(), events.data(), size, &time, nullptr);
      if (count >= 0 || errno == EINTR) return count;
      has_pwait2_ = false;  // before Linux 5.11
    }
    // Rounded down: it asks again rather than sends late.
    return epoll_wait(poll_.get(), events.data(), size,
                      static_cast<int>(left / std::chrono::milliseconds(1)));
  }

  void Finish() {
    result_.unanswered = in_flight_;
    const SteadyTime end = std::min(Now(), schedule_->end);
    for (int64_t i = sent_; IsOpenLoop() && i < requests_max_ && next_due_ < end; ++i) {
      result_.unsent += next_due_ >= schedule_->measured_from;
      next_due_ = schedule_->start + arrivals_.Next();
    }
    result_.rate = options_.rate;
    const Duration measured = std::max(Duration(0), end - schedule_->measured_from);
    result_.seconds = std::chrono::duration<double>(measured).count();
    const Duration cpu = (cpu_to_ == Duration(0) ? ThreadCpu() : cpu_to_) - cpu_from_;
    if (measured > Duration(0) && cpu_from_ != Duration(0))
      result_.busy = static_cast<double>(cpu.count()) / static_cast<double>(measured.count());
  }

  const LoadOptions& options_;
  const LoadTarget& target_;
  const Socket poll_;
  const int64_t share_;  // connections
  const int64_t requests_max_, in_flight_max_;
  const Schedule* schedule_ = nullptr;
  PoissonArrivals arrivals_;
  SteadyTime next_due_;
  std::vector<std::unique_ptr<Line>> lines_;
  int64_t sent_ = 0, in_flight_ = 0;
  Duration cpu_from_{}, cpu_to_{};
  bool has_pwait2_ = true;
  LoadResult result_;
};

}  // namespace

int64_t LoadResult::ErrorsTotal() const {
  int64_t sum = 0;
  for (const ErrorCount& error : errors) sum += static_cast<int64_t>(error.times.count());
  return sum;
}

void LoadResult::Add(LoadResult other) {
  rate = other.rate;
  seconds = std::max(seconds, other.seconds);
  sent += other.sent;
  answered_in_time += other.answered_in_time;
  in_deadline += other.in_deadline;
  unanswered += other.unanswered;
  unsent += other.unsent;
  ok.Add(other.ok);
  for (size_t i = 0; i < errors.size(); ++i) {
    if (errors[i].times.count() == 0) errors[i].message = std::move(other.errors[i].message);
    errors[i].times.Add(other.errors[i].times);
  }
  late.Add(other.late);
  busy = std::max(busy, other.busy);
  connections_lost += other.connections_lost;
  was_full |= other.was_full;
  streams_limit = std::max(streams_limit, other.streams_limit);
  if (failure.ok()) failure = other.failure;
}

StatusOr<LoadResult> RunLoad(const LoadOptions& options, const LoadTarget& target) {
  std::vector<std::unique_ptr<LoadThread>> parts;
  for (size_t i = 0; i < static_cast<size_t>(options.threads); ++i) {
    parts.push_back(std::make_unique<LoadThread>(options, target, i));
    TRY(parts.back()->Open());
  }
  const Schedule schedule(options, Now());
  std::vector<std::thread> threads;
  for (size_t i = 1; i < parts.size(); ++i)
    threads.emplace_back([&part = *parts[i], &schedule] { part.Run(schedule); });
  parts[0]->Run(schedule);
  for (std::thread& thread : threads) thread.join();
  LoadResult result;
  for (const auto& part : parts) result.Add(part->TakeResult());
  return result;
}

}  // namespace penstock::bench
