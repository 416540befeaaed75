// SPDX-License-Identifier: Apache-2.0
// Files as numpy writes them. The e2e tests use numpy itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <string>
#include <vector>

#include "protocols/npy/npy_header.h"
#include "protocols/npy/npy_reader.h"
#include "protocols/npy/npy_writer.h"
#include "protocols/npy/zip_reader.h"
#include "protocols/npy/zip_writer.h"

namespace penstock::npy {
namespace {

using testing::HasSubstr;

std::string File(std::string_view dictionary, std::string_view data) {
  std::string file("\x93NUMPY\x01\x00", 8);
  file += {static_cast<char>(dictionary.size() & 0xFF), static_cast<char>(dictionary.size() >> 8)};
  return file.append(dictionary).append(data);
}

std::string Array(std::string_view type, std::string_view shape, std::string_view data,
                  std::string_view order = "False") {
  return File(
      fmt::format("{{'descr': '{}', 'fortran_order': {}, 'shape': {}, }}", type, order, shape),
      data);
}

StatusOr<Tensor> Read(std::string_view file, uint64_t bytes_max = 1 << 20) {
  RequestMemory memory(bytes_max);
  return ReadNpy(WholeSlice(CopyToBuffer(file)), memory);
}

std::string ErrorOf(std::string_view file) {
  const StatusOr<Tensor> tensor = Read(file);
  EXPECT_EQ(tensor.status().code(), StatusCode::kInvalidArgument);
  return std::string(MessageOf(tensor.status()));
}

template <typename T>
std::string BytesOf(std::vector<T> values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

std::vector<std::string> Strings(const Tensor& tensor) {
  std::vector<std::string> strings;
  for (const StringElement& element : tensor.strings()) strings.emplace_back(element.view());
  return strings;
}

TEST(NpyReader, AlignedNumbersAreViewedInPlace) {
  std::string file = WriteNpyHeader("<f4", Shape{2, 2});
  EXPECT_EQ(file.size() % 64, 0U);
  file += BytesOf<float>({1, 2, 3, 4});
  const Slice slice = WholeSlice(CopyToBuffer(file));
  RequestMemory memory(0);
  const StatusOr<Tensor> tensor = ReadNpy(slice, memory);
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  EXPECT_EQ(tensor->dtype(), DType::kFloat32);
  EXPECT_EQ(tensor->shape(), Shape({2, 2}));
  EXPECT_EQ(tensor->data(), slice.data + slice.size - 16);
}

TEST(NpyReader, ReadsHeadersOfAllVersions) {
  const std::string dictionary = "{'descr': \"<i4\", 'fortran_order': False, 'shape': (2L,)}\n";
  for (const char version : {'\x01', '\x02', '\x03'}) {
    std::string file = std::string("\x93NUMPY") + version + '\0';
    file += static_cast<char>(dictionary.size());
    file.append(version == 1 ? 1 : 3, '\0');
    file += dictionary + BytesOf<int32_t>({7, -8});
    const StatusOr<Tensor> tensor = Read(file);
    ASSERT_TRUE(tensor.ok()) << tensor.status();
    EXPECT_EQ(tensor->as<int32_t>()[1], -8);
  }
}

TEST(NpyReader, ReadsBigEndianNumbers) {
  const StatusOr<Tensor> numbers = Read(Array(">i2", "(2,)", std::string("\x01\x02\xFF\xFE", 4)));
  ASSERT_TRUE(numbers.ok()) << numbers.status();
  EXPECT_THAT(numbers->as<int16_t>(), testing::ElementsAre(258, -2));
  // Each part of a complex number is reversed by itself.
  const StatusOr<Tensor> complex =
      Read(Array(">c8", "()", std::string("\x3F\x80\0\0\x40\0\0\0", 8)));
  ASSERT_TRUE(complex.ok()) << complex.status();
  EXPECT_EQ(reinterpret_cast<const float*>(complex->data())[0], 1.0F);
  EXPECT_EQ(reinterpret_cast<const float*>(complex->data())[1], 2.0F);
}

TEST(NpyReader, ReadsFortranOrder) {
  // The array [[1, 2, 3], [4, 5, 6]], column by column.
  const StatusOr<Tensor> tensor =
      Read(Array("<i8", "(2, 3)", BytesOf<int64_t>({1, 4, 2, 5, 3, 6}), "True"));
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  EXPECT_THAT(tensor->as<int64_t>(), testing::ElementsAre(1, 2, 3, 4, 5, 6));
  const StatusOr<Tensor> cube =
      Read(Array("|u1", "(2, 2, 2)", std::string("\0\4\2\6\1\5\3\7", 8), "True"));
  ASSERT_TRUE(cube.ok()) << cube.status();
  EXPECT_THAT(cube->as<uint8_t>(), testing::ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
}

// With a step for each dimension of one element, 4 MB took seconds.
TEST(NpyReader, DimensionsOfOneElementCostNothing) {
  Shape shape{2};
  std::string text = "(2, ";
  for (size_t i = 2; i < kRankMax; ++i) {
    shape.Append(1);
    text += "1, ";
  }
  shape.Append(3);
  const StatusOr<Tensor> tensor =
      Read(Array("<i8", text + "3)", BytesOf<int64_t>({1, 4, 2, 5, 3, 6}), "True"));
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  EXPECT_EQ(tensor->shape(), shape);
  EXPECT_THAT(tensor->as<int64_t>(), testing::ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST(NpyReader, ReadsStringsWithoutTheirPadding) {
  const StatusOr<Tensor> bytes = Read(Array("|S3", "(3,)", std::string("abc\0\0\0a\0c", 9)));
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  EXPECT_THAT(Strings(*bytes), testing::ElementsAre("abc", "", std::string("a\0c", 3)));
  const std::u32string texts{U"\u00E4\U0001F600", 2};
  const StatusOr<Tensor> text =
      Read(Array("<U2", "(2,)", BytesOf<uint32_t>({texts[0], texts[1], 'x', 0})));
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_THAT(Strings(*text), testing::ElementsAre("\u00E4\U0001F600", "x"));
  const StatusOr<Tensor> reversed = Read(Array(">U1", "(1,)", std::string("\0\0\x20\xAC", 4)));
  ASSERT_TRUE(reversed.ok()) << reversed.status();
  EXPECT_THAT(Strings(*reversed), testing::ElementsAre("\u20AC"));
}

TEST(NpyReader, ErrorsSayWhatIsWrongAndWhatIsRight) {
  EXPECT_THAT(ErrorOf("{}"), HasSubstr("it must begin with the bytes \\x93NUMPY"));
  EXPECT_THAT(ErrorOf(Array("|O", "(1,)", "\x80\x04")), HasSubstr("pickled and never read"));
  EXPECT_THAT(ErrorOf(File("{'descr': [('a', '<i4')], 'fortran_order': False, 'shape': ()}", "")),
              HasSubstr("records of several fields"));
  EXPECT_THAT(ErrorOf(Array("<M8[s]", "(1,)", "12345678")), HasSubstr("'<M8[s]'"));
  EXPECT_THAT(ErrorOf(Array("<f16", "(1,)", "0123456789abcdef")), HasSubstr("'<f16'"));
  EXPECT_THAT(ErrorOf(Array("<f4", "(2,)", "1234567")),
              HasSubstr("has 7 bytes of elements; its shape [2] with 4 bytes for each needs 8"));
  EXPECT_THAT(ErrorOf(Array("<f4", "(4611686018427387904, 4)", "")), HasSubstr("can be addressed"));
  EXPECT_THAT(ErrorOf(Array("<f4", "(-1,)", "")), HasSubstr("'shape' must be a tuple"));
  EXPECT_THAT(ErrorOf(Array("<f4", "(3)", "")), HasSubstr("'shape' must be a tuple"));
  EXPECT_THAT(ErrorOf(Array("<f4", "(1,)", "1234", "0")), HasSubstr("True or False"));
  EXPECT_THAT(ErrorOf(Array("|b1", "(1,)", "\x02")), HasSubstr("other than 0 and 1"));
  EXPECT_THAT(ErrorOf(Array("<U1", "(1,)", BytesOf<uint32_t>({0xD800}))),
              HasSubstr("0xd800, which is not Unicode"));
  EXPECT_THAT(ErrorOf(Array("|S1", "(1, 1)", "a", "True")), HasSubstr("Fortran order"));
  EXPECT_THAT(ErrorOf(File("{'shape': ()}", "")), HasSubstr("must have the keys"));
  EXPECT_THAT(ErrorOf(File("{'other': ()}", "")), HasSubstr("'other' is no key"));
  EXPECT_THAT(ErrorOf(std::string("\x93NUMPY\x04\0\0\0\0\0", 12)), HasSubstr("version 4"));
  EXPECT_THAT(ErrorOf(std::string("\x93NUMPY\x02\0\xFF\xFF\xFF\x7F", 12)),
              HasSubstr("at most 10000"));
}

TEST(NpyReader, EveryPrefixIsRefused) {
  const std::string file = Array("<U2", "(1, 2)", std::string(16, '\0'));
  ASSERT_TRUE(Read(file).ok());
  for (size_t size = 0; size < file.size(); ++size) EXPECT_FALSE(Read(file.substr(0, size)).ok());
}

// The file has 130 bytes, but its strings of no bytes could be any number.
TEST(NpyReader, ManyEmptyStringsAreLimited) {
  const StatusOr<Tensor> tensor = Read(Array("|S0", "(100000000,)", ""));
  EXPECT_EQ(tensor.status().code(), StatusCode::kResourceExhausted);
}

TEST(NpyWriter, WhatIsWrittenIsReadBack) {
  for (const DType type :
       {DType::kBool, DType::kInt8, DType::kUint16, DType::kInt64, DType::kFloat16, DType::kFloat64,
        DType::kComplex128, DType::kBfloat16}) {
    Tensor tensor = *Tensor::Allocate(type, Shape{3, 2});
    std::memset(tensor.mutable_data(), 1, tensor.bytes());
    const StatusOr<ByteChain> file = WriteNpy(tensor, nullptr);
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ(file->slices().back().data, tensor.data()) << "the elements are not copied";
    const StatusOr<Tensor> again = Read(Flatten(*file).view());
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(again->dtype(), type);
    EXPECT_EQ(again->shape(), tensor.shape());
    EXPECT_EQ(again->elements().view(), tensor.elements().view());
  }
}

TEST(NpyWriter, StringsArePaddedToTheLongest) {
  Tensor tensor = *Tensor::Allocate(DType::kString, Shape{2});
  tensor.mutable_as<StringElement>()[1] = {"long", 4};
  const StatusOr<ByteChain> file = WriteNpy(tensor, nullptr);
  ASSERT_TRUE(file.ok()) << file.status();
  const std::string text(Flatten(*file).view());
  EXPECT_THAT(text, HasSubstr("'|S4'"));
  EXPECT_THAT(Strings(*Read(text)), testing::ElementsAre("", "long"));

  tensor.mutable_as<StringElement>()[0] = {"a\0", 2};
  EXPECT_EQ(WriteNpy(tensor, nullptr).status().code(), StatusCode::kInvalidArgument);
  RequestMemory small(UINT64_MAX);
  small.LimitInline(4);
  tensor.mutable_as<StringElement>()[0] = {};
  EXPECT_EQ(WriteNpy(tensor, &small).status().code(), StatusCode::kResourceExhausted);
}

// 60 kB of short strings and a long one became an answer of 300 MB.
TEST(NpyWriter, PaddingMayNotMultiplyAnAnswer) {
  const std::string longest(30'000, 'x');
  Tensor tensor = *Tensor::Allocate(DType::kString, Shape{10'000});
  tensor.mutable_as<StringElement>()[0] = {longest.data(), longest.size()};
  const Status status = WriteNpy(tensor, nullptr).status();
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(MessageOf(status), HasSubstr("ask for JSON or protobuf"));
}

TEST(NpyHeader, ShapesAreTuples) {
  EXPECT_THAT(WriteNpyHeader("<f4", Shape{}), HasSubstr("'shape': ()"));
  EXPECT_THAT(WriteNpyHeader("<f4", Shape{3}), HasSubstr("'shape': (3,)"));
  EXPECT_THAT(WriteNpyHeader("<f4", Shape{3, 4}), HasSubstr("'shape': (3, 4)"));
}

std::string Archive(const std::vector<std::pair<std::string, std::string>>& files) {
  ZipWriter writer;
  for (const auto& [name, content] : files) {
    ByteChain chain;
    chain.AppendCopy(content);
    EXPECT_TRUE(writer.Add(name, std::move(chain)).ok());
  }
  return std::string(Flatten(writer.Finish()).view());
}

StatusOr<std::vector<ZipEntry>> Unzip(std::string_view archive, uint64_t bytes_max = 1 << 20) {
  RequestMemory memory(bytes_max);
  return ReadZip(WholeSlice(CopyToBuffer(archive)), 10, memory);
}

TEST(Zip, WhatIsWrittenIsReadBack) {
  EXPECT_TRUE(Unzip(Archive({}))->empty());
  const auto entries = Unzip(Archive({{"a.npy", "some bytes"}, {"b", ""}}));
  ASSERT_TRUE(entries.ok()) << entries.status();
  ASSERT_EQ(entries->size(), 2U);
  EXPECT_EQ((*entries)[0].name, "a.npy");
  EXPECT_EQ((*entries)[0].data.view(), "some bytes");
  EXPECT_EQ((*entries)[1].data.view(), "");
}

// Replaces the only, stored file of `archive` by the same content deflated.
std::string Deflated(std::string content) {
  std::string packed(compressBound(content.size()), '\0');
  z_stream stream = {};
  deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  stream.next_in = reinterpret_cast<Bytef*>(content.data());
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  std::string archive = Archive({{"a", packed}});
  const size_t directory = archive.find("PK\x01\x02");
  const auto put = [&archive](size_t at, uint32_t value, size_t bytes) {
    archive.replace(at, bytes, reinterpret_cast<const char*>(&value), bytes);
  };
  put(directory + 10, 8, 2);
  put(directory + 16,
      static_cast<uint32_t>(crc32(0, reinterpret_cast<const Bytef*>(content.data()),
                                  static_cast<uInt>(content.size()))),
      4);
  put(directory + 24, static_cast<uint32_t>(content.size()), 4);
  return archive;
}

TEST(Zip, InflatesWithinTheLimit) {
  const std::string content(100'000, 'x');
  const std::string archive = Deflated(content);
  EXPECT_LT(archive.size(), 1000U);
  const auto entries = Unzip(archive);
  ASSERT_TRUE(entries.ok()) << entries.status();
  EXPECT_EQ(entries->at(0).data.view(), content);
  EXPECT_EQ(Unzip(archive, 99'999).status().code(), StatusCode::kResourceExhausted);
}

TEST(Zip, DamageIsAnError) {
  const std::string archive = Archive({{"a", "content"}});
  for (size_t size = 0; size < archive.size(); ++size)
    EXPECT_FALSE(Unzip(archive.substr(0, size)).ok()) << size;
  std::string changed = archive;
  changed[changed.find("content")] = 'C';
  EXPECT_THAT(MessageOf(Unzip(changed).status()), HasSubstr("the checksum of 'a' is wrong"));
  const std::string packed = Deflated(std::string(1000, 'y'));
  for (size_t at = 0; at < packed.size(); ++at) {
    std::string damaged = packed;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x5A);
    static_cast<void>(Unzip(damaged));  // some of the bytes do not matter
  }
  const size_t directory = archive.find("PK\x01\x02");
  changed = archive;
  changed[directory + 8] |= 1;
  EXPECT_THAT(MessageOf(Unzip(changed).status()), HasSubstr("is encrypted"));
  changed = archive;
  changed[directory + 10] = 12;
  EXPECT_THAT(MessageOf(Unzip(changed).status()), HasSubstr("has the compression 12"));
}

// A directory of some kilobytes named one stored file of 20 MB four thousand times.
TEST(Zip, EntriesMayNotOverlap) {
  std::string archive = Archive({{"a", std::string(1000, 'x')}, {"b", ""}});
  const size_t first = archive.find("PK\x01\x02");
  const size_t second = archive.find("PK\x01\x02", first + 1);
  // The second entry becomes the file of the first one.
  archive.replace(second + 16, 12, archive, first + 16, 12);
  archive.replace(second + 42, 4, archive, first + 42, 4);
  EXPECT_THAT(MessageOf(Unzip(archive).status()), HasSubstr("its files overlap"));
}

TEST(Zip, HasALimitForEntries) {
  EXPECT_TRUE(Unzip(Archive(std::vector<std::pair<std::string, std::string>>(10, {"a", ""}))).ok());
  EXPECT_THAT(
      MessageOf(
          Unzip(Archive(std::vector<std::pair<std::string, std::string>>(11, {"a", ""}))).status()),
      HasSubstr("11 arrays; at most 10"));
}

}  // namespace
}  // namespace penstock::npy
