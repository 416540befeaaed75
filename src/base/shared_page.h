// SPDX-License-Identifier: Apache-2.0
// A text about the whole server, as its metrics, that is made when somebody asks for it.
#pragma once

#include <string>
#include <utility>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/mutex.h"

namespace penstock {

// Gives the text as bytes that all who ask share. A large text takes long to make, so it is used
// again for ten times as long as it took: clients that ask without a pause cost a tenth of a thread
// and the memory of one text. A small text is made anew each time. Thread-safe.
class SharedPage final {
 public:
  static constexpr size_t kLargeBytes = 64 * 1024;

  // `clock` outlives it.
  explicit SharedPage(const Clock& clock = Clock::Real()) : clock_(clock) {}

  // `make` returns the text as a std::string.
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
  Mutex mutex_;  // held while the text is made: others wait for it rather than make another one
  Slice page_ GUARDED_BY(mutex_);
  SteadyTime good_until_ GUARDED_BY(mutex_){};
};

}  // namespace penstock
