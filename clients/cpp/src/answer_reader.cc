// SPDX-License-Identifier: Apache-2.0
#include "answer_reader.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "element_count.h"
#include "throw_server_error.h"

namespace penstock_client {
namespace {

constexpr uint32_t kOutputsMax = 4096;  // as servers of Penstock have it
constexpr uint32_t kRankMax = 254;
constexpr uint64_t kMemoryBytesLeast = uint64_t{64} << 20;
constexpr uint64_t kGrowthMax = 16;

}  // namespace

AnswerReader::AnswerReader(Block answer, uint64_t memory_bytes_max,
                           std::optional<std::chrono::seconds> retry_after)
    : answer_(std::make_shared<const Block>(std::move(answer))),
      reader_(answer_->span()),
      memory_left_(std::min(memory_bytes_max, kMemoryBytesLeast + kGrowthMax * answer_->size())),
      retry_after_(retry_after) {}

std::vector<Output> AnswerReader::InferResponse() {
  const FlatTable response = reader_.Root();
  ThrowError(response);
  const FlatList tensors = reader_.List(response, 0, 4);
  if (tensors.count > kOutputsMax)
    throw ProtocolError("the answer has " + std::to_string(tensors.count) + " outputs; at most " +
                        std::to_string(kOutputsMax) + " are read");
  std::vector<Output> outputs;
  outputs.reserve(tensors.count);
  for (uint32_t i = 0; i < tensors.count; ++i)
    outputs.push_back(ReadOutput(reader_.TableIn(tensors, i)));
  return outputs;
}

ModelMetadata AnswerReader::MetadataResponse() {
  const FlatTable response = reader_.Root();
  return {ReadText(response, 0), ReadText(response, 1),       ReadText(response, 2),
          ReadText(response, 3), ReadIOMetadata(response, 4), ReadIOMetadata(response, 5)};
}

void AnswerReader::ThrowError(const FlatTable& response) const {
  const FlatList errors = reader_.List(response, 1, 4);
  if (errors.count == 0) return;
  const FlatTable error = reader_.TableIn(errors, 0);
  ThrowServerError(reader_.Number<int64_t>(error, 0), std::string(reader_.Text(error, 1)),
                   retry_after_);
}

Output AnswerReader::ReadOutput(const FlatTable& table) {
  Output output;
  const auto number = reader_.Number<uint8_t>(table, 0);
  output.dtype_ = static_cast<DType>(number);
  output.shape_ = ReadShape(table, 1);
  output.memory_ = answer_;
  if (!ElementsOf(output.shape_))
    throw ProtocolError("an output has the shape " + TextOf(output.shape_) + ", which is none");
  if (output.dtype_ == DType::kString) {
    ReadStrings(table, output);
  } else if (BytesOf(output.dtype_) != 0) {
    ReadNumbers(table, output);
  } else {
    throw ProtocolError("an output has elements of type " + std::to_string(number) +
                        ", which GraphPipe does not know");
  }
  return output;
}

void AnswerReader::ReadNumbers(const FlatTable& table, Output& output) {
  const uint64_t count = *ElementsOf(output.shape_);
  const size_t width = BytesOf(output.dtype_);
  const FlatList data = reader_.List(table, 2, 1);
  if (data.count % width != 0 || data.count / width != count)
    throw ProtocolError("an output of shape " + TextOf(output.shape_) + " and type " +
                        std::string(NameOf(output.dtype_)) + " has " + std::to_string(data.count) +
                        " bytes");
  output.bytes_ = reader_.Bytes(data);
  if (reinterpret_cast<uintptr_t>(output.bytes_.data()) % width == 0) return;
  TakeMemory(data.count);
  auto copy = std::make_shared<Block>(data.count);
  if (data.count != 0) std::memcpy(copy->data(), output.bytes_.data(), data.count);
  output.bytes_ = copy->span();
  output.memory_ = std::move(copy);
}

void AnswerReader::ReadStrings(const FlatTable& table, Output& output) {
  const FlatList strings = reader_.List(table, 3, 4);
  if (ElementsOf(output.shape_) != strings.count)
    throw ProtocolError("an output of shape " + TextOf(output.shape_) + " has " +
                        std::to_string(strings.count) + " strings");
  TakeMemory(uint64_t{strings.count} * sizeof(std::string_view));
  output.strings_.reserve(strings.count);
  for (uint32_t i = 0; i < strings.count; ++i)
    output.strings_.push_back(reader_.TextIn(strings, i));
}

Shape AnswerReader::ReadShape(const FlatTable& table, int slot) {
  const FlatList sizes = reader_.List(table, slot, 8);
  if (sizes.count > kRankMax)
    throw ProtocolError("the message is malformed: a shape has " + std::to_string(sizes.count) +
                        " dimensions");
  Shape shape(sizes.count);
  for (uint32_t i = 0; i < sizes.count; ++i) shape[i] = reader_.Int64In(sizes, i);
  return shape;
}

std::string AnswerReader::ReadText(const FlatTable& table, int slot) {
  const std::string_view text = reader_.Text(table, slot);
  TakeMemory(text.size());
  return std::string(text);
}

std::vector<IOMetadata> AnswerReader::ReadIOMetadata(const FlatTable& table, int slot) {
  const FlatList list = reader_.List(table, slot, 4);
  TakeMemory(uint64_t{list.count} * sizeof(IOMetadata));
  std::vector<IOMetadata> all;
  all.reserve(list.count);
  for (uint32_t i = 0; i < list.count; ++i) {
    const FlatTable each = reader_.TableIn(list, i);
    IOMetadata metadata{ReadText(each, 0), ReadText(each, 1), ReadShape(each, 2)};
    TakeMemory(metadata.shape.size() * sizeof(int64_t));
    const auto dtype = static_cast<DType>(reader_.Number<uint8_t>(each, 3));
    if (dtype == DType::kString || BytesOf(dtype) != 0) metadata.dtype = dtype;
    all.push_back(std::move(metadata));
  }
  return all;
}

void AnswerReader::TakeMemory(uint64_t bytes) {
  if (bytes > memory_left_)
    throw ProtocolError(
        "what the message describes takes more memory than its size or answer_bytes_max allows");
  memory_left_ -= bytes;
}

}  // namespace penstock_client
