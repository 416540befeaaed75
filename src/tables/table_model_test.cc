// SPDX-License-Identifier: Apache-2.0
#include "tables/table_model.h"

#include <gmock/gmock.h>

#include "infer/signature.h"
#include "tables/description.h"
#include "tables/key_hash.h"
#include "tables/table_fixture.h"
#include "tables/table_loader.h"

namespace penstock::tables {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class TableModelTest : public TableFixture {
 protected:
  StatusOr<std::unique_ptr<Model>> Open() {
    return OpenTable(folder_.path(), {.id = {"t", {1}}, .default_row = {}, .metrics = &metrics_},
                     stop_);
  }
  std::string ErrorOfOpen() { return Open().status().ToString(); }

  // Runs the model once, and keeps its answer.
  void Ask(Tensor keys, OutputFilter outputs = {}, std::string_view signature = {},
           NamedTensors more = {}) {
    StatusOr<std::unique_ptr<Model>> model = Open();
    ASSERT_TRUE(model.ok()) << model.status();
    InferRequest request;
    request.inputs.push_back({"keys", std::move(keys)});
    std::ranges::copy(more, std::back_inserter(request.inputs));
    request.signature_name = signature;
    request.output_filter = std::move(outputs);
    answer_ = {};
    ASSERT_TRUE(CheckRequest((*model)->info(), request).ok());
    (*model)->Run(request, [&](InferResponse&& part) { answer_ = std::move(part); });
    metrics_text_ = metrics_.Text();
  }
  const Tensor& Output(std::string_view name) {
    for (const NamedTensor& output : answer_.outputs) {
      if (output.name == name) return output.tensor;
    }
    ADD_FAILURE() << "there is no output " << name << ": " << answer_.status;
    static const Tensor none;
    return none;
  }
  template <typename T>
  std::vector<T> Values(std::string_view name) {
    const auto values = Output(name).as<T>();
    return {values.begin(), values.end()};
  }

