// SPDX-License-Identifier: Apache-2.0
// The small parts: router, timers, allowances, gzip, buffers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "net/allowance.h"
#include "net/body_buffer.h"
#include "net/body_receiver.h"
#include "net/content_coding.h"
#include "net/gzip.h"
#include "net/headers.h"
#include "net/http_call.h"
#include "net/idle_memory.h"
#include "net/router.h"
#include "net/session_fake.h"
#include "net/timer_wheel.h"

namespace penstock::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;

TEST(HeadersTest, AreFoundWithoutCase) {
  const Header headers[] = {{"Content-Type", "a"}, {"X-Y", "b"}, {"x-y", "c"}};
  EXPECT_EQ(FindHeader(headers, "content-type"), "a");
  EXPECT_EQ(FindHeader(headers, "x-y"), "b");
  EXPECT_EQ(FindHeader(headers, "x-z"), "");
  EXPECT_FALSE(EqualsIgnoringCase("@", "`"));  // differ in the bit that tells cases of letters
}

TEST(RouterTest, TheLongestMatchWins) {
  Router router;
  router.AddHttp({.path = "/v1/*", .prefix_ignores_case = true});
  router.AddHttp({.path = "/v1/models/*"});
  router.AddHttp({.path = "/v1/models/x"});
  EXPECT_EQ(router.FindHttp("/v1/models/x")->path, "/v1/models/x");
  EXPECT_EQ(router.FindHttp("/v1/models/y")->path, "/v1/models/");
  EXPECT_EQ(router.FindHttp("/V1/Models/y")->path, "/v1/");
  EXPECT_EQ(router.FindHttp("/v2"), nullptr);
}

TEST(RouterTest, KnowsGrpcMethodsAndServices) {
  Router router;
  router.AddGrpc({.method = "/b.B/One"});
  router.AddGrpc({.method = "/b.B/Two"});
  router.AddGrpc({.method = "/a.A/One"});
  EXPECT_THAT(router.GrpcServices(), ElementsAre("a.A", "b.B"));
  EXPECT_NE(router.FindGrpc("/b.B/Two"), nullptr);
  EXPECT_EQ(router.FindGrpc("/b.B/Three"), nullptr);
}

TEST(RouterDeathTest, DiesOfTheSameNameTwice) {
  Router router;
  router.AddHttp({.path = "/a"});
  EXPECT_DEATH(router.AddHttp({.path = "/a"}), "registered twice");
}

// Counts its calls. One thread.
class CountingTimer final : public WheelTimer {
 public:
  int calls = 0;

 private:
  void OnTimer() override { ++calls; }
};

TEST(TimerWheelTest, CallsEachTimerOnceWhenItsTimeHasCome) {
  const FakeClock clock;
  const SteadyTime start = clock.Now();
  TimerWheel wheel;
  CountingTimer soon, late, later, gone;
  wheel.Arm(soon, start + milliseconds(3));
  wheel.Arm(late, start + milliseconds(1027));  // in the same slot, a round later
  wheel.Arm(later, start + seconds(30));
  wheel.Arm(gone, start + milliseconds(3));
  gone.Disarm();
  wheel.Run(start + milliseconds(2));
  EXPECT_EQ(soon.calls, 0);
  EXPECT_LE(wheel.NextRun(start + milliseconds(2)), start + milliseconds(4));
  wheel.Run(start + milliseconds(4));
  EXPECT_EQ(soon.calls, 1);
  EXPECT_EQ(late.calls, 0);
  wheel.Run(start + milliseconds(1028));
  EXPECT_EQ(late.calls, 1);
  wheel.Run(start + seconds(31));
  EXPECT_EQ(later.calls + soon.calls + late.calls, 3);
  EXPECT_EQ(gone.calls, 0);
  EXPECT_TRUE(wheel.empty());
  EXPECT_EQ(wheel.NextRun(start), kNoDeadline);
}

