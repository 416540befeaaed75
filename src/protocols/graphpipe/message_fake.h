// SPDX-License-Identifier: Apache-2.0
// Requests as clients of GraphPipe send them, for tests. They are made with flatbuffers' own
// builder.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/buffer.h"
#include "graphpipe/graphpipe_generated.h"
#include "protocols/graphpipe/types.h"

namespace penstock::graphpipe {

// A tensor of a request. Plain data.
struct FakeTensor {
  Type type = Type::kFloat32;
  std::vector<int64_t> shape;
  std::string data;
  std::vector<std::string> strings = {};
};

// A request. Plain data.
struct FakeRequest {
  std::vector<FakeTensor> tensors = {};
  std::vector<std::string> input_names = {};
  std::vector<std::string> output_names = {};
  std::string config = {};
  // As the clients in Go do: no zero follows a string.
  bool strings_without_nul = false;
};

// The bytes of `values`.
template <typename T>
std::string BytesOf(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

inline auto WriteFakeStrings(flatbuffers::FlatBufferBuilder& builder,
                             const std::vector<std::string>& strings, bool without_nul) {
  std::vector<flatbuffers::Offset<flatbuffers::String>> offsets;
  for (const std::string& text : strings) {
    if (without_nul) {
      const auto* const bytes = reinterpret_cast<const uint8_t*>(text.data());
      offsets.emplace_back(builder.CreateVector(bytes, text.size()).o);
    } else {
      offsets.push_back(builder.CreateString(text));
    }
  }
  return builder.CreateVector(offsets);
}

inline std::string MakeRequest(const FakeRequest& request) {
  flatbuffers::FlatBufferBuilder builder;
  const auto config = builder.CreateString(request.config);
  // Builders write from the end to the front, and the clients begin with the last tensor.
  std::vector<flatbuffers::Offset<::graphpipe::Tensor>> tensors(request.tensors.size());
  for (size_t i = tensors.size(); i-- > 0;) {
    const FakeTensor& tensor = request.tensors[i];
    const auto shape = builder.CreateVector(tensor.shape);
    flatbuffers::Offset<flatbuffers::Vector<uint8_t>> data;
    flatbuffers::Offset<flatbuffers::Vector<flatbuffers::Offset<flatbuffers::String>>> strings;
    if (tensor.type == Type::kString)
      strings = WriteFakeStrings(builder, tensor.strings, request.strings_without_nul);
    if (tensor.type != Type::kString || !tensor.data.empty())
      data = builder.CreateVector(reinterpret_cast<const uint8_t*>(tensor.data.data()),
                                  tensor.data.size());
    tensors[i] = ::graphpipe::CreateTensor(builder, static_cast<::graphpipe::Type>(tensor.type),
                                           shape, data, strings);
  }
  const auto list = builder.CreateVector(tensors);
  const auto inputs = WriteFakeStrings(builder, request.input_names, false);
  const auto outputs = WriteFakeStrings(builder, request.output_names, false);
  const auto infer = ::graphpipe::CreateInferRequest(builder, config, inputs, list, outputs);
  builder.Finish(
      ::graphpipe::CreateRequest(builder, ::graphpipe::Req::InferRequest, infer.Union()));
  return {reinterpret_cast<const char*>(builder.GetBufferPointer()), builder.GetSize()};
}

// Returns `message` in a buffer in which it begins `shift` bytes after an aligned address.
inline Slice AsSlice(std::string_view message, size_t shift = 0) {
  const BufferRef buffer = CopyToBuffer(std::string(shift, '\0').append(message));
  return {buffer->data() + shift, message.size(), buffer};
}

}  // namespace penstock::graphpipe
