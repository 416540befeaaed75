// SPDX-License-Identifier: Apache-2.0
// Reads --token_file, and reads it again when it changes.
#pragma once

#include <memory>
#include <string>
#include <thread>

#include "access/access_control.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"

namespace penstock {

// Keeps an AccessControl as the file says. A file with an error is rejected as a whole: the rules
// in force stay, and the log has the reason. It compares the text and not the time of the file, so
// that no change is missed. Thread-safe.
class TokenFileWatch final {
 public:
  // Whether the server asks clients for certificates. If not, those of the file get a warning.
  enum class Certificates { kAsked, kNotAsked };

  // Errors: the file cannot be read or has an error. `interval` is the time between two readings of
  // the file; 0: only CheckSoon reads it again.
  static StatusOr<std::unique_ptr<TokenFileWatch>> Open(std::string path, Duration interval,
                                                        Certificates certificates);
  ~TokenFileWatch();  // stops it
  TokenFileWatch(const TokenFileWatch&) = delete;
  TokenFileWatch& operator=(const TokenFileWatch&) = delete;

  const access::AccessControl& control() const { return control_; }
  // Reads the file now.
  void Check() EXCLUDES(check_mutex_);
  // Has the file read soon, and returns at once.
  void CheckSoon() EXCLUDES(mutex_);
  // Ends the readings. May block while a file system does not answer. Call it once.
  void Stop() EXCLUDES(mutex_);

 private:
  TokenFileWatch(std::string path, std::string text, access::AccessTable table, Duration interval,
                 Certificates certificates);

  void RunThread() EXCLUDES(mutex_);
  // Returns false when the thread must end.
  bool WaitForWork() EXCLUDES(mutex_);

  const std::string path_;
  const Duration interval_;
  const Certificates certificates_;
  access::AccessControl control_;

  Mutex mutex_;
  CondVar wake_;
  bool shall_read_ GUARDED_BY(mutex_) = false;
  bool is_stopping_ GUARDED_BY(mutex_) = false;

  Mutex check_mutex_;
  std::string last_text_ GUARDED_BY(check_mutex_);   // the text that was last read
  std::string last_error_ GUARDED_BY(check_mutex_);  // of the last read; empty: it was good
  std::thread thread_;
};

}  // namespace penstock
