// SPDX-License-Identifier: Apache-2.0
// Writes the message tensorflow.serving.ModelSpec of an answer.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/servable.h"
#include "protocols/tfs/wire_writer.h"

namespace penstock::tfs {

// The values for the ModelSpec of an answer.
struct AnsweringModel {
  std::string_view name;
  core::VersionNumber version;
  std::string_view signature_name;
};

// The sizes of a ModelSpec. They are needed before the bytes, because a length comes before its
// content:
//
//   const ModelSpecPlan plan(model);
//   bytes += LengthFieldBytes(kSpecField, plan.bytes);  // then allocate
//   WriteModelSpec(kSpecField, model, plan, out);
//
// Empty strings and a version number 0 take no bytes. Immutable.
struct ModelSpecPlan {
  explicit ModelSpecPlan(const AnsweringModel& model) {
    const auto version = static_cast<uint64_t>(model.version.value);
    wrapper_bytes = version == 0 ? 0 : 1 + VarintBytes(version);
    bytes = LengthFieldBytes(2, wrapper_bytes);
    if (!model.name.empty()) bytes += LengthFieldBytes(1, model.name.size());
    if (!model.signature_name.empty()) bytes += LengthFieldBytes(3, model.signature_name.size());
  }
  uint64_t wrapper_bytes;  // of the Int64Value
  uint64_t bytes;
};

// Writes it as the field `field` of another message. `plan` must come from the same `model`.
inline void WriteModelSpec(uint32_t field, const AnsweringModel& model, const ModelSpecPlan& plan,
                           WireWriter& out) {
  out.LengthHeader(field, plan.bytes);
  if (!model.name.empty()) out.BytesField(1, model.name);
  out.LengthHeader(2, plan.wrapper_bytes);
  if (plan.wrapper_bytes > 0) out.VarintField(1, static_cast<uint64_t>(model.version.value));
  if (!model.signature_name.empty()) out.BytesField(3, model.signature_name);
}

}  // namespace penstock::tfs