  MetricsRegistry metrics_;
  InferResponse answer_;
  std::string metrics_text_;
};

TEST_F(TableModelTest, AnswersKeysWithRows) {
  WriteHps({7, 8, 9});
  Ask(KeysOf(std::vector<int64_t>{9, 7, 1, 9}));
  EXPECT_THAT(Values<float>("rows"), ElementsAre(20, 21, 0, 1, 0, 0, 20, 21));
  EXPECT_THAT(Values<bool>("found"), ElementsAre(true, true, false, true));
  EXPECT_EQ(Output("rows").shape(), (Shape{4, 2}));
  EXPECT_THAT(metrics_text_, HasSubstr(R"(version="1",result="hit"} 3)"));
  EXPECT_THAT(metrics_text_, HasSubstr(R"(version="1",result="miss"} 1)"));
  EXPECT_THAT(metrics_text_, HasSubstr(R"(version="1",result="default"} 0)"));
  EXPECT_THAT(metrics_text_,
              HasSubstr(R"(penstock_table_rows{model_name="t",model_version="1"} 3)"));
}

TEST_F(TableModelTest, RowsHaveTheShapeOfTheKeys) {
  WriteHps({7, 8, 9});
  Tensor keys = *Tensor::Allocate(DType::kInt64, {2, 1});
  keys.mutable_as<int64_t>()[0] = 8;
  keys.mutable_as<int64_t>()[1] = 7;
  Ask(keys, {"rows"});
  EXPECT_EQ(answer_.outputs.size(), 1U);
  EXPECT_EQ(Output("rows").shape(), (Shape{2, 1, 2}));
  Tensor scalar = *Tensor::Allocate(DType::kInt64, {});
  scalar.mutable_as<int64_t>()[0] = 8;
  Ask(scalar);
  EXPECT_EQ(Output("rows").shape(), Shape{2});
  EXPECT_EQ(Output("found").shape(), Shape{});
  Ask(KeysOf(std::vector<int64_t>{}));
  EXPECT_EQ(Output("rows").shape(), (Shape{0, 2}));
}

TEST_F(TableModelTest, GivesTheDefaultRow) {
  WriteHps({7});
  WriteManifest(R"({"dimension": 2, "default_row": [0.5, -1]})");
  Ask(KeysOf(std::vector<int64_t>{1, 7}));
  EXPECT_THAT(Values<float>("rows"), ElementsAre(0.5, -1, 0, 1));
  EXPECT_THAT(Values<bool>("found"), ElementsAre(false, true));
  EXPECT_THAT(metrics_text_, HasSubstr(R"(version="1",result="default"} 1)"));
  WriteManifest(R"({"dimension": 2, "default_row": [1, 2, 3]})");
  EXPECT_THAT(ErrorOfOpen(), HasSubstr("table.json: 'default_row' has 3 numbers; rows have 2"));
}

TEST_F(TableModelTest, GivesItsDescription) {
  WriteHps({7, 8, 9});
  WriteManifest(R"({"key_type": "dense", "dimension": 2, "default_row": [0.5, -1],
                    "shard": {"index": 1, "count": 3, "hash": "mix64"}})");
  const std::unique_ptr<Model> model = *Open();
  InferRequest request;
  request.signature_name = kTableSignature;
  ASSERT_TRUE(CheckRequest(model->info(), request).ok());
  model->Run(request, [&](InferResponse&& part) { answer_ = std::move(part); });
  const Signature& signature = *model->info().FindSignature(kTableSignature);
  ASSERT_EQ(answer_.outputs.size(), signature.outputs.size());
  for (size_t i = 0; i < answer_.outputs.size(); ++i) {
    EXPECT_EQ(answer_.outputs[i].name, signature.outputs[i].name);
    EXPECT_EQ(answer_.outputs[i].tensor.dtype(), signature.outputs[i].dtype);
  }
  const StatusOr<TableDescription> table = ReadDescription(answer_.outputs);
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_EQ(table->key_type, KeyType::kDense);
  EXPECT_EQ(table->dtype, DType::kFloat32);
  EXPECT_EQ(table->dimension, 2U);
  EXPECT_EQ(table->rows, 3U);
  EXPECT_EQ(table->shard, (Shard{1, 3}));
  EXPECT_EQ(table->default_row, BytesOf<float>({0.5, -1}));
  // Only what is wanted.
  request.output_filter = {"shard"};
  model->Run(request, [&](InferResponse&& part) { answer_ = std::move(part); });
  ASSERT_EQ(answer_.outputs.size(), 1U);
  EXPECT_THAT(Values<int64_t>("shard"), ElementsAre(1, 3));
  EXPECT_THAT(ReadDescription(answer_.outputs).status().ToString(),
              HasSubstr("no output 'key_type'"));
}

TEST_F(TableModelTest, AWrongDescriptionIsRefused) {
  const TableDescription good{.dimension = 2, .shard = {1, 3}, .default_row = std::string(8, 'x')};
  const auto error = [&](std::string_view output, Tensor tensor) {
    NamedTensors outputs = *WriteDescription(good);
    std::ranges::find(outputs, output, &NamedTensor::name)->tensor = std::move(tensor);
    return ReadDescription(outputs).status().ToString();
  };
  EXPECT_TRUE(ReadDescription(*WriteDescription(good)).ok());
  EXPECT_THAT(error("shard", KeysOf(std::vector<int64_t>{3, 3})), HasSubstr("shard 3 of 3"));
  EXPECT_THAT(error("shard", KeysOf(std::vector<int64_t>{-1, 3})), HasSubstr("'shard' is -1"));
  EXPECT_THAT(error("shard", KeysOf(std::vector<int64_t>{1})), HasSubstr("and 1 elements"));
  EXPECT_THAT(error("dimension", KeysOf(std::vector<int64_t>{0})), HasSubstr("have 0 elements"));
  EXPECT_THAT(error("dimension", KeysOf(std::vector<int64_t>{3})), HasSubstr("default row 2"));
  EXPECT_THAT(error("hash", KeysOf({std::string_view("md5")})),
              HasSubstr("hash 'md5', not by mix"));
  EXPECT_THAT(error("key_type", KeysOf({std::string_view("x")})),
              HasSubstr("'x', which is unknown"));
  EXPECT_THAT(error("default_row", KeysOf({std::string_view("x")})), HasSubstr("of type string"));
}

