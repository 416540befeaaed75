// SPDX-License-Identifier: Apache-2.0
// Which signatures of a model can run several requests at once.
#pragma once

#include <cstdint>
#include <string>

#include "infer/signature.h"

namespace penstock::batch {

// How sure it is that a signature computes each row on its own.
enum class Verdict : uint8_t {
  kImpossible,  // an input or output has no rows along its first dimension
  kDoubtful,  // rows may depend on each other, or on earlier requests: only if the operator says so
  kLikely,    // every input and output may have any number of rows
};

// What the description of a model says about batching one signature. Immutable.
struct BatchRule {
  Verdict verdict = Verdict::kLikely;
  std::string reason = {};  // against it; continues "the signature 's' is not batched: "
};

// Judges one signature. `traits` are those of its model. A row is an entry of the first dimension.
BatchRule JudgeSignature(const Signature& signature, const ModelTraits& traits);

}  // namespace penstock::batch
