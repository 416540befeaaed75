// SPDX-License-Identifier: Apache-2.0
// Reads Examples into the inputs of a signature: one pass over the bytes, which writes each value
// to its place in the batch. It makes no allocation for an Example, and no protobuf objects.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "absl/container/inlined_vector.h"
#include "base/buffer.h"
#include "base/request_memory.h"
#include "base/status.h"
#include "infer/example_plan.h"
#include "infer/request.h"
#include "protocols/tfs/example_input.h"

namespace penstock::tfs {

// Sets `inputs` to the tensors that `plan`, which must have no problem, makes of the Examples:
// either one tensor of serialized Examples, or one for each feature. Their first dimension counts
// the Examples; the others are those of the signature, with the size of the first Example's row for
// an unknown one. Strings are views of the message, which `owner` keeps alive; the names are those
// of the signature, so the plan must outlive the inputs.
//
// The Examples are read by protobuf's rules: pieces of a message are merged, of a repeated name the
// last entry counts, packed and single values are the same. A feature of an Example wins over that
// of the context. Features that no input takes are ignored. A feature without a kind is as good as
// none. An integer may fill an input of floats, but not the opposite.
//
// The time is linear in the bytes of the message and of the tensors, whatever a client sends.
//
// Errors: INVALID_ARGUMENT, with the Example, the feature, what came and what is wanted;
// RESOURCE_EXHAUSTED. After an error, `inputs` is of no use.
Status ReadExamples(const ExampleInput& input, const ExamplePlan& plan, const BufferRef& owner,
                    RequestMemory& memory, NamedTensors& inputs);

}  // namespace penstock::tfs