TEST(TimerWheelTest, NextRunComesAndIsNeverTooLate) {
  const FakeClock clock;
  SteadyTime now = clock.Now();
  TimerWheel wheel;
  wheel.Run(now);
  CountingTimer timer;
  const SteadyTime when = now + seconds(5);
  wheel.Arm(timer, when);
  int runs = 0;
  while (timer.calls == 0 && ++runs < 100) {
    const SteadyTime next = wheel.NextRun(now);
    ASSERT_LE(next, when + milliseconds(1));
    now = std::max(next, now + milliseconds(1));
    wheel.Run(now);
  }
  EXPECT_LT(runs, 10);
}

TEST(AllowanceTest, IsNeverExceededAndAlwaysGivenBack) {
  Allowance total(1000);
  {
    LocalAllowance one(total, 2, 10);
    LocalAllowance other(total, 2, 10);
    uint64_t taken = 0;
    while (one.TryTake(3)) taken += 3;
    while (other.TryTake(3)) taken += 3;
    EXPECT_LE(taken, 1000u);
    EXPECT_GE(taken, 1000u - 1000 / 8);
    other.Give(taken);
    EXPECT_TRUE(one.TryTake(500));
    one.Give(500);
  }
  EXPECT_EQ(total.left(), 1000u);
}

TEST(AllowanceTest, ASmallOneIsExact) {
  Allowance total(2);
  LocalAllowance local(total, 4, 64);
  EXPECT_TRUE(local.TryTake(1));
  EXPECT_TRUE(local.TryTake(1));
  EXPECT_FALSE(local.TryTake(1));
  local.Give(1);
  LocalAllowance other(total, 4, 64);
  EXPECT_TRUE(other.TryTake(1));
}

TEST(AcceptsGzipTest, HonoursQualities) {
  for (const char* yes :
       {"gzip", "deflate, GZIP;q=0.5", "*", "x-gzip", "gzip;q=1.0, identity", " gzip ;q=0.001, br"})
    EXPECT_TRUE(AcceptsGzip(yes)) << yes;
  for (const char* no :
       {"", "deflate", "gzip;q=0", "gzip;q=0.0, *", "*;q=0", "gzipped",
        "gzip;q=0.2, identity;q=0.8", ";;,,", "gzip;q=-1", "gzip;q=nan", "gzip;q=-nan"})
    EXPECT_FALSE(AcceptsGzip(no)) << no;
}

TEST(GzipTest, SeveralMembersCountAsOne) {
  ByteChain hello;
  hello.AppendCopy("hello ");
  hello.AppendCopy("world");
  ByteChain twice = GzipCompress(hello);
  twice.Append(GzipCompress(hello));
  const Slice packed = Flatten(twice);
  Inflater inflater;
  std::string plain;
  std::span<const std::byte> input = packed.span();
  while (true) {
    std::byte piece[3];
    const StatusOr<size_t> bytes = inflater.Inflate(input, piece);
    ASSERT_TRUE(bytes.ok());
    plain.append(reinterpret_cast<const char*>(piece), *bytes);
    if (*bytes < sizeof piece) break;
  }
  EXPECT_EQ(plain, "hello worldhello world");
  EXPECT_TRUE(inflater.is_complete());
}

// A loop to allocate on. One thread.
class BodyBufferTest : public testing::Test {
 protected:
  BodyBufferTest() : server_(router_, Options(), MakeHttp1Session) {}
  static ServerOptions Options() {
    ServerOptions options = FakeServer::DefaultOptions();
    options.inflight_bytes_max = 64 << 20;
    return options;
  }
  uint64_t left() { return server_.state().body_bytes.left(); }