TEST_F(TableModelTest, ManyKeysTakeSeveralChunks) {
  std::vector<int64_t> keys;
  for (int64_t i = 0; i < 1000; ++i) keys.push_back(i * i);
  WriteHps(keys);
  Ask(KeysOf(keys));
  const std::span<const float> rows = Output("rows").as<float>();
  for (size_t i = 0; i < keys.size(); ++i) ASSERT_EQ(rows[2 * i], static_cast<float>(10 * i));
}

TEST_F(TableModelTest, ServesDenseKeysFromNumpysFile) {
  folder_.Write("rows.npy", NpyFile("<i2", "(3, 2)", BytesOf<int16_t>({1, 2, 3, 4, 5, 6})));
  WriteManifest(R"({"key_type": "dense"})");
  Ask(KeysOf(std::vector<int64_t>{2, -1, 3, 0}));
  EXPECT_THAT(Values<int16_t>("rows"), ElementsAre(5, 6, 0, 0, 0, 0, 1, 2));
  EXPECT_THAT(Values<bool>("found"), ElementsAre(true, false, false, true));
  WriteManifest(R"({"key_type": "dense", "dimension": 3})");
  EXPECT_THAT(ErrorOfOpen(), HasSubstr("has rows of 2 elements, but table.json says 3"));
  WriteManifest(R"({"key_type": "dense", "dtype": "float32"})");
  EXPECT_THAT(ErrorOfOpen(), HasSubstr("has elements of type int16, but table.json says float32"));
}

TEST_F(TableModelTest, IndicesCountFromBothEnds) {
  WriteHps({0, 1, 2});
  WriteManifest(R"({"key_type": "dense", "dimension": 2, "indices": "int32"})");
  Tensor keys = *Tensor::Allocate(DType::kInt32, {2, 2});
  const std::vector<int32_t> indices = {-1, 2, -3, 1};
  std::ranges::copy(indices, keys.mutable_as<int32_t>().begin());
  Ask(keys);
  EXPECT_THAT(Values<float>("rows"), ElementsAre(20, 21, 20, 21, 0, 1, 10, 11));
  EXPECT_EQ(Output("rows").shape(), (Shape{2, 2, 2}));
  for (const int32_t wrong : {3, -4, INT32_MIN}) {
    keys.mutable_as<int32_t>()[1] = wrong;
    Ask(keys);
    EXPECT_THAT(answer_.status.ToString(),
                HasSubstr("at position 1 of 'keys' is outside of the table; its 3 rows have the "
                          "indices -3 to 2"));
  }
  WriteManifest(R"({"key_type": "dense", "dimension": 2, "indices": "int64"})");
  Ask(KeysOf(std::vector<int64_t>{-2}));
  EXPECT_THAT(Values<float>("rows"), ElementsAre(10, 11));
  for (const std::string_view more :
       {R"("key_type": "int64")", R"("key_type": "dense", "default_row": 0)",
        R"("key_type": "dense", "shard": {"index": 0, "count": 2})"}) {
    WriteManifest(fmt::format(R"({{"dimension": 2, "indices": "int64", {}}})", more));
    EXPECT_THAT(ErrorOfOpen(), HasSubstr("a table with 'indices' has the 'key_type' dense"));
  }
  WriteManifest(R"({"key_type": "dense", "dimension": 2, "indices": "float32"})");
  EXPECT_THAT(ErrorOfOpen(), HasSubstr("'indices' is 'float32'; it must be int32 or int64"));
}

