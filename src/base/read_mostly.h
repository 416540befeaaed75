// SPDX-License-Identifier: Apache-2.0
// A value that many threads read all the time, and that is replaced seldom. Readers take no lock,
// and write only to a cache line of their own thread.
//
// How it works: the value is immutable, behind an atomic pointer. Each thread has a counter in its
// own cache line. A reader adds 1 to it, loads the pointer, uses the value, and subtracts 1. A
// writer exchanges the pointer, waits until it has seen each counter at 0 once, and only then frees
// the old value.
//
// Why the old value has no reader then: all these operations are sequentially consistent, except
// the subtraction, which is a release. Take one counter, and the writer's load that saw 0 in it. If
// a reader's addition comes after this load, then the reader also loads the pointer after the
// exchange, so it gets the new value. If the addition comes before this load, then the reader has
// already subtracted, because the counter was 0, and its use of the value happens before the load.
// In both cases nobody uses the old value.
//
// The writer polls the counters, so that readers need not wake anybody. Readers only search or copy
// something, so the wait is short.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <thread>
#include <utility>

#include "base/thread_slot.h"

namespace penstock {

// Holds a `const T`, or null.
//
//   ReadMostly<Table> table(std::make_unique<const Table>(...));
//   {
//     const ReadMostly<Table>::Reader reader(table);   // on any thread, without a lock
//     Use(*reader);                                    // do not block in here
//   }
//   table.Set(std::make_unique<const Table>(...));     // rare; waits for the readers
//
// Thread-safe. No Reader may exist when it is destroyed.
template <typename T>
class ReadMostly final {
 public:
  explicit ReadMostly(std::unique_ptr<const T> value = nullptr) : current_(value.release()) {}
  ~ReadMostly() { delete current_.load(); }
  ReadMostly(const ReadMostly&) = delete;
  ReadMostly& operator=(const ReadMostly&) = delete;

  // Keeps the value alive that was current at its construction. Destroy it soon, because writers
  // wait for it. One thread at a time.
  class Reader {
   public:
    explicit Reader(const ReadMostly& owner) : inside_(owner.readers_.Mine()) {
      inside_.fetch_add(1, std::memory_order_seq_cst);
      value_ = owner.current_.load(std::memory_order_seq_cst);
    }
    ~Reader() { inside_.fetch_sub(1, std::memory_order_release); }
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;

    // Null if the value was null.
    const T* get() const { return value_; }
    const T& operator*() const { return *value_; }
    const T* operator->() const { return value_; }

   private:
    std::atomic<int64_t>& inside_;
    const T* value_;
  };

  // Makes `next` the current value and returns the former one, without waiting. The caller may
  // destroy that one after a later WaitForReaders.
  [[nodiscard]] std::unique_ptr<const T> Exchange(std::unique_ptr<const T> next) {
    return std::unique_ptr<const T>(current_.exchange(next.release(), std::memory_order_seq_cst));
  }

  // Returns when no Reader can have a value that was replaced before the call. Sleeps in short
  // steps, so do not call it on the thread of a request.
  void WaitForReaders() const {
    readers_.ForEach([](const std::atomic<int64_t>& inside) {
      while (inside.load(std::memory_order_seq_cst) != 0)
        std::this_thread::sleep_for(std::chrono::microseconds(20));
    });
  }

  // Replaces the value, and frees the former one as soon as nobody reads it. Waits for that. Not
  // while this thread has a Reader, since it would wait for itself.
  void Set(std::unique_ptr<const T> next) {
    const std::unique_ptr<const T> former = Exchange(std::move(next));
    if (former != nullptr) WaitForReaders();
  }

 private:
  std::atomic<const T*> current_;
  mutable ThreadCells<std::atomic<int64_t>> readers_;
};

}  // namespace penstock
