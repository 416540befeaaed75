// SPDX-License-Identifier: Apache-2.0
#include "net/body/body_buffer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "net/loop/loop_fake.h"

namespace penstock::net {
namespace {

// A loop to allocate on. One thread.
class BodyBufferTest : public testing::Test {
 protected:
  BodyBufferTest() : server_(router_, Options()) {}
  static ServerOptions Options() {
    ServerOptions options = FakeLoop::DefaultOptions();
    options.inflight_bytes_max = 64 << 20;
    options.body_reservation_bytes_max = uint64_t{1} << 40;
    return options;
  }
  uint64_t left() { return server_.state().body_bytes.left(); }

  Router router_;
  FakeLoop server_;
};

TEST_F(BodyBufferTest, BigOnesCountWhatHasCome) {
  const uint64_t before = left();
  BodyBuffer* buffer = NewBodyBuffer(server_.loop(), size_t{1} << 30);
  ASSERT_NE(buffer, nullptr);
  EXPECT_GE(left() + (2 << 20), before);  // the claim costs nothing
  EXPECT_TRUE(buffer->Commit(8 << 20));
  EXPECT_LE(left(), before - (8 << 20));
  EXPECT_FALSE(buffer->Commit(100 << 20));
  buffer->Unref();
  EXPECT_GE(left() + (2 << 20), before);
}

TEST_F(BodyBufferTest, SmallOnesAreAlignedAndPooled) {
  BodyBuffer* buffer = NewBodyBuffer(server_.loop(), 100);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer->data()) % kBufferAlignment, 0u);
  buffer->Unref();
  BodyBuffer* again = NewBodyBuffer(server_.loop(), 200);
  EXPECT_EQ(again, buffer);
  again->Unref();
}

// The kernel's count of them is limited. Those of a sanitizer lie elsewhere.
int MappingsBetween(const std::byte* first, const std::byte* last) {
  std::ifstream maps("/proc/self/maps");
  int count = 0;
  for (std::string line; std::getline(maps, line);) {
    const uintptr_t start = std::stoull(line, nullptr, 16);
    if (start >= reinterpret_cast<uintptr_t>(first) && start <= reinterpret_cast<uintptr_t>(last))
      ++count;
  }
  return count;
}

TEST_F(BodyBufferTest, StalledBodiesShareAMapping) {
  std::vector<BodyBuffer*> stalled;
  for (int i = 0; i < 200; ++i) {
    stalled.push_back(NewBodyBuffer(server_.loop(), size_t{64} << 20));
    ASSERT_TRUE(stalled.back()->Commit(1000));
    stalled.back()->data()[0] = std::byte{1};
  }
  const auto [first, last] = std::minmax_element(
      stalled.begin(), stalled.end(),
      [](BodyBuffer* a, BodyBuffer* b) { return std::less<>()(a->data(), b->data()); });
  EXPECT_LT(MappingsBetween((*first)->data(), (*last)->data()), 50);
  for (BodyBuffer* buffer : stalled) buffer->Unref();
}

TEST_F(BodyBufferTest, PoolsShrink) {
  std::vector<BodyBuffer*> buffers;
  for (int i = 0; i < 10; ++i) buffers.push_back(NewBodyBuffer(server_.loop(), 10'000));
  for (BodyBuffer* buffer : buffers) buffer->Unref();
  EXPECT_GE(server_.loop().ShrinkPools(3), 70'000u);
  EXPECT_EQ(server_.loop().ShrinkPools(3), 0u);
  BodyBuffer* const last_used = NewBodyBuffer(server_.loop(), 10'000);
  EXPECT_EQ(last_used, buffers.back());
  last_used->Unref();
  EXPECT_GE(server_.loop().ShrinkPools(0), 30'000u);
}

TEST_F(BodyBufferTest, SmallOnesComeBackEachTimeHoweverTheyWereShared) {
  BodyBuffer* const first = NewBodyBuffer(server_.loop(), 100);
  first->Unref();
  const uint64_t before = left();
  for (int i = 0; i < 5000; ++i) {  // more than a loop holds in reserve
    BodyBuffer* const buffer = NewBodyBuffer(server_.loop(), 100);
    ASSERT_EQ(buffer, first);
    ASSERT_TRUE(buffer->IsUnique());
    if (i % 2 == 0) {
      buffer->Ref();
      buffer->Unref();
    }
    buffer->Unref();
  }
  EXPECT_EQ(left(), before);
}

}  // namespace
}  // namespace penstock::net
