// SPDX-License-Identifier: Apache-2.0
// A text about the whole server, such as its metrics, that is made on request.
#pragma once

#include <string>
#include <utility>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/mutex.h"

namespace penstock {

// Makes the text, and shares its bytes among all callers. A large text takes long to make, so it is
// reused for ten times as long as it took. Clients that ask without a pause then cost a tenth of a
// thread and the memory of one text. A small text is made anew for each call. Thread-safe.
class SharedPage final {
 public:
  static constexpr size_t kLargeBytes = 64 * 1024;

  // `clock` outlives it.
  explicit SharedPage(const Clock& clock = Clock::Real()) : clock_(clock) {}

  // `make` returns the text as a std::string. It runs under a lock, on this thread; it must not
  // call Get. The result keeps its bytes, so it may be sent while a new text is made.
  template <typename Make>
  Slice Get(const Make& make) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    const SteadyTime start = clock_.Now();
    if (start < good_until_) return page_;
    page_ = WholeSlice(CopyToBuffer(make()));
    const SteadyTime end = clock_.Now();
    if (page_.size < kLargeBytes) return std::exchange(page_, {});
    good_until_ = end + kReuse * (end - start);
    return page_;
  }

 private:
  static constexpr int kReuse = 10;

  const Clock& clock_;
  Mutex mutex_;  // held while the text is made, so that others wait for it and do not make another
                 // one
  Slice page_ GUARDED_BY(mutex_);
  SteadyTime good_until_ GUARDED_BY(mutex_){};
};

}  // namespace penstock
