// SPDX-License-Identifier: Apache-2.0
// Makes a thread take subnormal numbers for zero, as TensorFlow's own threads do.
#pragma once

#include <cstdint>

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

namespace penstock::tensorflow {

// TensorFlow sets this mode in the threads of its pools only. A run on another thread would give
// other bits for results next to zero, and is slower where subnormal numbers occur. The mode lasts
// for as long as this lives. One thread.
class FlushDenormals final {
 public:
  FlushDenormals() : before_(Get()) { Set(before_ | kFlush); }
  ~FlushDenormals() { Set(before_); }
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
#if defined(__SSE__)
  // MXCSR: results (FTZ) and operands (DAZ).
  static constexpr uint64_t kFlush = 0x8040;
  static uint64_t Get() { return _mm_getcsr(); }
  static void Set(uint64_t mode) { _mm_setcsr(static_cast<unsigned>(mode)); }
#elif defined(__aarch64__)
  // FPCR: FZ.
  static constexpr uint64_t kFlush = uint64_t{1} << 24;
  static uint64_t Get() {
    uint64_t mode;
    asm volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
  }
  static void Set(uint64_t mode) { asm volatile("msr fpcr, %0" : : "r"(mode)); }
#else
#error "this processor's way to flush subnormal numbers is missing here"
#endif

  const uint64_t before_;
};

}  // namespace penstock::tensorflow