TEST_F(TableModelTest, ServesKeysFromNumpysFile) {
  folder_.Write("keys.npy", NpyFile("<i8", "(2,)", BytesOf<int64_t>({40, 50})));
  folder_.Write("rows.npy", NpyFile("<f4", "(2,)", BytesOf<float>({4, 5})));
  WriteManifest("{}");
  Ask(KeysOf(std::vector<int64_t>{50}));
  EXPECT_THAT(Values<float>("rows"), ElementsAre(5));
  EXPECT_EQ(Output("rows").shape(), (Shape{1, 1}));
}

TEST_F(TableModelTest, ServesStringKeys) {
  folder_.Write("keys.txt", "red\ngreen\n");
  folder_.Write("emb_vector", BytesOf<float>({1, 2}));
  WriteManifest(R"({"key_type": "string", "dimension": 1})");
  Ask(KeysOf(std::vector<std::string_view>{"green", "blue"}));
  EXPECT_THAT(Values<float>("rows"), ElementsAre(2, 0));
}

TEST_F(TableModelTest, AKeyOfAnotherShardIsNoMiss) {
  // Of the shard 1 of 2.
  std::vector<int64_t> keys;
  for (int64_t key = 0; keys.size() < 3; ++key) {
    if (HashKey(key) % 2 == 1) keys.push_back(key);
  }
  WriteHps({keys[0], keys[1]});
  WriteManifest(R"({"dimension": 2, "shard": {"index": 1, "count": 2, "hash": "mix64"}})");
  Ask(KeysOf(std::vector<int64_t>{keys[2], keys[1]}));
  EXPECT_THAT(Values<bool>("found"), ElementsAre(false, true));
  int64_t other = 0;
  while (HashKey(other) % 2 == 1) ++other;
  Ask(KeysOf(std::vector<int64_t>{keys[0], other}));
  EXPECT_THAT(answer_.status.ToString(),
              HasSubstr("the key at position 1 belongs to shard 0 of the table; this is 1"));
}

TEST_F(TableModelTest, DenseShardsTakeTurns) {
  folder_.Write("emb_vector", BytesOf<float>({1, 4, 7}));
  WriteManifest(R"({"key_type": "dense", "dimension": 1,
                    "shard": {"index": 1, "count": 3, "hash": "modulo"}})");
  Ask(KeysOf(std::vector<int64_t>{7, 1, 10}));
  EXPECT_THAT(Values<float>("rows"), ElementsAre(7, 1, 0));
}

TEST_F(TableModelTest, SaysWhichFileIsNotWhole) {
  WriteHps({7, 8, 9});
  WriteManifest(R"({"dimension": 2})");
  folder_.Write("emb_vector", folder_.Read("emb_vector").substr(0, 20));
  EXPECT_THAT(ErrorOfOpen(), HasSubstr("emb_vector has 20 bytes of rows, but 3 rows of 2 float32 "
                                       "elements have 24: the copy may not be complete"));
  folder_.Write("key", "123");
  EXPECT_THAT(ErrorOfOpen(), HasSubstr("key has 3 bytes, which are no whole number"));
  folder_.Write("rows.npy", NpyFile("<f4", "(2, 2)", "1234"));
  WriteManifest(R"({"key_type": "dense", "rows": "rows.npy"})");
  EXPECT_THAT(ErrorOfOpen(), HasSubstr("rows.npy has 4 bytes of elements, but its shape is [2,2]"));
  WriteManifest(R"({"key_type": "dense", "rows": "emb_vector"})");
  EXPECT_THAT(ErrorOfOpen(), HasSubstr("table.json must say the 'dimension'"));
  WriteManifest(R"({"key_type": "dense", "rows": "nothing"})");
  EXPECT_THAT(ErrorOfOpen(), HasSubstr("nothing: No such file"));
  WriteManifest(R"({"key_type": "dense", "rows": "subfolder"})");
  folder_.Make("subfolder");
  EXPECT_THAT(ErrorOfOpen(), HasSubstr("subfolder is no regular file"));
}

