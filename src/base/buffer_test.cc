// SPDX-License-Identifier: Apache-2.0
#include "base/buffer.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <thread>

namespace penstock {
namespace {

// Foreign memory: says when it is released.
class ForeignBuffer final : public Buffer {
 public:
  ForeignBuffer(std::byte* data, size_t size, int& destroyed)
      : Buffer(data, size), destroyed_(destroyed) {}

 private:
  ~ForeignBuffer() override { ++destroyed_; }
  int& destroyed_;
};

TEST(BufferTest, AllocatedBytesAreAlignedWritableAndHaveSlack) {
  for (const size_t size : {0U, 1U, 63U, 64U, 100'000U}) {
    const BufferRef buffer = AllocateBuffer(size);
    EXPECT_EQ(buffer->size(), size);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer->data()) % kBufferAlignment, 0U);
    std::memset(buffer->data(), 1, size + kBufferSlack);
  }
}

TEST(BufferTest, LastReferenceDestroys) {
  int destroyed = 0;
  std::byte bytes[4] = {};
  BufferRef first(new ForeignBuffer(bytes, 4, destroyed));
  EXPECT_TRUE(first->IsUnique());
  {
    const BufferRef second = first;
    EXPECT_FALSE(first->IsUnique());
    EXPECT_EQ(second.get(), first.get());
  }
  EXPECT_TRUE(first->IsUnique());
  BufferRef moved = std::move(first);
  EXPECT_EQ(destroyed, 0);
  moved = BufferRef();
  EXPECT_EQ(destroyed, 1);
  BufferRef third(new ForeignBuffer(bytes, 4, destroyed));
  Buffer* const released = third.Release();
  EXPECT_FALSE(third);
  released->Unref();
  EXPECT_EQ(destroyed, 2);
}

TEST(BufferTest, AssigningItselfKeepsIt) {
  BufferRef buffer = CopyToBuffer("abc");
  const BufferRef& alias = buffer;
  buffer = alias;
  EXPECT_EQ(WholeSlice(buffer).view(), "abc");
}

TEST(BufferTest, ReferencesFromManyThreads) {
  int destroyed = 0;
  std::byte byte{};
  {
    const BufferRef buffer(new ForeignBuffer(&byte, 1, destroyed));
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([copy = buffer] {
        for (int k = 0; k < 1000; ++k) const BufferRef another = copy;
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  EXPECT_EQ(destroyed, 1);
}

TEST(ByteChainTest, SkipsEmptySlicesAndFlattens) {
  ByteChain chain;
  EXPECT_TRUE(chain.empty());
  EXPECT_EQ(Flatten(chain).size, 0U);
  chain.AppendCopy("");
  EXPECT_EQ(chain.slices().size(), 0U);
  chain.AppendCopy("ab");
  EXPECT_EQ(Flatten(chain).data, chain.slices()[0].data);  // one slice: no copy
  ByteChain tail;
  tail.AppendCopy("cd");
  static constexpr char kStatic[] = "ef";
  tail.Append(Slice{reinterpret_cast<const std::byte*>(kStatic), 2, {}});
  chain.Append(std::move(tail));
  EXPECT_EQ(chain.bytes(), 6U);
  EXPECT_EQ(chain.slices().size(), 3U);
  const Slice whole = Flatten(chain);
  EXPECT_EQ(whole.view(), "abcdef");
  EXPECT_EQ(whole.span().size(), 6U);
}

}  // namespace
}  // namespace penstock
