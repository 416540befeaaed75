// SPDX-License-Identifier: Apache-2.0
// flatbuffers' own reader is the judge.
#include "message_writer.h"

#include <flatbuffers/flatbuffers.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "answers_fake.h"

namespace penstock_client {
namespace {

using flatbuffers::Table;
using Texts = flatbuffers::Vector<flatbuffers::Offset<flatbuffers::String>>;
using Tables = flatbuffers::Vector<flatbuffers::Offset<Table>>;

std::string Joined(const Message& message) {
  std::string all;
  for (const auto& piece : message.pieces())
    all.append(reinterpret_cast<const char*>(piece.data()), piece.size());
  EXPECT_EQ(all.size(), message.bytes());
  return all;
}

// The InferRequest in the message, which must be alive.
const Table& InferRequestOf(const Block& message) {
  const auto* const request = flatbuffers::GetRoot<Table>(message.span().data());
  EXPECT_EQ(request->GetField<uint8_t>(Slot(0), 0), 1);
  return *request->GetPointer<const Table*>(Slot(1));
}

std::vector<std::string> TextsIn(const Table& table, int field) {
  std::vector<std::string> texts;
  const auto* const list = table.GetPointer<const Texts*>(Slot(field));
  for (const auto* text : *list) texts.push_back(text->str());
  return texts;
}

void ExpectTensor(const Table& table, const Input& input) {
  EXPECT_EQ(table.GetField<uint8_t>(Slot(0), 0), static_cast<uint8_t>(input.dtype()));
  const auto* const shape = table.GetPointer<const flatbuffers::Vector<int64_t>*>(Slot(1));
  EXPECT_EQ(Shape(shape->begin(), shape->end()), input.shape());
  EXPECT_EQ(reinterpret_cast<uintptr_t>(shape->data()) % 8, 0u);
  if (input.dtype() == DType::kString) {
    EXPECT_EQ(table.GetPointer<const void*>(Slot(2)), nullptr);
    EXPECT_EQ(TextsIn(table, 3),
              std::vector<std::string>(input.strings().begin(), input.strings().end()));
    return;
  }
  EXPECT_EQ(table.GetPointer<const void*>(Slot(3)), nullptr);
  const auto* const data = table.GetPointer<const flatbuffers::Vector<uint8_t>*>(Slot(2));
  ASSERT_EQ(data->size(), input.bytes().size());
  EXPECT_TRUE(data->size() == 0 ||
              std::memcmp(data->data(), input.bytes().data(), data->size()) == 0);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(data->data()) % BytesOf(input.dtype()), 0u);
}

TEST(MessageWriterTest, FlatbuffersReadsWhatIsWritten) {
  const std::vector<float> large(3000, 1.5f);
  const std::vector<double> small = {1, 2, 3, 4, 5, 6};
  const std::vector<int8_t> bytes = {1, 2, 3};
  const std::vector<uint16_t> larger(4000, 7);
  const std::vector<std::string> texts = {"one", std::string("a\0b\0", 4), "", "five5"};
  const std::vector<int64_t> none;
  const double scalar = 2.5;
  const std::vector<Input> inputs = {{"large", large, {2, 1500}},
                                     {"small", small, {2, 3}},
                                     {"bytes", bytes},
                                     {"larger", larger},
                                     {"texts", texts, {2, 2}},
                                     {"none", none, {0, 3}},
                                     {"scalar", std::span(&scalar, 1), {}}};
  const std::vector<std::string> outputs = {"y", "\xc3\xbc"};
  const Block message = BlockOf(Joined(WriteInferRequest(inputs, outputs, "{\"a\": 1}")));
  const Table& request = InferRequestOf(message);
  EXPECT_EQ(request.GetPointer<const flatbuffers::String*>(Slot(0))->str(), "{\"a\": 1}");
  EXPECT_EQ(TextsIn(request, 1), (std::vector<std::string>{"large", "small", "bytes", "larger",
                                                           "texts", "none", "scalar"}));
  EXPECT_EQ(TextsIn(request, 3), outputs);
  const auto* const tensors = request.GetPointer<const Tables*>(Slot(2));
  ASSERT_EQ(tensors->size(), inputs.size());
  for (uint32_t i = 0; i < inputs.size(); ++i) {
    SCOPED_TRACE(inputs[i].name());
    ExpectTensor(*tensors->Get(i), inputs[i]);
  }
}

TEST(MessageWriterTest, EachTableIsWithinTheMessage) {
  const std::vector<std::string> texts = {"ab", "abcd"};
  const std::vector<float> values(1000);
  const std::string bytes = Joined(WriteInferRequest(std::vector<Input>{texts, values}, {}, ""));
  const Block message = BlockOf(bytes);
  flatbuffers::Verifier verifier(reinterpret_cast<const uint8_t*>(message.span().data()),
                                 message.size());
  const Table& request = InferRequestOf(message);
  EXPECT_TRUE(request.VerifyTableStart(verifier));
  EXPECT_TRUE(request.VerifyOffset(verifier, Slot(0)));
  const auto* const tensors = request.GetPointer<const Tables*>(Slot(2));
  EXPECT_TRUE(request.VerifyOffset(verifier, Slot(2)) && verifier.VerifyVector(tensors));
  EXPECT_TRUE(verifier.EndTable());
  const auto* const strings = tensors->Get(0)->GetPointer<const Texts*>(Slot(3));
  EXPECT_TRUE(verifier.VerifyVector(strings) && verifier.VerifyVectorOfStrings(strings));
  EXPECT_TRUE(verifier.VerifyVector(
      tensors->Get(1)->GetPointer<const flatbuffers::Vector<uint8_t>*>(Slot(2))));
}

TEST(MessageWriterTest, LargeTensorsAreNotCopied) {
  const std::vector<double> other(1000, 1);
  const std::vector<float> largest(10000, 1);
  const Message message = WriteInferRequest(std::vector<Input>{other, largest}, {}, "");
  ASSERT_EQ(message.pieces().size(), 4u);
  EXPECT_EQ(static_cast<const void*>(message.pieces()[1].data()), largest.data())
      << "the largest comes first";
  EXPECT_EQ(static_cast<const void*>(message.pieces()[3].data()), other.data());
  EXPECT_EQ(message.pieces()[0].size() % 64, 0u);
  EXPECT_EQ(
      (message.pieces()[0].size() + message.pieces()[1].size() + message.pieces()[2].size()) % 64,
      0u);
}

TEST(MessageWriterTest, NamesForEachInputOrNone) {
  const std::vector<float> x(1);
  EXPECT_THROW(WriteInferRequest(std::vector<Input>{{"x", x}, {x}}, {}, ""), std::invalid_argument);
  const Block message = BlockOf(Joined(WriteInferRequest(std::vector<Input>{x, x}, {}, "")));
  EXPECT_EQ(TextsIn(InferRequestOf(message), 1), std::vector<std::string>());
}

TEST(MessageWriterTest, MessagesHaveAtMost2GiB) {
  const std::byte byte{};
  const std::span<const std::byte> huge(&byte, size_t{1} << 31);  // which nobody reads
  const auto size = static_cast<int64_t>(huge.size());
  try {
    WriteInferRequest(std::vector<Input>{{DType::kUint8, huge, {size}}}, {}, "");
    ADD_FAILURE();
  } catch (const std::invalid_argument& error) {
    EXPECT_NE(std::string(error.what()).find("send fewer rows"), std::string::npos);
  }
  const Input half(DType::kUint8, huge.first(huge.size() / 2), {size / 2});
  EXPECT_THROW(WriteInferRequest(std::vector<Input>{half, half}, {}, ""), std::invalid_argument);
}

TEST(MessageWriterTest, TheRequestForMetadata) {
  const Block message = BlockOf(Joined(WriteMetadataRequest()));
  EXPECT_EQ(message.size(), 32u);
  const auto* const request = flatbuffers::GetRoot<Table>(message.span().data());
  EXPECT_EQ(request->GetField<uint8_t>(Slot(0), 0), 2);
}

}  // namespace
}  // namespace penstock_client
