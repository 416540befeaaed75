// SPDX-License-Identifier: Apache-2.0
#include "protocols/tfs/predict_reader.h"

#include <optional>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "base/string_map.h"
#include "protocols/tfs/message_check.h"
#include "protocols/tfs/tensor_scan.h"
#include "protocols/tfs/wire_reader.h"

namespace penstock::tfs {
namespace {

// One entry of the map `inputs`.
struct Input {
  std::string_view name;
  std::string_view tensor;  // a TensorProto
  BufferRef joined;         // keeps the tensor's bytes if they came in several pieces
};

// How deep messages may nest in a tensor, which lies in a map entry in the message.
constexpr int kTensorNesting = kNestingMax - 2;

// Below this many inputs a repeated name is looked for one by one.
constexpr size_t kLinearSearchMax = 16;

// What is gathered in one pass over the message. One thread at a time.
struct Parse {
  const PredictReadLimits& limits;
  ReadPredict& out;
  WireError error;
  bool too_many_names = false;
  absl::InlinedVector<Input, 2> inputs = {};
  // Filled once there are more inputs than are searched one by one.
  absl::flat_hash_map<std::string_view, size_t, StringViewHash, std::equal_to<>> index = {};
};

bool ReadVersion(std::string_view bytes, int nesting_left, int64_t& version, WireError& error) {
  WireReader reader(bytes, error);
  while (!reader.AtEnd()) {
    uint32_t tag = 0;
    if (!reader.ReadTag(tag)) return false;
    if (tag == MakeTag(1, WireType::kVarint)) {
      uint64_t value = 0;
      if (!reader.ReadVarint(value)) return false;
      version = static_cast<int64_t>(value);
    } else if (!reader.SkipField(tag, nesting_left)) {
      return false;
    }
  }
  return true;
}

// Merges a ModelSpec into what was read before, as the protobuf rules want of repeated pieces.
bool ReadModelSpec(std::string_view bytes, int nesting_left, ReadPredict& out, WireError& error) {
  WireReader reader(bytes, error);
  while (!reader.AtEnd()) {
    uint32_t tag = 0;
    if (!reader.ReadTag(tag)) return false;
    bool ok = true;
    if (tag == MakeTag(1, WireType::kLength)) {
      ok = reader.ReadString(out.model.name);
    } else if (tag == MakeTag(2, WireType::kLength)) {
      std::string_view wrapper;
      int64_t version = out.model.version ? out.model.version->value : 0;
      ok = reader.ReadBytes(wrapper) && ReadVersion(wrapper, nesting_left - 1, version, error);
      out.model.version = core::VersionNumber{version};
      out.model.label = {};
    } else if (tag == MakeTag(3, WireType::kLength)) {
      ok = reader.ReadString(out.request.signature_name);
    } else if (tag == MakeTag(4, WireType::kLength)) {
      ok = reader.ReadString(out.model.label);
      out.model.version.reset();
    } else {
      ok = reader.SkipField(tag, nesting_left);
    }
    if (!ok) return false;
  }
  return true;
}

// Gathers the pieces of the entry's value: protobuf merges sub-messages, which is the same as
// joining their bytes if each piece is well-formed. The entry itself was read without error before.
bool JoinPieces(std::string_view entry, size_t bytes, Input& input, WireError& error) {
  input.joined = AllocateBuffer(bytes);
  std::byte* at = input.joined->data();
  WireReader reader(entry, error);
  while (!reader.AtEnd()) {
    uint32_t tag = 0;
    if (!reader.ReadTag(tag)) return false;
    if (tag != MakeTag(2, WireType::kLength)) {
      if (!reader.SkipField(tag, kNestingMax)) return false;
      continue;
    }
    std::string_view piece;
    if (!reader.ReadBytes(piece)) return false;
    TensorScan scan;
    WireReader tensor(piece, error);
    if (!ScanTensor(tensor, kTensorNesting, scan)) return false;
    if (!piece.empty()) std::memcpy(at, piece.data(), piece.size());
    at += piece.size();
  }
  input.tensor = {reinterpret_cast<const char*>(input.joined->data()), bytes};
  return true;
}

bool ReadInput(std::string_view bytes, int nesting_left, Input& input, WireError& error) {
  WireReader reader(bytes, error);
  size_t pieces = 0;
  size_t piece_bytes = 0;
  while (!reader.AtEnd()) {
    uint32_t tag = 0;
    if (!reader.ReadTag(tag)) return false;
    bool ok = true;
    if (tag == MakeTag(1, WireType::kLength)) {
      ok = reader.ReadString(input.name);
    } else if (tag == MakeTag(2, WireType::kLength)) {
      ok = reader.ReadBytes(input.tensor);
      piece_bytes += input.tensor.size();
      ++pieces;
    } else {
      ok = reader.SkipField(tag, nesting_left);
    }
    if (!ok) return false;
  }
  return pieces <= 1 || JoinPieces(bytes, piece_bytes, input, error);
}

// The input of this name that came before, or null.
Input* FindInput(Parse& parse, std::string_view name) {
  auto& inputs = parse.inputs;
  if (inputs.size() < kLinearSearchMax) {
    for (Input& input : inputs) {
      if (input.name == name) return &input;
    }
    return nullptr;
  }
  if (parse.index.empty()) {
    for (size_t i = 0; i < inputs.size(); ++i) parse.index.emplace(inputs[i].name, i);
  }
  const auto found = parse.index.find(name);
  return found == parse.index.end() ? nullptr : &inputs[found->second];
}

// A later entry of a name replaces an earlier one, which must be well-formed all the same.
bool AddInput(Parse& parse, Input input, WireReader& reader) {
  if (Input* earlier = FindInput(parse, input.name)) {
    TensorScan scan;
    WireReader replaced(earlier->tensor, parse.error);
    if (!ScanTensor(replaced, kTensorNesting, scan) ||
        !CheckVarints(earlier->tensor, 0, parse.error)) {
      return reader.Fail("a tensor is malformed whose name comes again");
    }
    *earlier = std::move(input);
    return true;
  }
  if (parse.inputs.size() >= parse.limits.names_max) {
    parse.too_many_names = true;
    return reader.Fail("too many inputs");
  }
  if (!parse.index.empty()) parse.index.emplace(input.name, parse.inputs.size());
  parse.inputs.push_back(std::move(input));
  return true;
}

bool AddFilter(Parse& parse, WireReader& reader) {
  std::string_view name;
  if (!reader.ReadString(name)) return false;
  if (parse.out.request.output_filter.size() >= parse.limits.names_max) {
    parse.too_many_names = true;
    return reader.Fail("too many names in output_filter");
  }
  parse.out.request.output_filter.push_back(name);
  return true;
}

bool ReadField(Parse& parse, uint32_t tag, WireReader& reader) {
  std::string_view bytes;
  switch (tag) {
    case MakeTag(1, WireType::kLength):
      parse.out.has_model_spec = true;
      return reader.ReadBytes(bytes) &&
             ReadModelSpec(bytes, kNestingMax - 1, parse.out, parse.error);
    case MakeTag(2, WireType::kLength): {
      Input input;
      return reader.ReadBytes(bytes) && ReadInput(bytes, kNestingMax - 1, input, parse.error) &&
             AddInput(parse, std::move(input), reader);
    }
    case MakeTag(3, WireType::kLength):
      return AddFilter(parse, reader);
    case MakeTag(5, WireType::kLength):
      return reader.ReadBytes(bytes) &&
             CheckMessage(bytes, kPredictStreamedOptionsRules, kNestingMax - 1, parse.error);
    case MakeTag(7, WireType::kLength):
      return reader.ReadBytes(bytes) &&
             CheckMessage(bytes, kRequestOptionsRules, kNestingMax - 1, parse.error);
    default:
      return reader.SkipField(tag, kNestingMax);
  }
}

Status ReadTensors(Parse& parse, const BufferRef& owner) {
  uint64_t budget_bytes = parse.limits.decoded_tensor_bytes_max;
  for (Input& input : parse.inputs) {
    StatusOr<Tensor> tensor =
        ReadTensor(input.tensor, input.joined ? input.joined : owner, budget_bytes, kTensorNesting);
    if (!tensor.ok()) {
      return Error(tensor.status().code(), "tensor parsing error: {}: {}", input.name,
                   MessageOf(tensor.status()));
    }
    parse.out.request.inputs.push_back({input.name, *std::move(tensor)});
  }
  return OkStatus();
}

}  // namespace

void ReadPredict::Clear() {
  has_model_spec = false;
  model = {};
  request.signature_name = {};
  request.inputs.clear();
  request.output_filter.clear();
  request.names_owner = {};
}

Status ReadPredictRequest(const Slice& message, const PredictReadLimits& limits, ReadPredict& out) {
  out.Clear();
  out.request.names_owner = message.owner;
  Parse parse{limits, out, {}};
  WireReader reader(message.view(), parse.error);
  while (!reader.AtEnd()) {
    uint32_t tag = 0;
    if (reader.ReadTag(tag) && ReadField(parse, tag, reader)) continue;
    if (parse.too_many_names) {
      return InvalidArgument("PredictRequest has {}: more than {}", parse.error.what,
                             limits.names_max);
    }
    return InvalidArgument("PredictRequest is malformed: {} at byte {} of {}", parse.error.what,
                           parse.error.where - message.view().data(), message.size);
  }
  return ReadTensors(parse, message.owner);
}

}  // namespace penstock::tfs
