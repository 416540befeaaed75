// SPDX-License-Identifier: Apache-2.0
#include "tables/extract/onnx_cut.h"

#include <algorithm>
#include <utility>

#include "base/encoding/proto_writer.h"

namespace penstock::tables {
namespace {

// Runtimes that map the file want pages.
constexpr uint64_t kDataAlignment = 4096;

std::string NewInputMessage(const OnnxCut::NewInput& input) {
  std::string shape;
  for (const std::string_view dim : input.indices->dims) shape += dim;
  std::string dim;
  AppendVarintField(dim, kDimValue, input.dimension);
  AppendBytesField(shape, kShapeDim, dim);
  std::string tensor;
  AppendVarintField(tensor, kTensorTypeElement, static_cast<uint64_t>(input.type));
  if (input.indices->has_shape) AppendBytesField(tensor, kTensorTypeShape, shape);
  std::string type;
  AppendBytesField(type, kTypeTensor, tensor);
  std::string value;
  AppendBytesField(value, kValueName, input.name);
  AppendBytesField(value, kValueType, type);
  return value;
}

std::string IdentityMessage(const OnnxCut::NewInput& input) {
  std::string node;
  AppendBytesField(node, kNodeInput, input.name);
  AppendBytesField(node, kNodeOutput, input.output);
  AppendBytesField(node, kNodeOperator, std::string_view("Identity"));
  return node;
}

std::string EntryMessage(std::string_view key, std::string_view value) {
  std::string entry;
  AppendBytesField(entry, kEntryKey, key);
  AppendBytesField(entry, kEntryValue, value);
  return entry;
}

}  // namespace

void Rope::Append(std::string_view text) {
  size_ += text.size();
  if (pieces_.empty() || !pieces_.back().view.empty()) pieces_.emplace_back();
  pieces_.back().text += text;
}

void Rope::AppendView(std::string_view view) {
  constexpr size_t kCopied = 4096;
  if (view.size() < kCopied) return Append(view);
  size_ += view.size();
  pieces_.push_back({.text = {}, .view = view});
}

void Rope::AppendMessage(uint32_t field, Rope message) {
  std::string head;
  AppendBytesHead(head, field, message.size());
  Append(head);
  for (Piece& piece : message.pieces_) {
    if (piece.view.empty()) {
      Append(piece.text);
    } else {
      AppendView(piece.view);
    }
  }
}

bool OnnxCutter::KindOf(Kind outer, uint32_t field, Kind& inner) {
  struct Row {
    Kind outer;
    uint32_t field;
    Kind inner;
  };
  static constexpr Row kRows[] = {{Kind::kModel, kModelGraph, Kind::kGraph},
                                  {Kind::kModel, kModelFunction, Kind::kFunction},
                                  {Kind::kGraph, kGraphNode, Kind::kNode},
                                  {Kind::kGraph, kGraphInitializer, Kind::kTensor},
                                  {Kind::kGraph, kGraphSparse, Kind::kSparse},
                                  {Kind::kInnerGraph, kGraphNode, Kind::kNode},
                                  {Kind::kInnerGraph, kGraphInitializer, Kind::kTensor},
                                  {Kind::kInnerGraph, kGraphSparse, Kind::kSparse},
                                  {Kind::kFunction, kFunctionNode, Kind::kNode},
                                  {Kind::kNode, kNodeAttribute, Kind::kAttribute},
                                  {Kind::kAttribute, kAttributeTensor, Kind::kTensor},
                                  {Kind::kAttribute, kAttributeTensors, Kind::kTensor},
                                  {Kind::kAttribute, kAttributeGraph, Kind::kInnerGraph},
                                  {Kind::kAttribute, kAttributeGraphs, Kind::kInnerGraph},
                                  {Kind::kAttribute, kAttributeSparse, Kind::kSparse},
                                  {Kind::kAttribute, kAttributeSparses, Kind::kSparse},
                                  {Kind::kSparse, kSparseValues, Kind::kTensor},
                                  {Kind::kSparse, kSparseIndices, Kind::kTensor}};
  for (const Row& row : kRows) {
    if (row.outer != outer || row.field != field) continue;
    inner = row.inner;
    return true;
  }
  return false;
}

StatusOr<Rope> OnnxCutter::Cut(std::string_view model) {
  Rope rope;
  const bool ok = Copy(Kind::kModel, model, rope);
  TRY(problem_);
  if (!ok) return InvalidArgument("it is no ONNX model: a field is malformed");
  return rope;
}

bool OnnxCutter::Copy(Kind kind, std::string_view message, Rope& to) {
  if (kind == Kind::kTensor) return CopyTensor(message, to);
  const bool ok = VisitFields(message, [&](const OnnxField& field) {
    if (IsLeftOut(kind, field)) return true;
    if (kind == Kind::kGraph && field.number == kGraphNode) {
      const auto gather = cut_.gathers.find(field.bytes.data());
      if (gather != cut_.gathers.end()) {
        std::string node;
        AppendBytesField(node, kGraphNode, IdentityMessage(*gather->second));
        to.Append(node);
        return true;
      }
    }
    Kind inner;
    if (!field.has_length || !KindOf(kind, field.number, inner)) {
      to.AppendView(field.whole);
      return true;
    }
    Rope copy;
    if (!Copy(inner, field.bytes, copy)) return false;
    to.AppendMessage(field.number, std::move(copy));
    return true;
  });
  if (ok && kind == Kind::kGraph) AppendNewInputs(to);
  return ok;
}

bool OnnxCutter::IsLeftOut(Kind kind, const OnnxField& field) const {
  if (kind != Kind::kGraph) return false;
  if (field.number == kGraphInitializer) {
    OnnxTensor tensor;
    return ReadOnnxTensor(field.bytes, tensor) && cut_.initializers.contains(tensor.name);
  }
  if (field.number != kGraphInput) return false;
  bool is_cut = false;
  VisitFields(field.bytes, [&](const OnnxField& part) {
    if (part.number == kValueName) is_cut = cut_.initializers.contains(part.bytes);
    return true;
  });
  return is_cut;
}

void OnnxCutter::AppendNewInputs(Rope& to) const {
  for (const auto& [node, input] : cut_.gathers) {
    std::string field;
    AppendBytesField(field, kGraphInput, NewInputMessage(*input));
    to.Append(field);
  }
}

bool OnnxCutter::CopyTensor(std::string_view message, Rope& to) {
  OnnxTensor tensor;
  if (!ReadOnnxTensor(message, tensor)) return false;
  if (tensor.external) return AppendExternal(tensor, message, to);
  to.AppendView(message);
  return true;
}

bool OnnxCutter::AppendExternal(const OnnxTensor& tensor, std::string_view message, Rope& to) {
  const ExternalPlace& place = *tensor.external;
  const StatusOr<uint64_t> bytes = bytes_of_(place.location);
  if (!bytes.ok()) {
    problem_ = bytes.status();
    return false;
  }
  const uint64_t rest = *bytes - std::min(*bytes, place.offset);
  const uint64_t length = place.length.value_or(rest);
  if (length > rest) {
    problem_ = InvalidArgument("the data of '{}' ends behind the file {}, which has {} bytes",
                               tensor.name, place.location, *bytes);
    return false;
  }
  data_bytes_ = (data_bytes_ + kDataAlignment - 1) / kDataAlignment * kDataAlignment;
  data_.push_back({place.location, place.offset, length, data_bytes_});
  VisitFields(message, [&](const OnnxField& field) {
    if (field.number != kTensorExternal) to.AppendView(field.whole);
    return true;
  });
  std::string entries;
  AppendBytesField(entries, kTensorExternal, EntryMessage("location", data_file_));
  AppendBytesField(entries, kTensorExternal, EntryMessage("offset", std::to_string(data_bytes_)));
  AppendBytesField(entries, kTensorExternal, EntryMessage("length", std::to_string(length)));
  to.Append(entries);
  data_bytes_ += length;
  return true;
}

}  // namespace penstock::tables