  Router router_;
  FakeServer server_;
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

TEST_F(BodyBufferTest, MemoryIsUsedAgainAndGivenBack) {
  BigBufferPool& pool = *server_.state().big_buffers;
  BodyBuffer* buffer = NewBodyBuffer(server_.loop(), 1 << 20);
  const std::byte* const data = buffer->data();
  ASSERT_TRUE(buffer->Commit(1 << 20));
  buffer->Unref();
  EXPECT_GE(pool.resident_bytes(), uint64_t{1} << 20);
  buffer = NewBodyBuffer(server_.loop(), 1 << 20);
  EXPECT_EQ(buffer->data(), data);
  EXPECT_EQ(pool.resident_bytes(), 0u);
  buffer->Unref();
  pool.Trim(SteadyTime::max());
  EXPECT_EQ(pool.resident_bytes(), 0u);
}

TEST_F(BodyBufferTest, ThePoolIsBounded) {
  BigBufferPool pool(10 << 20);
  for (int i = 0; i < 8; ++i) {
    Mapping mapping = pool.Take(4 << 20);
    mapping.resident = 4 << 20;
    std::vector<Mapping> held = {mapping, pool.Take(4 << 20)};
    held[1].resident = 4 << 20;
    for (const Mapping& each : held) pool.Give(each, SteadyTime());
  }
  EXPECT_LE(pool.resident_bytes(), uint64_t{10} << 20);
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

TEST_F(BodyBufferTest, AnnouncedBytesTakeLittleAddressSpaceUntilTheyCome) {
  const auto mapped_bytes = [] {
    size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    return pages * 4096;
  };
  const size_t before = mapped_bytes();
  std::vector<std::unique_ptr<BodyReceiver>> stalled;
  for (int i = 0; i < 500; ++i) {
    stalled.push_back(std::make_unique<BodyReceiver>(server_.loop()));
    ASSERT_TRUE(stalled.back()->Start({.length = 2'000'000'000, .bytes_max = 1u << 31}).ok());
    ASSERT_TRUE(stalled.back()->Append({std::array<std::byte, 1>()}).ok());
  }
  EXPECT_LT(mapped_bytes() - before, size_t{600} << 20);
}

TEST_F(BodyBufferTest, BodiesThatGrowInStepsComeWholeAndLanded) {
  std::vector<std::byte> body(5'000'001);
  for (size_t i = 0; i < body.size(); ++i) body[i] = static_cast<std::byte>(i * 7 + i / 251);
  for (const size_t piece : {1000u, 16'384u, 1'000'000u}) {
    BodyReceiver receiver(server_.loop());
    ASSERT_TRUE(
        receiver
            .Start({.length = body.size(),
                    .bytes_max = 1 << 30,
                    .landing = [](std::span<const std::byte>, uint64_t) -> size_t { return 37; }})
            .ok());
    for (size_t at = 0; at < body.size();) {
      size_t size = std::min(piece, body.size() - at);
      std::span<std::byte> target = receiver.Target();
      std::span<const std::byte> next = std::span<const std::byte>(body).subspan(at, size);
      if (!target.empty()) {
        size = std::min(size, target.size());
        std::copy_n(next.begin(), size, target.begin());
        next = target.first(size);
      }
      ASSERT_TRUE(receiver.Append(next).ok());
      at += size;
    }
    const StatusOr<Slice> slice = receiver.Finish();
    ASSERT_TRUE(slice.ok());
    EXPECT_EQ(reinterpret_cast<uintptr_t>(slice->data + 37) % kBufferAlignment, 0u);
    EXPECT_TRUE(std::equal(body.begin(), body.end(), slice->data, slice->data + slice->size));
  }
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

TEST(IdleMemoryTest, IsGivenBackOnceAfterAPeakWhenAllIsQuiet) {
  IdleMemory memory;
  EXPECT_FALSE(memory.TrimIfQuiet());
  memory.NoteFreed(100 << 20);
  memory.NoteBusy(true);
  EXPECT_FALSE(memory.TrimIfQuiet());
  memory.NoteBusy(false);
  EXPECT_TRUE(memory.TrimIfQuiet());
  EXPECT_FALSE(memory.TrimIfQuiet());
  memory.NoteFreed(1000);
  EXPECT_FALSE(memory.TrimIfQuiet());
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
