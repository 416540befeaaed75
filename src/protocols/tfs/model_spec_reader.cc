// SPDX-License-Identifier: Apache-2.0
#include "protocols/tfs/model_spec_reader.h"

namespace penstock::tfs {
namespace {

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

}  // namespace

bool ReadModelSpec(std::string_view bytes, int nesting_left, ModelSelector& model,
                   std::string_view& signature_name, WireError& error) {
  WireReader reader(bytes, error);
  while (!reader.AtEnd()) {
    uint32_t tag = 0;
    if (!reader.ReadTag(tag)) return false;
    bool ok = true;
    if (tag == MakeTag(1, WireType::kLength)) {
      ok = reader.ReadString(model.name);
    } else if (tag == MakeTag(2, WireType::kLength)) {
      std::string_view wrapper;
      // A further piece of the wrapper may lack the value. Then the earlier value stays.
      int64_t version = model.version ? model.version->value : 0;
      ok = reader.ReadBytes(wrapper) && ReadVersion(wrapper, nesting_left - 1, version, error);
      model.version = core::VersionNumber{version};
      // Version and label are alternatives (a `oneof`): the last one wins.
      model.label = {};
    } else if (tag == MakeTag(3, WireType::kLength)) {
      ok = reader.ReadString(signature_name);
    } else if (tag == MakeTag(4, WireType::kLength)) {
      ok = reader.ReadString(model.label);
      model.version.reset();
    } else {
      ok = reader.SkipField(tag, nesting_left);
    }
    if (!ok) return false;
  }
  return true;
}

bool PeekModelSpec(const Slice& message, ModelSelector& model) {
  WireError error;
  WireReader reader({reinterpret_cast<const char*>(message.data), message.size}, error);
  uint32_t tag = 0;
  std::string_view spec, signature_name;
  return !reader.AtEnd() && reader.ReadTag(tag) && tag == MakeTag(1, WireType::kLength) &&
         reader.ReadBytes(spec) &&
         ReadModelSpec(spec, kNestingMax - 1, model, signature_name, error);
}

}  // namespace penstock::tfs
