// SPDX-License-Identifier: Apache-2.0
// Answers of a server, made by the builder of the flatbuffers library. For tests.
#pragma once

#include <flatbuffers/flatbuffers.h>

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "block.h"
#include "penstock_client/tensor.h"

namespace penstock_client {

// Plain data.
struct FakeTensor {
  DType type = DType::kFloat32;
  Shape shape = {};
  std::string data = {};
  std::vector<std::string> strings = {};
};

template <typename T>
FakeTensor MakeFake(Shape shape, const std::vector<T>& values) {
  return {DTypeOf<T>(),
          std::move(shape),
          {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)}};
}

using FakeErrors = std::vector<std::pair<int64_t, std::string>>;

// The place of a field in a vtable.
constexpr flatbuffers::voffset_t Slot(int field) {
  return static_cast<flatbuffers::voffset_t>(4 + 2 * field);
}

// Of the tables of a list.
using Places = std::vector<flatbuffers::Offset<flatbuffers::Table>>;

inline flatbuffers::uoffset_t PutFake(flatbuffers::FlatBufferBuilder& builder,
                                      const FakeTensor& tensor) {
  const auto shape = builder.CreateVector(tensor.shape);
  flatbuffers::uoffset_t elements = 0;
  if (tensor.type == DType::kString)
    elements = builder.CreateVectorOfStrings(tensor.strings).o;
  else
    elements =
        builder
            .CreateVector(reinterpret_cast<const uint8_t*>(tensor.data.data()), tensor.data.size())
            .o;
  const auto start = builder.StartTable();
  builder.AddElement<uint8_t>(Slot(0), static_cast<uint8_t>(tensor.type), 0);
  builder.AddOffset(Slot(1), shape);
  builder.AddOffset(Slot(tensor.type == DType::kString ? 3 : 2),
                    flatbuffers::Offset<void>(elements));
  return builder.EndTable(start);
}

inline std::string Finished(flatbuffers::FlatBufferBuilder& builder, flatbuffers::uoffset_t root) {
  builder.Finish(flatbuffers::Offset<flatbuffers::Table>(root));
  return {reinterpret_cast<const char*>(builder.GetBufferPointer()), builder.GetSize()};
}

// An InferResponse.
inline std::string FakeAnswer(const std::vector<FakeTensor>& tensors,
                              const FakeErrors& errors = {}) {
  flatbuffers::FlatBufferBuilder builder;
  Places tables;
  for (const FakeTensor& tensor : tensors) tables.emplace_back(PutFake(builder, tensor));
  Places error_tables;
  for (const auto& [code, text] : errors) {
    const auto string = builder.CreateString(text);
    const auto start = builder.StartTable();
    builder.AddElement<int64_t>(Slot(0), code, 0);
    builder.AddOffset(Slot(1), string);
    error_tables.emplace_back(builder.EndTable(start));
  }
  const auto list = builder.CreateVector(tables);
  const auto error_list = builder.CreateVector(error_tables);
  const auto start = builder.StartTable();
  builder.AddOffset(Slot(0), list);
  if (!errors.empty()) builder.AddOffset(Slot(1), error_list);
  return Finished(builder, builder.EndTable(start));
}

// A MetadataResponse of a model "m" with one input and one output, of these names and type numbers.
inline std::string FakeMetadata(const std::string& input, const std::string& output,
                                uint8_t output_type) {
  flatbuffers::FlatBufferBuilder builder;
  const auto put = [&builder](const std::string& name, uint8_t type) {
    const auto text = builder.CreateString(name);
    const auto about = builder.CreateString("about " + name);
    const auto shape = builder.CreateVector(std::vector<int64_t>{-1, 3});
    const auto start = builder.StartTable();
    builder.AddOffset(Slot(0), text);
    builder.AddOffset(Slot(1), about);
    builder.AddOffset(Slot(2), shape);
    builder.AddElement<uint8_t>(Slot(3), type, 0);
    return builder.EndTable(start);
  };
  const Places inputs = {flatbuffers::Offset<flatbuffers::Table>(put(input, 10))};
  const Places outputs = {flatbuffers::Offset<flatbuffers::Table>(put(output, output_type))};
  const auto input_list = builder.CreateVector(inputs);
  const auto output_list = builder.CreateVector(outputs);
  std::vector<flatbuffers::Offset<flatbuffers::String>> texts;
  for (const char* text : {"m", "0.1.0", "penstock", "a model"})
    texts.push_back(builder.CreateString(text));
  const auto start = builder.StartTable();
  for (int i = 0; i < 4; ++i) builder.AddOffset(Slot(i), texts[static_cast<size_t>(i)]);
  builder.AddOffset(Slot(4), input_list);
  builder.AddOffset(Slot(5), output_list);
  return Finished(builder, builder.EndTable(start));
}

// A copy, exactly as large, so that sanitizers see each read beyond it.
inline Block BlockOf(std::string_view bytes) {
  Block block(bytes.size());
  if (!bytes.empty()) std::memcpy(block.data(), bytes.data(), bytes.size());
  return block;
}

}  // namespace penstock_client
