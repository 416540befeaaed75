// SPDX-License-Identifier: Apache-2.0
#include "tables/push/source_parts.h"

#include <gmock/gmock.h>

#include <numeric>

#include "tables/table_fixture.h"

namespace penstock::tables {
namespace {

using testing::HasSubstr;

class SourcePartsTest : public TableFixture {
 protected:
  StatusOr<SourceParts> Make(const PartOptions& options = {}) {
    const Manifest manifest = ReadManifest(folder_.path()).value();
    return SourceParts::Make(MmapStore::Open(folder_.path(), manifest, stop_).value(), options);
  }
};

TEST_F(SourcePartsTest, HashesAreBelowAMegabyte) {
  std::vector<int64_t> keys(40);
  std::iota(keys.begin(), keys.end(), 100);
  const int dimension = 16 << 10;  // 64 KiB a row
  WriteHps(keys, dimension);
  WriteManifest(fmt::format(R"({{"dimension": {}}})", dimension));
  const StatusOr<SourceParts> parts = Make();
  uint64_t rows = 0;
  for (uint64_t part = 0; part < parts->parts(); ++part) {
    EXPECT_LE(parts->BytesOf(part), 1U << 20);
    rows += parts->RowsOf(part);
  }
  EXPECT_EQ(rows, 40U);
}

TEST_F(SourcePartsTest, BlocksAreARowSmallerThanAPowerOfTwo) {
  folder_.Write("emb_vector", std::string(256 * 2000, 'x'));
  WriteManifest(R"({"key_type": "dense", "dimension": 64})");
  const StatusOr<SourceParts> parts = Make();
  EXPECT_EQ(parts->block_rows(), 1023U);
  EXPECT_EQ(parts->parts(), 2U);
  EXPECT_EQ(parts->RowsOf(1), 977U);
  PartOptions options;
  options.partitions = 3;
  EXPECT_EQ(Make(options).status().code(), StatusCode::kInvalidArgument);
}

TEST_F(SourcePartsTest, ATableWithoutRowsHasOneHash) {
  WriteHps({});
  WriteManifest(R"({"dimension": 2})");
  StatusOr<SourceParts> parts = Make();
  ASSERT_EQ(parts.status(), OkStatus());
  EXPECT_EQ(parts->parts(), 1U);
  EXPECT_EQ(parts->OrderFrom(0), 1U);
  std::string command;
  EXPECT_EQ(parts->AppendWrite(0, "k", 60, command).rows, 0U);
  EXPECT_THAT(command, HasSubstr("HSET"));
}

}  // namespace
}  // namespace penstock::tables
