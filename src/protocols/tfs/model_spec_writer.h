// SPDX-License-Identifier: Apache-2.0
// Writes the message tensorflow.serving.ModelSpec: that of an answer, or of a request for the log.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "core/servable.h"
#include "protocols/tfs/wire_writer.h"

namespace penstock::tfs {

// The values of a ModelSpec. An answer has the version that ran. A request has a version, a label,
// or neither.
struct ModelSpecFields {
  std::string_view name;
  std::optional<core::VersionNumber> version;
  std::string_view signature_name = {};
  std::string_view label = {};
};

// The sizes of a ModelSpec. They are needed before the bytes, because a length comes before its
// content:
//
//   const ModelSpecPlan plan(model);
//   bytes += LengthFieldBytes(kSpecField, plan.bytes);  // then allocate
//   WriteModelSpec(kSpecField, model, plan, out);
//
// Empty strings take no bytes, and neither does the number of a version 0. Immutable.
struct ModelSpecPlan {
  explicit ModelSpecPlan(const ModelSpecFields& model) {
    const auto version = model.version ? static_cast<uint64_t>(model.version->value) : 0;
    wrapper_bytes = version == 0 ? 0 : 1 + VarintBytes(version);
    bytes = model.version ? LengthFieldBytes(2, wrapper_bytes) : 0;
    if (!model.label.empty()) bytes += LengthFieldBytes(4, model.label.size());
    if (!model.name.empty()) bytes += LengthFieldBytes(1, model.name.size());
    if (!model.signature_name.empty()) bytes += LengthFieldBytes(3, model.signature_name.size());
  }
  uint64_t wrapper_bytes;  // of the Int64Value
  uint64_t bytes;
};

// Writes it as the field `field` of another message. `plan` must come from the same `model`.
inline void WriteModelSpec(uint32_t field, const ModelSpecFields& model, const ModelSpecPlan& plan,
                           WireWriter& out) {
  out.LengthHeader(field, plan.bytes);
  if (!model.name.empty()) out.BytesField(1, model.name);
  if (model.version) out.LengthHeader(2, plan.wrapper_bytes);
  if (plan.wrapper_bytes > 0) out.VarintField(1, static_cast<uint64_t>(model.version->value));
  if (!model.label.empty()) out.BytesField(4, model.label);
  if (!model.signature_name.empty()) out.BytesField(3, model.signature_name);
}

// Makes the same as bytes of its own. Behind another message they add to its ModelSpec.
inline Slice MakeModelSpec(uint32_t field, const ModelSpecFields& model) {
  const ModelSpecPlan plan(model);
  BufferRef buffer = AllocateBuffer(LengthFieldBytes(field, plan.bytes));
  WireWriter out(buffer->data());
  WriteModelSpec(field, model, plan, out);
  return WholeSlice(std::move(buffer));
}

}  // namespace penstock::tfs