TEST_F(TableModelTest, PoolsRows) {
  WriteHps({7, 8, 9});  // {0, 1}, {10, 11}, {20, 21}
  const std::vector<int64_t> keys = {7, 8, 9, 1, 9};
  Ask(KeysOf(keys), {"pooled"}, "sum", {{"row_lengths", KeysOf(std::vector<int64_t>{2, 0, 3})}});
  EXPECT_EQ(Output("pooled").shape(), (Shape{3, 2}));
  EXPECT_THAT(Values<float>("pooled"), ElementsAre(10, 12, 0, 0, 40, 42));
  // The key 1 is missing, so it does not count.
  Ask(KeysOf(keys), {"pooled"}, "mean", {{"row_lengths", KeysOf(std::vector<int64_t>{2, 0, 3})}});
  EXPECT_THAT(Values<float>("pooled"), ElementsAre(5, 6, 0, 0, 20, 21));
  Tensor weights = *Tensor::Allocate(DType::kFloat32, {5});
  std::ranges::copy(std::vector<float>{1, 3, 0.5, 9, 0.5}, weights.mutable_as<float>().begin());
  Ask(KeysOf(keys), {"pooled", "found"}, "mean", {{"weights", weights}});
  EXPECT_EQ(Output("pooled").shape(), Shape{2});
  EXPECT_THAT(Values<float>("pooled"), ElementsAre((30 + 20) / 5.0F, (1 * 1 + 33 + 21) / 5.0F));
  EXPECT_EQ(Output("found").shape(), Shape{5});
}

TEST_F(TableModelTest, DefaultRowsCountInAMean) {
  WriteHps({7});
  WriteManifest(R"({"dimension": 2, "default_row": 4})");
  Ask(KeysOf(std::vector<int64_t>{7, 1}), {"pooled"}, "mean");
  EXPECT_THAT(Values<float>("pooled"), ElementsAre(2, 2.5));
}

TEST_F(TableModelTest, PoolsLongRowsOfShortTypes) {
  const std::vector<uint16_t> rows(40, 0x3C00);  // 1 as float16
  folder_.Write("emb_vector", BytesOf(rows));
  WriteManifest(R"({"key_type": "dense", "dtype": "float16", "dimension": 20})");
  Ask(KeysOf(std::vector<int64_t>{0, 1, 1}), {"pooled"}, "sum");
  EXPECT_EQ(Values<float>("pooled"), std::vector<float>(20, 3));
}

TEST_F(TableModelTest, GivesRaggedRows) {
  WriteHps({7, 8});
  Ask(KeysOf(std::vector<int64_t>{8, 7, 8}), {}, "ragged",
      {{"row_lengths", KeysOf(std::vector<int64_t>{1, 0, 2})}});
  EXPECT_THAT(Values<int64_t>("row_splits"), ElementsAre(0, 1, 1, 3));
  EXPECT_THAT(Values<float>("rows"), ElementsAre(10, 11, 0, 1, 10, 11));
}

// The rows of so many keys are pooled part by part, and groups reach over the borders of parts.
TEST_F(TableModelTest, PoolsManyKeysInParts) {
  std::vector<int64_t> keys(5000);
  for (size_t i = 0; i < keys.size(); ++i) keys[i] = static_cast<int64_t>(i % 2);
  WriteHps({0, 1});  // {0, 1} and {10, 11}
  const std::vector<int64_t> lengths = {1000, 0, 1048, 2900, 51, 1, 0};
  for (const std::string_view signature : {"sum", "mean"}) {
    Ask(KeysOf(keys), {"found", "pooled"}, signature, {{"row_lengths", KeysOf(lengths)}});
    EXPECT_EQ(Values<bool>("found"), std::vector<bool>(5000, true));
    std::vector<float> pooled;
    int64_t first = 0;
    for (const int64_t length : lengths) {
      const int64_t ones = (first + length) / 2 - first / 2;
      const auto divisor = signature == "sum" || length == 0 ? 1.0F : static_cast<float>(length);
      pooled.push_back(static_cast<float>(10 * ones) / divisor);
      pooled.push_back(static_cast<float>(10 * ones + length) / divisor);
      first += length;
    }
    const std::vector<float> values = Values<float>("pooled");
    ASSERT_EQ(values.size(), pooled.size());
    for (size_t i = 0; i < pooled.size(); ++i) EXPECT_FLOAT_EQ(values[i], pooled[i]) << i;
  }
}

