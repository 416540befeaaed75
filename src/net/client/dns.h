// SPDX-License-Identifier: Apache-2.0
// Finds all addresses that a name has in the DNS.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"

namespace penstock::net {

// What is asked. Plain data.
struct DnsQuestion {
  std::string name;
  // The server to ask: "ADDRESS" or "ADDRESS:PORT". Empty: those of the system (/etc/resolv.conf,
  // which is read anew for each question), and its other places, such as /etc/hosts.
  std::string server = {};
};

// Asks the DNS, on a thread of its own that is started with the first question and sleeps while
// nothing is asked. Questions do not wait for each other. Thread-safe.
class DnsThread final {
 public:
  // The addresses, sorted and each once. Errors: UNAVAILABLE: no server has answered, or the name
  // has no address; the message names the name. Called once, on the thread. Must not block.
  using Done = absl::AnyInvocable<void(StatusOr<std::vector<std::string>>)>;

  // `time_limit`: for each question.
  explicit DnsThread(Duration time_limit);
  // Gives up the open questions.
  ~DnsThread();
  DnsThread(const DnsThread&) = delete;
  DnsThread& operator=(const DnsThread&) = delete;

  void Ask(DnsQuestion question, Done done) EXCLUDES(mutex_);

 private:
  class Lookup;
  struct Asked {
    DnsQuestion question;
    Done done;
  };

  void Run() EXCLUDES(mutex_);
  // Begins what was asked meanwhile. False: the thread shall end.
  bool TakeAsked() EXCLUDES(mutex_);
  // Waits until a server has answered, a look-up must do something, or something is asked.
  void Wait();
  void Wake();

  const Duration time_limit_;
  const int wake_;  // an eventfd: something was asked, or the thread shall end

  Mutex mutex_;
  std::vector<Asked> asked_ GUARDED_BY(mutex_);
  bool is_started_ GUARDED_BY(mutex_) = false;
  bool is_stopped_ GUARDED_BY(mutex_) = false;

  std::list<std::unique_ptr<Lookup>> open_;  // of the thread
  std::thread thread_;
};

}  // namespace penstock::net
