// SPDX-License-Identifier: Apache-2.0
#include "backends/host/division_guard.h"

#include <gtest/gtest.h>

#if defined(__x86_64__)

#include <signal.h>
#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

namespace penstock {
namespace {

constexpr int64_t kSmallest = std::numeric_limits<int64_t>::min();
constexpr int64_t kSmallest32 = std::numeric_limits<int32_t>::min();

// A function of two numbers, outside the executable as a runtime's code is.
class Code final {
 public:
  explicit Code(const std::vector<uint8_t>& bytes) {
    memory_ = mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    std::memcpy(memory_, bytes.data(), bytes.size());
    mprotect(memory_, kSize, PROT_READ | PROT_EXEC);
    GuardDivisions();
  }
  ~Code() { munmap(memory_, kSize); }
  Code(const Code&) = delete;
  Code& operator=(const Code&) = delete;

  int64_t operator()(int64_t dividend, int64_t divisor) const {
    return reinterpret_cast<int64_t (*)(int64_t, int64_t)>(memory_)(dividend, divisor);
  }

 private:
  static constexpr size_t kSize = 4096;
  void* memory_;
};

TEST(DivisionGuardTest, TheSmallestNumberDividedByMinusOneWraps) {
  // mov rax,rdi; cqo; idiv rsi; ret
  const Code divide({0x48, 0x89, 0xf8, 0x48, 0x99, 0x48, 0xf7, 0xfe, 0xc3});
  EXPECT_EQ(divide(kSmallest, -1), kSmallest);
  EXPECT_EQ(divide(-7, 2), -3);
  // the same, mov rax,rdx; ret
  const Code modulo({0x48, 0x89, 0xf8, 0x48, 0x99, 0x48, 0xf7, 0xfe, 0x48, 0x89, 0xd0, 0xc3});
  EXPECT_EQ(modulo(kSmallest, -1), 0);
  EXPECT_EQ(modulo(-7, 2), -1);
}

TEST(DivisionGuardTest, TheSameWithFourTwoAndOneBytes) {
  // mov eax,edi; cdq; idiv esi; ret
  const Code four({0x89, 0xf8, 0x99, 0xf7, 0xfe, 0xc3});
  EXPECT_EQ(four(kSmallest32, -1), int64_t{1} << 31);
  // mov eax,edi; cwd; idiv si; movsx eax,ax; ret
  const Code two({0x89, 0xf8, 0x66, 0x99, 0x66, 0xf7, 0xfe, 0x0f, 0xbf, 0xc0, 0xc3});
  EXPECT_EQ(static_cast<int32_t>(two(-32768, -1)), -32768);
  // movsx eax,dil; mov ecx,esi; idiv cl; movzx eax,ah; ret
  const Code one_remainder(
      {0x40, 0x0f, 0xbe, 0xc7, 0x89, 0xf1, 0xf6, 0xf9, 0x0f, 0xb6, 0xc4, 0xc3});
  EXPECT_EQ(one_remainder(-128, -1), 0);
  EXPECT_EQ(one_remainder(7, 0), 7);
  // movsx eax,dil; mov ecx,esi; mov ch,cl; idiv ch; movzx eax,al; ret
  const Code one(
      {0x40, 0x0f, 0xbe, 0xc7, 0x89, 0xf1, 0x88, 0xcd, 0xf6, 0xfd, 0x0f, 0xb6, 0xc0, 0xc3});
  EXPECT_EQ(one(-128, -1), 128);
}

TEST(DivisionGuardTest, ADivisionByZeroGivesZeroAndTheDividend) {
  const Code divide({0x48, 0x89, 0xf8, 0x48, 0x99, 0x48, 0xf7, 0xfe, 0xc3});
  EXPECT_EQ(divide(7, 0), 0);
  // mov rax,rdi; xor edx,edx; div rsi; mov rax,rdx; ret
  const Code modulo({0x48, 0x89, 0xf8, 0x31, 0xd2, 0x48, 0xf7, 0xf6, 0x48, 0x89, 0xd0, 0xc3});
  EXPECT_EQ(modulo(7, 0), 7);
}

TEST(DivisionGuardTest, TheDivisorMayLieInMemory) {
  // mov rax,rdi; cqo; push rsi; idiv qword [rsp]; pop rsi; ret
  const Code top({0x48, 0x89, 0xf8, 0x48, 0x99, 0x56, 0x48, 0xf7, 0x3c, 0x24, 0x5e, 0xc3});
  EXPECT_EQ(top(kSmallest, -1), kSmallest);
  EXPECT_EQ(top(-8, 2), -4);
  // mov rax,rdi; cqo; push rsi; mov r9,rsp; xor r10d,r10d; idiv qword [r9+r10*8+0]; pop rsi; ret
  const Code indexed({0x48, 0x89, 0xf8, 0x48, 0x99, 0x56, 0x49, 0x89, 0xe1, 0x45, 0x31, 0xd2, 0x4b,
                      0xf7, 0x7c, 0xd1, 0x00, 0x5e, 0xc3});
  EXPECT_EQ(indexed(kSmallest, -1), kSmallest);
  // mov rax,rdi; cqo; idiv qword [rip+1]; ret; and -1 as eight bytes
  const Code relative({0x48, 0x89, 0xf8, 0x48, 0x99, 0x48, 0xf7, 0x3d, 0x01, 0x00, 0x00,
                       0x00, 0xc3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff});
  EXPECT_EQ(relative(kSmallest, 0), kSmallest);
  EXPECT_EQ(relative(5, 0), -5);
}

TEST(DivisionGuardDeathTest, OtherTrapsEndTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  // mov rax,rdi; mov edx,1; div rsi; ret: a quotient that does not fit
  const Code too_large({0x48, 0x89, 0xf8, 0xba, 0x01, 0x00, 0x00, 0x00, 0x48, 0xf7, 0xf6, 0xc3});
  EXPECT_DEATH(too_large(0, 1), "");
  EXPECT_DEATH(raise(SIGFPE), "");
}

}  // namespace
}  // namespace penstock

#endif
