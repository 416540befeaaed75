// SPDX-License-Identifier: Apache-2.0
#include "base/read_mostly.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace penstock {
namespace {

using Text = ReadMostly<std::string>;

TEST(ReadMostlyTest, ReaderKeepsTheValueThatItFound) {
  Text text(std::make_unique<std::string>("first"));
  std::unique_ptr<const std::string> old;
  {
    Text::Reader reader(text);
    EXPECT_EQ(*reader, "first");
    old = text.Exchange(std::make_unique<std::string>("second"));  // waits for nobody
    EXPECT_EQ(*reader, "first");
    Text::Reader later(text);
    EXPECT_EQ(*later, "second");
  }
  text.WaitForReaders();
  EXPECT_EQ(*old, "first");
}

TEST(ReadMostlyTest, ValueMayBeNull) {
  Text text;
  EXPECT_EQ(Text::Reader(text).get(), nullptr);
  text.Set(std::make_unique<std::string>("value"));
  EXPECT_EQ(*Text::Reader(text), "value");
  text.Set(nullptr);
  EXPECT_EQ(Text::Reader(text).get(), nullptr);
}

TEST(ReadMostlyTest, WaitForReadersWaits) {
  Text text(std::make_unique<std::string>("value"));
  std::atomic<bool> has_left{false};
  auto reader = std::make_unique<Text::Reader>(text);
  std::thread waiter([&] {
    text.WaitForReaders();
    EXPECT_TRUE(has_left);
  });
  has_left = true;
  reader.reset();
  waiter.join();
}

// Readers read while values are replaced and freed: a sanitizer sees a use after free.
TEST(ReadMostlyTest, ReadersAndWriterRace) {
  Text text(std::make_unique<std::string>(40, 'a'));
  std::atomic<bool> stop{false};
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      while (!stop) {
        const Text::Reader reader(text);
        EXPECT_EQ(reader->size(), 40U);
        EXPECT_EQ(reader->front(), reader->back());
      }
    });
  }
  for (int i = 0; i < 300; ++i)
    text.Set(std::make_unique<std::string>(40, static_cast<char>('a' + i % 26)));
  stop = true;
  for (std::thread& reader : readers) reader.join();
}

}  // namespace
}  // namespace penstock
