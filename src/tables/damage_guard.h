// SPDX-License-Identifier: Apache-2.0
// Keeps the process alive if a mapped file cannot be read.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace penstock::tables {

// Watches mapped memory. If its file gets shorter, or the disk fails, the kernel sends SIGBUS to
// the thread that reads; without this the process would end. With it, the page becomes zeros, the
// read goes on, and is_damaged is true from then on: so ask after each read, and drop what was
// read. Destroy it before the memory is unmapped. Thread-safe.
class DamageGuard final {
 public:
  // Where a signal handler finds what is watched.
  struct Slot;

  DamageGuard(const void* data, size_t size);
  ~DamageGuard();
  DamageGuard(const DamageGuard&) = delete;
  DamageGuard& operator=(const DamageGuard&) = delete;

  bool is_damaged() const;

 private:
  Slot* const slot_;
};

}  // namespace penstock::tables
