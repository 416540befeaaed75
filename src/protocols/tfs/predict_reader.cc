// SPDX-License-Identifier: Apache-2.0
// How a PredictRequest is read. Protobuf's own parser would copy each tensor, and allocate memory
// for each name. This reader walks the bytes and keeps views of them. It must accept and refuse
// what protobuf does; tests and a fuzz target compare the two. The rules that are easy to miss: the
// last one of a repeated scalar field wins, repeated sub-messages are merged, a later map entry
// replaces an earlier one with the same key, and unknown fields are skipped.
#include "protocols/tfs/predict_reader.h"

#include "protocols/tfs/map_entry.h"
#include "protocols/tfs/message_check.h"
#include "protocols/tfs/model_spec_reader.h"
#include "protocols/tfs/tensor_scan.h"

namespace penstock::tfs {
namespace {

// The nesting limit inside a tensor, which is in a map entry, which is in the message.
constexpr int kTensorNesting = kNestingMax - 2;

// With fewer inputs a repeated name is searched for one by one.
constexpr size_t kLinearSearchMax = 16;

bool IsTensor(std::string_view bytes, WireError& error) {
  TensorScan scan;
  WireReader tensor(bytes, error);
  return ScanTensor(tensor, kTensorNesting, scan);
}

}  // namespace

bool PredictScan::ReadInput(std::string_view bytes, Input& input) {
  WireReader reader(bytes, error_);
  size_t pieces = 0;
  while (!reader.AtEnd()) {
    uint32_t tag = 0;
    if (!reader.ReadTag(tag)) return false;
    bool ok = true;
    if (tag == MakeTag(1, WireType::kLength)) {
      ok = reader.ReadString(input.name);
    } else if (tag == MakeTag(2, WireType::kLength)) {
      ok = reader.ReadBytes(input.tensor);
      input.bytes += input.tensor.size();
      ++pieces;
    } else {
      ok = reader.SkipField(tag, kNestingMax - 1);
    }
    if (!ok) return false;
  }
  // A single piece is checked when its tensor is read. Several pieces are joined for that, and the
  // joined bytes could be well-formed although a piece is not. So each one is checked here.
  if (pieces <= 1) return true;
  input.entry = bytes;
  return VisitPieces(bytes, error_,
                     [&](std::string_view piece) { return IsTensor(piece, error_); });
}

// Returns the earlier input with this name, or null.
PredictScan::Input* PredictScan::FindInput(std::string_view name) {
  // A table would cost most requests an allocation for nothing. Without a table, a request with
  // thousands of inputs would take quadratic time.
  if (inputs_.size() < kLinearSearchMax) {
    for (Input& input : inputs_) {
      if (input.name == name) return &input;
    }
    return nullptr;
  }
  if (index_.empty()) {
    for (size_t i = 0; i < inputs_.size(); ++i) index_.emplace(inputs_[i].name, i);
  }
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &inputs_[found->second];
}

// An input that a later one replaces must still be well-formed.
bool PredictScan::CheckReplaced(const Input& input) {
  const auto check = [&](std::string_view tensor) {
    return IsTensor(tensor, error_) && CheckVarints(tensor, 0, error_);
  };
  return input.entry.empty() ? check(input.tensor) : VisitPieces(input.entry, error_, check);
}

// Adds an input. It replaces an earlier one with the same name.
bool PredictScan::AddInput(const Input& input, WireReader& reader) {
  if (Input* earlier = FindInput(input.name)) {
    if (!CheckReplaced(*earlier)) {
      return reader.Fail("a tensor is malformed whose name comes again");
    }
    *earlier = input;
    return true;
  }
  if (inputs_.size() >= names_max_) {
    has_too_many_names_ = true;
    return reader.Fail("too many inputs");
  }
  // If the index is empty, FindInput has not built it yet, and will add all inputs when it does.
  if (!index_.empty()) index_.emplace(input.name, inputs_.size());
  inputs_.push_back(input);
  return true;
}

bool PredictScan::AddFilter(WireReader& reader, InferRequest& request) {
  std::string_view name;
  if (!reader.ReadString(name)) return false;
  if (request.output_filter.size() >= names_max_) {
    has_too_many_names_ = true;
    return reader.Fail("too many names in output_filter");
  }
  request.output_filter.push_back(name);
  return true;
}

bool PredictScan::ReadInputField(WireReader& reader) {
  std::string_view bytes;
  Input input;
  return reader.ReadBytes(bytes) && ReadInput(bytes, input) && AddInput(input, reader);
}

bool PredictScan::ReadSpecField(WireReader& reader, InferRequest& request) {
  std::string_view bytes;
  has_model_spec_ = true;
  return reader.ReadBytes(bytes) &&
         ReadModelSpec(bytes, kNestingMax - 1, model_, request.signature_name, error_);
}

bool PredictScan::ReadResponseField(uint32_t tag, WireReader& reader, InferRequest& response) {
  switch (tag) {
    case MakeTag(1, WireType::kLength):
      return ReadInputField(reader);
    case MakeTag(2, WireType::kLength):
      return ReadSpecField(reader, response);
    default:
      return reader.SkipField(tag, kNestingMax);
  }
}

bool PredictScan::ReadField(uint32_t tag, WireReader& reader, InferRequest& request) {
  std::string_view bytes;
  switch (tag) {
    case MakeTag(1, WireType::kLength):
      return ReadSpecField(reader, request);
    case MakeTag(2, WireType::kLength):
      return ReadInputField(reader);
    case MakeTag(3, WireType::kLength):
      return AddFilter(reader, request);
    // The server does not use these options, but protobuf would refuse malformed ones.
    case MakeTag(5, WireType::kLength):
      return reader.ReadBytes(bytes) &&
             CheckMessage(bytes, kPredictStreamedOptionsRules, kNestingMax - 1, error_);
    case MakeTag(7, WireType::kLength):
      return reader.ReadBytes(bytes) &&
             CheckMessage(bytes, kRequestOptionsRules, kNestingMax - 1, error_);
    default:
      return reader.SkipField(tag, kNestingMax);
  }
}

Status PredictScan::Scan(const Slice& message, size_t names_max, InferRequest& request) {
  return ScanMessage(message, names_max, Form::kRequest, request);
}

Status PredictScan::ScanResponse(const Slice& message, size_t names_max, InferRequest& response) {
  return ScanMessage(message, names_max, Form::kResponse, response);
}

Status PredictScan::ScanMessage(const Slice& message, size_t names_max, Form form,
                                InferRequest& request) {
  const bool is_request = form == Form::kRequest;
  const std::string_view name = is_request ? "PredictRequest" : "PredictResponse";
  names_max_ = names_max;
  request.names_owner = message.owner;
  WireReader reader(message.view(), error_);
  while (!reader.AtEnd()) {
    uint32_t tag = 0;
    if (reader.ReadTag(tag) &&
        (is_request ? ReadField(tag, reader, request) : ReadResponseField(tag, reader, request)))
      continue;
    // This limit is the server's own: the error must not say that the message is malformed.
    if (has_too_many_names_) {
      return InvalidArgument("{} has {}: more than {}", name,
                             is_request ? error_.what : "too many outputs", names_max);
    }
    return InvalidArgument("{} is malformed: {} at byte {} of {}", name, error_.what,
                           error_.where - message.view().data(), message.size);
  }
  return OkStatus();
}

// Protobuf merges the pieces of a sub-message. If each piece is well-formed, joining their bytes
// gives the same result.
StatusOr<Tensor> PredictScan::ReadInputTensor(const Input& input, const BufferRef& owner,
                                              RequestMemory& memory) const {
  if (input.entry.empty()) return ReadTensor(input.tensor, owner, memory, kTensorNesting);
  ASSIGN_OR_RETURN(const BufferRef joined, memory.Allocate(input.bytes));
  // The scan has checked all pieces, so this visit cannot fail.
  std::byte* at = joined->data();
  WireError error;
  VisitPieces(input.entry, error, [&](std::string_view piece) {
    if (!piece.empty()) std::memcpy(at, piece.data(), piece.size());
    at += piece.size();
    return true;
  });
  return ReadTensor({reinterpret_cast<const char*>(joined->data()), input.bytes}, joined, memory,
                    kTensorNesting);
}

Status PredictScan::ReadTensors(RequestMemory& memory, InferRequest& request) {
  // A run on an event loop that was too large has added inputs. This is its second try.
  request.inputs.clear();
  for (const Input& input : inputs_) {
    StatusOr<Tensor> tensor = ReadInputTensor(input, request.names_owner, memory);
    if (!tensor.ok()) {
      return Error(tensor.status().code(), "tensor parsing error: {}: {}", input.name,
                   MessageOf(tensor.status()));
    }
    request.inputs.push_back({input.name, *std::move(tensor)});
  }
  return OkStatus();
}

void PredictScan::Clear() {
  has_too_many_names_ = false;
  has_model_spec_ = false;
  model_ = {};
  inputs_.clear();
  if (!index_.empty()) index_.clear();
}

Status ReadPredictRequest(const Slice& message, const PredictReadLimits& limits, ReadPredict& out) {
  out = {};
  PredictScan scan;
  TRY(scan.Scan(message, limits.names_max, out.request));
  out.has_model_spec = scan.has_model_spec();
  out.model = scan.model();
  RequestMemory memory(limits.decoded_tensor_bytes_max);
  return scan.ReadTensors(memory, out.request);
}

}  // namespace penstock::tfs
