// SPDX-License-Identifier: Apache-2.0
#include "tables/table_builder.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "tables/table_fixture.h"
#include "tables/table_loader.h"
#include "tables/text_fields.h"

namespace penstock::tables {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class TableBuilderTest : public TableFixture {
 protected:
  StatusOr<BuildResult> Build(std::string_view text, BuildOptions options = {},
                              std::string_view name = "rows.csv") {
    options.input = folder_.Write(name, text);
    options.output = folder_ / "m/1";
    std::filesystem::remove_all(options.output);
    return BuildTable(options, [this](const BuildProgress& progress) { last_ = progress; });
  }
  std::string ErrorOf(std::string_view text, const BuildOptions& options = {}) {
    const std::string error = Build(text, options).status().ToString();
    EXPECT_FALSE(std::filesystem::exists(folder_ / "m/1"));
    EXPECT_FALSE(std::filesystem::exists(folder_ / "m/.1.building"));
    return error;
  }
  // The elements of the rows of these keys, one row behind the other.
  std::vector<float> Ask(Tensor keys) {
    const auto model = OpenTable(folder_ / "m/1", {}, stop_);
    EXPECT_TRUE(model.ok()) << model.status();
    if (!model.ok()) return {};
    InferRequest request;
    request.inputs.push_back({"keys", std::move(keys)});
    request.output_filter = {"rows"};
    std::vector<float> values;
    (*model)->Run(request, [&](InferResponse&& part) {
      const auto rows = part.outputs[0].tensor.as<float>();
      values.assign(rows.begin(), rows.end());
    });
    return values;
  }

  BuildProgress last_;
};

TEST_F(TableBuilderTest, ReadsCsv) {
  const auto result = Build("id,a,b\r\n7,1.5,-2\r\n8, +3 ,1e2\n\n", {.default_value = 0.5});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->rows, 2U);
  EXPECT_EQ(result->dimension, 2U);
  EXPECT_THAT(Ask(KeysOf(std::vector<int64_t>{8, 7, 9})), ElementsAre(3, 100, 1.5, -2, 0.5, 0.5));
  EXPECT_TRUE(std::filesystem::exists(folder_ / "m/1/key.index"));
  EXPECT_THAT(folder_.Read("m/1/table.json"), HasSubstr(R"("key": "crc32c:)"));
  EXPECT_TRUE(last_.makes_index);
  EXPECT_EQ(last_.rows, 2U);
}

TEST_F(TableBuilderTest, ReadsWordVectors) {
  const auto result = Build("the 0.1 0.2\nof  0.3 0.4 \n", {.key_type = KeyType::kString}, "v.txt");
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(Ask(KeysOf(std::vector<std::string_view>{"of"})), ElementsAre(0.3F, 0.4F));
}

TEST_F(TableBuilderTest, ReadsQuotedKeys) {
  const auto result = Build("\"a,b\",1\n\"say \"\"hi\"\"\",2\n", {.key_type = KeyType::kString});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(Ask(KeysOf(std::vector<std::string_view>{"say \"hi\"", "a,b"})), ElementsAre(2, 1));
}

TEST_F(TableBuilderTest, ReadsDenseRows) {
  ASSERT_TRUE(Build("1\t2\n3\t4\n", {.key_type = KeyType::kDense}, "rows.tsv").ok());
  EXPECT_THAT(Ask(KeysOf(std::vector<int64_t>{1})), ElementsAre(3, 4));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "m/1/key"));
}

TEST_F(TableBuilderTest, TakesTheKeysOfOneShard) {
  std::string text;
  for (int key = 0; key < 100; ++key) text += fmt::format("{},{}\n", key, key);
  uint64_t rows = 0;
  for (uint32_t index = 0; index < 3; ++index) {
    const auto result = Build(text, {.shard = {.index = index, .count = 3}});
    ASSERT_TRUE(result.ok()) << result.status();
    rows += result->rows;
  }
  EXPECT_EQ(rows, 100U);
}

TEST_F(TableBuilderTest, NamesTheLineThatIsWrong) {
  EXPECT_THAT(ErrorOf("1,2\n2,x\n"), HasSubstr("rows.csv, line 2: 'x' in field 2 is no float32"));
  EXPECT_THAT(ErrorOf("1,2\n2,3,4\n"), HasSubstr("line 2: it has 2 numbers; the lines before"));
  EXPECT_THAT(ErrorOf("1,2\nx,3\n"), HasSubstr("line 2: the key 'x' is no int64; --key_type"));
  EXPECT_THAT(ErrorOf("1;2\n"), HasSubstr("is the delimiter right?"));
  EXPECT_THAT(ErrorOf("\"1,2\n"), HasSubstr("line 1: a quote is not closed"));
  EXPECT_THAT(ErrorOf("1,2\n1,3\n"),
              HasSubstr("rows.csv: the key 1 is there twice, in rows 0 and 1 (rows are counted"));
  EXPECT_THAT(ErrorOf("1,300\n", {.dtype = DType::kUint8}), HasSubstr("'300' in field 2 is no"));
  EXPECT_THAT(ErrorOf("a,b\n"), HasSubstr("has no rows"));
  EXPECT_THAT(ErrorOf("1,2\n", {.dtype = DType::kBool}), HasSubstr("cannot be made from text"));
}

TEST_F(TableBuilderTest, ABrokenFirstRowIsNoHeader) {
  EXPECT_THAT(ErrorOf("1,abc,0\n2,2,3\n"), HasSubstr("rows.csv, line 1: 'abc' in field 2 is no"));
}

TEST_F(TableBuilderTest, AnErrorLeavesNoFoldersThatWereMadeForIt) {
  BuildOptions options{.input = folder_.Write("rows.csv", "1,2\n1,3\n"),
                       .output = folder_ / "new/m/1"};
  EXPECT_FALSE(BuildTable(options, [](const BuildProgress&) {}).ok());
  EXPECT_FALSE(std::filesystem::exists(folder_ / "new"));
  std::filesystem::create_directories(folder_ / "old");
  options.output = folder_ / "old/m/1";
  EXPECT_FALSE(BuildTable(options, [](const BuildProgress&) {}).ok());
  EXPECT_TRUE(std::filesystem::is_empty(folder_ / "old"));
  options.input = folder_.Write("right.csv", "1,2\n");
  EXPECT_TRUE(BuildTable(options, [](const BuildProgress&) {}).ok());
  EXPECT_TRUE(std::filesystem::exists(folder_ / "old/m/1/table.json"));
}

TEST_F(TableBuilderTest, ReplacesNothing) {
  ASSERT_TRUE(Build("1,2\n").ok());
  BuildOptions options{.input = folder_ / "rows.csv", .output = folder_ / "m/1"};
  EXPECT_EQ(BuildTable(options, [](const BuildProgress&) {}).status().code(),
            StatusCode::kFailedPrecondition);
  options.output = folder_ / "m/2/";
  EXPECT_TRUE(BuildTable(options, [](const BuildProgress&) {}).ok());
  EXPECT_TRUE(std::filesystem::exists(folder_ / "m/2/table.json"));
  options.input = folder_.Write("rows.dat", "1,2\n");
  options.output = folder_ / "m/3";
  EXPECT_THAT(BuildTable(options, [](const BuildProgress&) {}).status().ToString(),
              HasSubstr("so say --delimiter"));
}

}  // namespace
}  // namespace penstock::tables
