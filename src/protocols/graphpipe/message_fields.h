// SPDX-License-Identifier: Apache-2.0
// The tables of a request, as they lie in the message (proto/graphpipe/graphpipe.fbs).
#pragma once

#include <cstdint>
#include <string_view>

#include "protocols/graphpipe/flat_reader.h"

namespace penstock::graphpipe {

// The values of Request.req_type.
inline constexpr uint8_t kInferRequestType = 1;
inline constexpr uint8_t kMetadataRequestType = 2;

// The table Request. Plain data.
struct RequestFields {
  uint8_t type = 0;
  FlatTable content;
  bool has_content = false;

  bool Read(FlatReader& reader) {
    FlatTable root;
    return reader.ReadRoot(root) && reader.ReadByte(root, 0, type) &&
           reader.ReadTable(root, 1, content, has_content);
  }
};

// Finds InferRequest.input_tensors, and Tensor.data.
inline bool ReadTensorList(FlatReader& reader, const FlatTable& infer_request,
                           FlatVector& tensors) {
  return reader.ReadVector(infer_request, 2, sizeof(uint32_t), tensors);
}
inline bool ReadData(FlatReader& reader, const FlatTable& tensor, FlatVector& data) {
  return reader.ReadVector(tensor, 2, 1, data);
}

// The table InferRequest, without its names. Plain data.
struct InferFields {
  FlatVector config;
  FlatVector input_names;
  FlatVector input_tensors;
  FlatVector output_names;

  bool Read(FlatReader& reader, const FlatTable& table) {
    constexpr size_t kOffset = sizeof(uint32_t);
    return reader.ReadVector(table, 0, 1, config) &&
           reader.ReadVector(table, 1, kOffset, input_names) &&
           ReadTensorList(reader, table, input_tensors) &&
           reader.ReadVector(table, 3, kOffset, output_names);
  }
};

// The table Tensor, without its strings. Plain data.
struct TensorFields {
  uint8_t type = 0;
  FlatVector shape;
  FlatVector data;
  FlatVector strings;

  bool Read(FlatReader& reader, const FlatTable& table) {
    return reader.ReadByte(table, 0, type) && reader.ReadVector(table, 1, sizeof(int64_t), shape) &&
           ReadData(reader, table, data) && reader.ReadVector(table, 3, sizeof(uint32_t), strings);
  }
};

}  // namespace penstock::graphpipe
