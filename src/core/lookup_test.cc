// SPDX-License-Identifier: Apache-2.0
#include "core/lookup.h"

#include <gtest/gtest.h>

#include <thread>

#include "core/loader_fake.h"

namespace penstock::core {
namespace {

TEST(VersionEntryTest, HandleDroppedOnAnotherThreadCounts) {
  auto plan = std::make_shared<FakePlan>();
  VersionEntry entry({"m", {1}}, std::make_unique<FakeServable>(plan));
  EXPECT_FALSE(entry.HasHandles());
  entry.Ref();
  entry.Ref();
  EXPECT_TRUE(entry.HasHandles());
  std::thread([&] { entry.Unref(); }).join();
  EXPECT_TRUE(entry.HasHandles());
  std::thread([&] { entry.Unref(); }).join();
  EXPECT_FALSE(entry.HasHandles());
}

// Readers search while snapshots are replaced and freed: a sanitizer sees a use after free.
TEST(SnapshotCellTest, ReadersAndPublisherRace) {
  SnapshotCell cell(std::make_unique<Snapshot>());
  std::atomic<bool> stop{false};
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&cell, &stop, name = std::string(40, static_cast<char>('a' + i))] {
      while (!stop) {
        SnapshotCell::Reader reader(cell);
        const auto* const model = reader->models.find(name);
        EXPECT_TRUE(model == nullptr || model->second->labels.size() == 1);
      }
    });
  }
  for (int i = 0; i < 300; ++i) {
    auto next = std::make_unique<Snapshot>();
    auto model = std::make_shared<Snapshot::Model>();
    model->labels.emplace("stable", VersionNumber{1});
    next->models.insert_or_assign(std::string(40, static_cast<char>('a' + i % 4)),
                                  std::move(model));
    cell.Set(std::move(next));
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
}

}  // namespace
}  // namespace penstock::core
