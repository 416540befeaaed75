// SPDX-License-Identifier: Apache-2.0
#include "loading/record_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "loading/record_fake.h"

namespace penstock {
namespace {

using testing::HasSubstr;

// What the reader says of a file; "N records" if nothing is wrong with it.
std::string ReadAll(const std::string& bytes, uint64_t record_bytes_max = tfs::kLengthMax) {
  std::istringstream file(bytes);
  RecordReader reader(file, record_bytes_max);
  std::string record;
  for (int records = 0;; ++records) {
    const StatusOr<bool> more = reader.Next(record);
    if (!more.ok()) {
      EXPECT_EQ(more.status().code(), StatusCode::kDataLoss);
      return std::string(MessageOf(more.status()));
    }
    if (!*more) return fmt::format("{} records", records);
  }
}

// Made by TensorFlow's TFRecordWriter of the record "abc".
TEST(RecordReaderTest, ReadsWhatTensorFlowWrites) {
  const std::string bytes(
      "\x03\0\0\0\0\0\0\0\xb0\x99I\x0e"
      "abcnW\xf1!",
      19);
  EXPECT_EQ(bytes, FakeRecord("abc"));
  std::istringstream file(bytes);
  RecordReader reader(file);
  std::string record;
  ASSERT_TRUE(*reader.Next(record));
  EXPECT_EQ(record, "abc");
  EXPECT_FALSE(*reader.Next(record));
}

TEST(RecordReaderTest, RecordsOfAllSizes) {
  std::string bytes;
  std::vector<std::string> records;
  for (const size_t size : {0, 1, 7, 65'535, 65'536, 65'537, 400'000}) {
    records.emplace_back(size, static_cast<char>('a' + records.size()));
    bytes += FakeRecord(records.back());
  }
  std::istringstream file(bytes);
  RecordReader reader(file);
  std::string record;
  for (const std::string& expected : records) {
    ASSERT_TRUE(*reader.Next(record));
    ASSERT_EQ(record, expected);
  }
  EXPECT_FALSE(*reader.Next(record));
  EXPECT_EQ(ReadAll(""), "0 records");
}

TEST(RecordReaderTest, DetectsEveryCut) {
  const std::string two = FakeRecord("first") + FakeRecord("second");
  for (size_t size = 1; size < two.size(); ++size) {
    const std::string message = ReadAll(two.substr(0, size));
    if (size == FakeRecord("first").size()) {
      EXPECT_EQ(message, "1 records");
    } else {
      EXPECT_THAT(message, HasSubstr(fmt::format("the file ends at byte {}, in the ", size)));
    }
  }
}

TEST(RecordReaderTest, DetectsEveryChangedBit) {
  const std::string good = FakeRecord("some data");
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_THAT(ReadAll(bad), HasSubstr("checksum")) << "bit " << bit;
  }
}

TEST(RecordReaderTest, SaysWhereTheFaultIs) {
  const std::string good = FakeRecord("1234567");  // 23 bytes
  EXPECT_THAT(ReadAll(good + "this is some text that is no record"),
              HasSubstr("the checksum of the length at byte 23 is wrong"));
  std::string bad = good + good;
  bad[23 + 12] = '?';
  EXPECT_EQ(ReadAll(bad), "the checksum of the record at byte 23 is wrong: the file is damaged");
}

TEST(RecordReaderTest, RefusesImpossibleLengths) {
  EXPECT_EQ(ReadAll(FakeRecordHead(~uint64_t{0})),
            fmt::format("the record at byte 0 has {} bytes: more than {}", ~uint64_t{0},
                        tfs::kLengthMax));
  EXPECT_EQ(ReadAll(FakeRecord("12345"), 4), "the record at byte 0 has 5 bytes: more than 4");
  // As long as may be; only what is there is read.
  EXPECT_EQ(ReadAll(FakeRecordHead(tfs::kLengthMax) + "abc"),
            "the file ends at byte 15, in the data of the record at byte 0");
}

TEST(RecordReaderTest, AFileThatCannotBeRead) {
  std::istringstream file(FakeRecord("a"));
  file.setstate(std::ios::badbit);
  RecordReader reader(file);
  std::string record;
  EXPECT_EQ(MessageOf(reader.Next(record).status()), "cannot be read at byte 0");
}

}  // namespace
}  // namespace penstock