TEST_F(TableModelTest, RefusesGroupsThatDoNotFit) {
  WriteHps({7, 8});
  const auto error_of = [&](Tensor keys, NamedTensors more) {
    Ask(std::move(keys), {}, "sum", std::move(more));
    return answer_.status.ToString();
  };
  const Tensor keys = KeysOf(std::vector<int64_t>{7, 8});
  EXPECT_THAT(error_of(keys, {{"row_lengths", KeysOf(std::vector<int64_t>{1, 2})}}),
              HasSubstr("do not add up to the 2 keys"));
  EXPECT_THAT(error_of(keys, {{"row_lengths", KeysOf(std::vector<int64_t>{3, -1})}}),
              HasSubstr("do not add up"));
  EXPECT_THAT(error_of(keys, {{"row_lengths", KeysOf(std::vector<int64_t>{-1, 3})}}),
              HasSubstr("has the length -1"));
  EXPECT_THAT(error_of(keys, {{"weights", *Tensor::Allocate(DType::kFloat32, {3})}}),
              HasSubstr("has 3 elements, but there are 2 keys"));
  EXPECT_THAT(error_of(*Tensor::Allocate(DType::kInt64, {}), {}), HasSubstr("has no dimension"));
}

TEST_F(TableModelTest, AVocabularyGivesIdsAndWords) {
  folder_.Write("keys.txt", "red\ngreen\n");
  WriteManifest(R"({"key_type": "vocabulary"})");
  Ask(KeysOf(std::vector<std::string_view>{"green", "blue", "red"}));
  EXPECT_THAT(Values<int64_t>("ids"), ElementsAre(1, -1, 0));
  EXPECT_THAT(Values<bool>("found"), ElementsAre(true, false, true));
  const auto model = Open();
  ASSERT_TRUE(model.ok());
  InferRequest request;
  request.signature_name = "strings";
  request.inputs.push_back({"ids", KeysOf(std::vector<int64_t>{1, 2, -1, 0})});
  ASSERT_TRUE(CheckRequest((*model)->info(), request).ok());
  (*model)->Run(request, [&](InferResponse&& part) { answer_ = std::move(part); });
  EXPECT_THAT(Values<bool>("found"), ElementsAre(true, false, false, true));
  std::vector<std::string_view> words;
  for (const StringElement& word : Output("keys").strings()) words.push_back(word.view());
  EXPECT_THAT(words, ElementsAre("green", "", "", "red"));
  WriteManifest(R"({"key_type": "vocabulary", "default_row": 7})");
  Ask(KeysOf(std::vector<std::string_view>{"blue"}));
  EXPECT_THAT(Values<int64_t>("ids"), ElementsAre(7));
  WriteManifest(R"({"key_type": "vocabulary", "default_row": 0.5})");
  EXPECT_THAT(ErrorOfOpen(), HasSubstr("must be one whole number"));
}

TEST_F(TableModelTest, AVocabularyOfWindowsIsNoted) {
  WriteManifest(R"({"key_type": "vocabulary"})");
  folder_.Write("keys.txt", "red\ngreen\r\n");
  EXPECT_THAT((*Open())->info().notes, ElementsAre("a vocabulary of 2 words"));
  folder_.Write("keys.txt", "red\r\ngreen\r\n");
  EXPECT_THAT((*Open())->info().notes,
              ElementsAre("a vocabulary of 2 words", HasSubstr("end with a carriage return")));
}

TEST_F(TableModelTest, DescribesItself) {
  WriteHps({7, 8, 9});
  EXPECT_EQ((*Open())->info().platform, "table");
  EXPECT_THAT((*Open())->info().notes, ElementsAre("a table of 3 rows of 2 float32 elements, with "
                                                   "int64 keys"));
}

}  // namespace
}  // namespace penstock::tables
