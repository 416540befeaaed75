// SPDX-License-Identifier: Apache-2.0
#include "answer_reader.h"

#include <gtest/gtest.h>

#include <random>
#include <string_view>

#include "answers_fake.h"

namespace penstock_client {
namespace {

constexpr uint64_t kMemory = 1 << 20;

std::vector<Output> Read(std::string_view answer, uint64_t memory = kMemory) {
  return AnswerReader(BlockOf(answer), memory).InferResponse();
}

// What is wrong with the answer; empty: nothing.
std::string FaultOf(std::string_view answer, uint64_t memory = kMemory) {
  try {
    Read(answer, memory);
    return "";
  } catch (const ProtocolError& error) {
    return error.what();
  }
}

#define EXPECT_FAULT(answer, text) \
  EXPECT_NE(FaultOf(answer).find(text), std::string::npos) << FaultOf(answer)

template <typename T>
void ExpectValues(const Output& output, const Shape& shape, const std::vector<T>& values) {
  EXPECT_EQ(output.shape(), shape);
  EXPECT_EQ(output.size(), values.size());
  const auto got = output.values<T>();
  EXPECT_EQ(std::vector<T>(got.begin(), got.end()), values);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(got.data()) % alignof(T), 0u);
}

// Each kind of elements once.
std::string ManyKinds() {
  return FakeAnswer({MakeFake<float>({2, 3}, {0, 1, 2, 3, 4, 5}),
                     {DType::kString, {2}, "", {"a", "bcd"}},
                     MakeFake<double>({}, {1.5}),
                     MakeFake<int64_t>({0, 3}, {})});
}

TEST(AnswerReaderTest, ReadsEveryType) {
  const std::vector<FakeTensor> tensors = {
      MakeFake<uint8_t>({3}, {1, 2, 255}),     MakeFake<int8_t>({1}, {-1}),
      MakeFake<uint16_t>({1}, {65535}),        MakeFake<int16_t>({1}, {-2}),
      MakeFake<uint32_t>({2, 1}, {7, 8}),      MakeFake<int32_t>({1}, {-3}),
      MakeFake<uint64_t>({1}, {~uint64_t{0}}), MakeFake<int64_t>({3}, {-4, 5, 6}),
      MakeFake<Float16>({1}, {Float16(1.5f)}), MakeFake<float>({}, {2.5f}),
      MakeFake<double>({1, 1, 1}, {3.5})};
  const auto outputs = Read(FakeAnswer(tensors));
  ASSERT_EQ(outputs.size(), tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) EXPECT_EQ(outputs[i].dtype(), tensors[i].type);
  ExpectValues<uint8_t>(outputs[0], {3}, {1, 2, 255});
  ExpectValues<int8_t>(outputs[1], {1}, {-1});
  ExpectValues<uint32_t>(outputs[4], {2, 1}, {7, 8});
  ExpectValues<uint64_t>(outputs[6], {1}, {~uint64_t{0}});
  ExpectValues<int64_t>(outputs[7], {3}, {-4, 5, 6});
  ExpectValues<Float16>(outputs[8], {1}, {Float16(1.5f)});
  ExpectValues<float>(outputs[9], {}, {2.5f});
  ExpectValues<double>(outputs[10], {1, 1, 1}, {3.5});
  EXPECT_THROW(outputs[0].values<float>(), std::invalid_argument);
  EXPECT_THROW(outputs[0].strings(), std::invalid_argument);
}

TEST(AnswerReaderTest, ReadsStrings) {
  const std::vector<std::string> texts = {"abcd", std::string("a\0", 2), "", "\xff"};
  const auto outputs = Read(FakeAnswer({{DType::kString, {2, 2}, "", texts}}));
  ASSERT_EQ(outputs.size(), 1u);
  EXPECT_EQ(outputs[0].size(), 4u);
  const auto got = outputs[0].strings();
  EXPECT_EQ(std::vector<std::string>(got.begin(), got.end()), texts);
}

TEST(AnswerReaderTest, OutputsKeepTheAnswer) {
  std::vector<Output> outputs = Read(ManyKinds());
  const Output last = outputs[0];
  outputs.clear();
  ExpectValues<float>(last, {2, 3}, {0, 1, 2, 3, 4, 5});
}

TEST(AnswerReaderTest, NumbersNeedNoAlignment) {
  // The message is moved by a byte, and its only offset from outside, the root's, is adapted.
  const std::string answer = FakeAnswer({MakeFake<double>({2}, {1.5, 2.5})});
  uint32_t root = 0;
  std::memcpy(&root, answer.data(), sizeof(root));
  for (uint32_t shift = 1; shift < 8; ++shift) {
    const uint32_t moved = root + shift;
    std::string bytes(reinterpret_cast<const char*>(&moved), sizeof(moved));
    bytes += std::string(shift, '\0') + answer.substr(4);
    ExpectValues<double>(Read(bytes)[0], {2}, {1.5, 2.5});
    if (shift != 4) {
      EXPECT_NE(FaultOf(bytes, 15).find("answer_bytes_max"), std::string::npos)
          << "the copy counts";
    }
  }
}

// 4096 outputs at one list of 100,000 empty strings would be views of 6.5 GB.
TEST(AnswerReaderTest, OutputsThatShareAListAreBounded) {
  flatbuffers::FlatBufferBuilder builder;
  const flatbuffers::Offset<flatbuffers::Table> tensor(
      PutFake(builder, {DType::kString, {100'000}, "", std::vector<std::string>(100'000)}));
  const auto list = builder.CreateVector(Places(4096, tensor));
  const auto start = builder.StartTable();
  builder.AddOffset(Slot(0), list);
  const std::string answer = Finished(builder, builder.EndTable(start));
  EXPECT_NE(FaultOf(answer, uint64_t{1} << 40).find("takes more memory"), std::string::npos);
}

TEST(AnswerReaderTest, ErrorsWithinTheMessage) {
  try {
    Read(FakeAnswer({}, {{404, "no such model"}, {400, "other"}}));
    ADD_FAILURE();
  } catch (const NotFound& error) {
    EXPECT_EQ(error.status(), 404);
    EXPECT_EQ(error.text(), "no such model");
  }
  EXPECT_THROW(Read(FakeAnswer({}, {{-1, ""}})), ServerError);
}

TEST(AnswerReaderTest, Metadata) {
  const std::string answer = FakeMetadata("x", "y", 12);
  const ModelMetadata metadata = AnswerReader(BlockOf(answer), kMemory).MetadataResponse();
  EXPECT_EQ(metadata.name, "m");
  EXPECT_EQ(metadata.version, "0.1.0");
  EXPECT_EQ(metadata.server, "penstock");
  EXPECT_EQ(metadata.description, "a model");
  ASSERT_EQ(metadata.inputs.size(), 1u);
  EXPECT_EQ(metadata.inputs[0].name, "x");
  EXPECT_EQ(metadata.inputs[0].description, "about x");
  EXPECT_EQ(metadata.inputs[0].shape, (Shape{-1, 3}));
  EXPECT_EQ(metadata.inputs[0].dtype, DType::kFloat32);
  EXPECT_EQ(metadata.outputs[0].dtype, DType::kString);
  EXPECT_EQ(AnswerReader(BlockOf(FakeMetadata("x", "y", 77)), kMemory)
                .MetadataResponse()
                .outputs[0]
                .dtype,
            std::nullopt);
  EXPECT_THROW(AnswerReader(BlockOf(answer), 100).MetadataResponse(), ProtocolError);
}

TEST(AnswerReaderTest, ShapesThatDoNotFit) {
  const std::vector<float> six(6);
  EXPECT_EQ(FaultOf(FakeAnswer({MakeFake<float>({6}, six)})), "");
  EXPECT_FAULT(FakeAnswer({MakeFake<float>({5}, six)}), "has 24 bytes");
  EXPECT_FAULT(FakeAnswer({MakeFake<float>({}, six)}), "has 24 bytes");
  EXPECT_FAULT(FakeAnswer({MakeFake<float>({-2, -3}, six)}), "which is none");
  // 2^62 * 4 * ... would be 24 bytes in 64 bits.
  EXPECT_FAULT(FakeAnswer({MakeFake<float>({int64_t{1} << 62, 8}, six)}), "which is none");
  EXPECT_FAULT(FakeAnswer({MakeFake<float>({(int64_t{1} << 62) + 6}, six)}), "has 24 bytes");
  EXPECT_FAULT(FakeAnswer({MakeFake<float>({0, int64_t{1} << 62}, six)}), "has 24 bytes");
  EXPECT_FAULT(FakeAnswer({MakeFake<double>({3}, {1, 2})}), "has 16 bytes");
  EXPECT_FAULT(FakeAnswer({{DType::kString, {3}, "", {"a"}}}), "has 1 strings");
  EXPECT_FAULT(FakeAnswer({{DType(13), {1}, "a"}}), "type 13");
  EXPECT_FAULT(FakeAnswer({{DType(0), {1}, "a"}}), "type 0");
  EXPECT_FAULT(FakeAnswer({MakeFake<float>(Shape(255, 1), {1})}), "255 dimensions");
}

TEST(AnswerReaderTest, FewBytesCannotAskForMuchMemory) {
  const std::string many = FakeAnswer(std::vector<FakeTensor>(4097, MakeFake<float>({}, {1})));
  EXPECT_FAULT(many, "4097 outputs");
  const std::string texts =
      FakeAnswer({{DType::kString, {100}, "", std::vector<std::string>(100, "text")}});
  EXPECT_EQ(FaultOf(texts, 1600), "");
  EXPECT_NE(FaultOf(texts, 1599).find("answer_bytes_max"), std::string::npos);
}

TEST(AnswerReaderTest, WildOffsets) {
  const std::string answer = FakeAnswer({MakeFake<float>({1}, {1})});
  for (const uint32_t offset : {0u, 0x7fffffffu, 0x80000000u, 0xffffffffu}) {
    std::string wild = answer;
    std::memcpy(wild.data(), &offset, sizeof(offset));
    EXPECT_NE(FaultOf(wild), "") << offset;
  }
  EXPECT_FAULT("", "malformed");
  EXPECT_FAULT("not a message", "malformed");
  // A table whose vtable lies before the start.
  EXPECT_FAULT(std::string_view("\4\0\0\0\377\0\0\0", 8), "before the start");
  // An offset of 0 leads to itself.
  EXPECT_FAULT(std::string_view("\0\0\0\0", 4), "malformed");
}

// Uses all that an answer has, so that sanitizers see it.
size_t Touch(const std::string& bytes) {
  size_t sum = 0;
  try {
    for (const Output& output : Read(bytes)) {
      for (const std::byte byte : output.bytes()) sum += static_cast<size_t>(byte);
      if (output.dtype() != DType::kString) continue;
      for (const std::string_view text : output.strings())
        for (const char byte : text) sum += static_cast<size_t>(byte);
    }
  } catch (const Error&) {
    sum = 1;
  }
  try {
    sum += AnswerReader(BlockOf(bytes), kMemory).MetadataResponse().inputs.size();
  } catch (const ProtocolError&) {
  }
  return sum;
}

TEST(AnswerReaderTest, DamagedAnswersAreRefusedOrRead) {
  for (const std::string& good : {ManyKinds(), FakeMetadata("x", "y", 10)}) {
    for (size_t size = 0; size < good.size(); ++size) Touch(good.substr(0, size));
    std::minstd_rand random(1);
    for (size_t at = 0; at < good.size(); ++at) {
      for (const int value : {0, 1, 0x7f, 0x80, 0xff}) {
        std::string damaged = good;
        damaged[at] = static_cast<char>(value);
        Touch(damaged);
      }
    }
    for (int i = 0; i < 3000; ++i) {
      std::string damaged = good;
      for (int changes = static_cast<int>(random() % 4); changes >= 0; --changes)
        damaged[random() % damaged.size()] = static_cast<char>(random());
      Touch(damaged);
    }
  }
  int refused = 0;
  const std::string good = ManyKinds();
  for (size_t size = 0; size < good.size(); ++size)
    if (!FaultOf(good.substr(0, size)).empty()) ++refused;
  EXPECT_GT(refused, static_cast<int>(good.size() * 9 / 10)) << "of the beginnings";
}

}  // namespace
}  // namespace penstock_client
