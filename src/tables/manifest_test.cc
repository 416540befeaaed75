// SPDX-License-Identifier: Apache-2.0
#include "tables/manifest.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "tables/table_fixture.h"

namespace penstock::tables {
namespace {

using testing::HasSubstr;

class ManifestTest : public TableFixture {
 protected:
  static std::string ErrorOf(std::string_view json) {
    const StatusOr<Manifest> manifest = ParseManifest(json);
    if (manifest.ok()) return "no error";
    EXPECT_EQ(manifest.status().code(), StatusCode::kInvalidArgument);
    return std::string(MessageOf(manifest.status()));
  }
};

TEST_F(ManifestTest, ReadsAllMembers) {
  const StatusOr<Manifest> manifest = ParseManifest(R"({
    "format": 1, "key_type": "string", "dtype": "int8", "dimension": 3, "keys": "words.txt",
    "rows": "rows.bin", "default_row": [1, -2, 3], "shard": {"index": 1, "count": 4},
    "checksums": {"rows.bin": "crc32c:e3069283"}})");
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_EQ(manifest->key_type, KeyType::kString);
  EXPECT_EQ(manifest->dtype, DType::kInt8);
  EXPECT_EQ(manifest->dimension, 3U);
  EXPECT_EQ(manifest->keys_file, "words.txt");
  EXPECT_EQ(manifest->rows_file, "rows.bin");
  EXPECT_EQ(manifest->shard, (Shard{.index = 1, .count = 4}));
  EXPECT_EQ(manifest->checksums.at("rows.bin"), 0xE3069283U);
  EXPECT_EQ(*MakeRow(manifest->default_row, DType::kInt8, 3), "\x01\xFE\x03");
}

TEST_F(ManifestTest, SaysWhatIsWrong) {
  EXPECT_THAT(ErrorOf("{"), HasSubstr("it is no JSON"));
  EXPECT_THAT(ErrorOf("[]"), HasSubstr("it is no JSON object"));
  EXPECT_THAT(ErrorOf(R"({"dimensions": 2})"), HasSubstr("did you mean 'dimension'?"));
  EXPECT_THAT(ErrorOf(R"({"dimension": 2, "dimension": 2})"), HasSubstr("is there twice"));
  EXPECT_THAT(ErrorOf(R"({"dimension": 0})"), HasSubstr("from 1 to 1048576"));
  EXPECT_THAT(ErrorOf(R"({"dimension": 2.5})"), HasSubstr("must be a whole number"));
  EXPECT_THAT(ErrorOf(R"({"key_type": "int32"})"), HasSubstr("must be int64, string, dense or"));
  EXPECT_THAT(ErrorOf(R"({"dtype": "string"})"), HasSubstr("which rows cannot have"));
  EXPECT_THAT(ErrorOf(R"({"cache_bytes": -1})"), HasSubstr("from 0 to"));
  EXPECT_THAT(ErrorOf(R"({"format": 2})"), HasSubstr("from 1 to 1"));
  EXPECT_THAT(ErrorOf(R"({"default_row": []})"), HasSubstr("has no numbers"));
  EXPECT_THAT(ErrorOf(R"({"default_row": "0"})"), HasSubstr("must be a number"));
  EXPECT_THAT(ErrorOf(R"({"shard": {"index": 0}})"), HasSubstr("'index' and 'count'"));
  EXPECT_THAT(ErrorOf(R"({"shard": {"index": 4, "count": 4}})"), HasSubstr("only 4 shards"));
  EXPECT_THAT(ErrorOf(R"({"shard": {"index": 0, "count": 1, "hash": "md5"}})"), HasSubstr("mix64"));
  EXPECT_THAT(ErrorOf(R"({"checksums": {"key": "crc32c:12"}})"), HasSubstr("8 hexadecimal digits"));
}

TEST_F(ManifestTest, FilesAreInTheFolder) {
  for (const std::string_view name : {"", ".", "..", "../key", "/etc/passwd", "a/b", "a\\u0000b"}) {
    EXPECT_THAT(ErrorOf(fmt::format(R"({{"keys": "{}"}})", name)),
                HasSubstr("must be the name of a file in the folder"));
  }
}

TEST_F(ManifestTest, DefaultRowsFitTheType) {
  const std::vector<RowValue> half = {{.number = 0.5, .whole = {}}};
  EXPECT_EQ(*MakeRow(half, DType::kFloat32, 2), BytesOf<float>({0.5F, 0.5F}));
  EXPECT_THAT(MakeRow(half, DType::kInt32, 2).status().ToString(),
              HasSubstr("0.5, which cannot be an element of type int32"));
  const std::vector<RowValue> large = {{.number = 300, .whole = 300}};
  EXPECT_FALSE(MakeRow(large, DType::kUint8, 1).ok());
  EXPECT_FALSE(MakeRow({{.number = 1e300, .whole = {}}}, DType::kFloat32, 1).ok());
  EXPECT_THAT(MakeRow({half[0], half[0]}, DType::kFloat32, 3).status().ToString(),
              HasSubstr("has 2 numbers; rows have 3"));
}

TEST_F(ManifestTest, RecognisesFolders) {
  EXPECT_FALSE(IsTableFolder(folder_.path()));
  EXPECT_EQ(ReadManifest(folder_.path()).status().code(), StatusCode::kNotFound);
  WriteHps({1});
  EXPECT_TRUE(IsTableFolder(folder_.path()));
  const StatusOr<Manifest> hps = ReadManifest(folder_.path());
  ASSERT_TRUE(hps.ok()) << hps.status();
  EXPECT_EQ(hps->key_type, KeyType::kInt64);
  EXPECT_EQ(hps->keys_file, "key");
  EXPECT_EQ(hps->rows_file, "emb_vector");
  std::filesystem::remove(folder_ / "emb_vector");
  EXPECT_FALSE(IsTableFolder(folder_.path()));
  std::filesystem::remove(folder_ / "key");
  folder_.Write("keys.npy", "");
  EXPECT_FALSE(IsTableFolder(folder_.path()));
  folder_.Write("rows.npy", "");
  EXPECT_TRUE(IsTableFolder(folder_.path()));
  const StatusOr<Manifest> numpy = ReadManifest(folder_.path());
  ASSERT_TRUE(numpy.ok()) << numpy.status();
  EXPECT_EQ(numpy->keys_file, "keys.npy");
  EXPECT_EQ(numpy->rows_file, "rows.npy");
  WriteManifest("{}}");
  EXPECT_THAT(ReadManifest(folder_.path()).status().ToString(), HasSubstr(folder_ / "table.json"));
}

}  // namespace
}  // namespace penstock::tables
