// SPDX-License-Identifier: Apache-2.0
#include "batch/row_memory.h"

#include <gtest/gtest.h>

#include "infer/model_fake.h"

namespace penstock::batch {
namespace {

Signature WithWidth(int64_t width) {
  return {.name = "s",
          .method_name = "",
          .inputs = {FakeSpec("x", DType::kFloat32, {-1})},
          .outputs = {FakeSpec("y", DType::kFloat32, {-1, width})}};
}

TEST(RowMemoryTest, ShapesSayItBeforeTheFirstRun) {
  EXPECT_EQ(RowMemory(WithWidth(24), 1000).rows(), 10) << "100 bytes";
  EXPECT_EQ(RowMemory(WithWidth(1000), 1000).rows(), 1) << "a request runs at least alone";
  EXPECT_EQ(RowMemory(WithWidth(24), 0).rows(), INT64_MAX);
}

TEST(RowMemoryTest, RunsSayItIfShapesDoNot) {
  RowMemory memory(WithWidth(-1), 10'000);
  EXPECT_EQ(memory.rows(), RowMemory::kUnknownRowsMax);
  memory.Record(10, 990);
  EXPECT_EQ(memory.rows(), 100);
  memory.Record(4, 3999);
  EXPECT_EQ(memory.rows(), 10) << "a larger answer counts at once";
  memory.Record(10, 990);
  EXPECT_EQ(memory.rows(), 11) << "a smaller one only slowly";
  for (int i = 0; i < 100; ++i) memory.Record(10, 990);
  EXPECT_NEAR(static_cast<double>(memory.rows()), 100, 10);
}

}  // namespace
}  // namespace penstock::batch
