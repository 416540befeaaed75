// SPDX-License-Identifier: Apache-2.0
// A signature of a SavedModel is a set of tensors of the graph, so a run of the session that uses
// only such tensors is a run of the signature.
#include "loading/session_run.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "protocols/tfs/tensor_reader.h"
#include "protocols/tfs/wire_reader.h"

namespace penstock {
namespace {

using tfs::kNestingMax;
using tfs::MakeTag;
using tfs::WireError;
using tfs::WireReader;
using tfs::WireType;

// The fields of SessionRunRequest and NamedTensorProto that are used. Views of the message.
struct SessionRun {
  struct Feed {
    std::string_view name;
    std::string_view tensor;
  };
  std::vector<Feed> feeds;
  std::vector<std::string_view> fetches;
  bool has_targets = false;
  bool has_aliases = false;  // the names are those of the signature
};

bool ReadFeed(std::string_view bytes, SessionRun::Feed& feed, WireError& error) {
  WireReader reader(bytes, error);
  while (!reader.AtEnd()) {
    uint32_t tag = 0;
    if (!reader.ReadTag(tag)) return false;
    const bool ok = tag == MakeTag(1, WireType::kLength)   ? reader.ReadString(feed.name)
                    : tag == MakeTag(2, WireType::kLength) ? reader.ReadBytes(feed.tensor)
                                                           : reader.SkipField(tag, kNestingMax - 1);
    if (!ok) return false;
  }
  return true;
}

bool ReadField(uint32_t tag, WireReader& reader, SessionRun& run) {
  std::string_view bytes;
  switch (tag) {
    case MakeTag(2, WireType::kLength):
      return reader.ReadBytes(bytes) && ReadFeed(bytes, run.feeds.emplace_back(), reader.error());
    case MakeTag(3, WireType::kLength):
      return reader.ReadString(run.fetches.emplace_back());
    case MakeTag(4, WireType::kLength):
      run.has_targets = true;
      return reader.ReadString(bytes);
    case MakeTag(6, WireType::kVarint): {
      uint64_t value = 0;
      if (!reader.ReadVarint(value)) return false;
      run.has_aliases = value != 0;
      return true;
    }
    default:
      return reader.SkipField(tag, kNestingMax);
  }
}

// A tensor without a number is the first output of its operation.
std::string_view WithoutZero(std::string_view name) {
  return name.ends_with(":0") ? name.substr(0, name.size() - 2) : name;
}

const TensorSpec* FindTensor(const std::vector<TensorSpec>& specs, std::string_view name,
                             bool is_alias) {
  const auto found = std::ranges::find_if(specs, [&](const TensorSpec& spec) {
    return is_alias ? spec.name == name : WithoutZero(spec.backend_name) == WithoutZero(name);
  });
  return found == specs.end() ? nullptr : &*found;
}

bool Fits(const Signature& signature, const SessionRun& run) {
  const auto has_all = [&](const std::vector<TensorSpec>& specs, const auto& names, auto name_of) {
    return std::ranges::all_of(names, [&](const auto& each) {
      return FindTensor(specs, name_of(each), run.has_aliases) != nullptr;
    });
  };
  return has_all(signature.inputs, run.feeds, [](const auto& feed) { return feed.name; }) &&
         has_all(signature.outputs, run.fetches, [](std::string_view name) { return name; });
}

}  // namespace

Status ReadSessionRun(const Slice& message, const ModelInfo& info, RequestMemory& memory,
                      InferRequest& request) {
  SessionRun run;
  WireError error;
  WireReader reader(message.view(), error);
  while (!reader.AtEnd()) {
    uint32_t tag = 0;
    if (reader.ReadTag(tag) && ReadField(tag, reader, run)) continue;
    return InvalidArgument("SessionRunRequest is malformed: {} at byte {} of {}", error.what,
                           error.where - message.view().data(), message.size);
  }
  const auto signature =
      std::ranges::find_if(info.signatures, [&](const Signature& each) { return Fits(each, run); });
  if (signature == info.signatures.end() || run.has_targets || run.fetches.empty()) {
    return Error(StatusCode::kUnimplemented,
                 "Unsupported log_type for warmup: SessionRun, unless one signature of the model "
                 "has all tensors that it feeds and fetches, and it has no targets");
  }
  request.signature_name = signature->name;
  request.names_owner = message.owner;
  for (const SessionRun::Feed& feed : run.feeds) {
    const TensorSpec& input = *FindTensor(signature->inputs, feed.name, run.has_aliases);
    ASSIGN_OR_RETURN(Tensor tensor,
                     tfs::ReadTensor(feed.tensor, message.owner, memory, kNestingMax - 1));
    request.inputs.push_back({input.name, std::move(tensor)});
  }
  for (const std::string_view fetch : run.fetches) {
    request.output_filter.push_back(FindTensor(signature->outputs, fetch, run.has_aliases)->name);
  }
  return OkStatus();
}

}  // namespace penstock
