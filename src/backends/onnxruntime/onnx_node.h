// SPDX-License-Identifier: Apache-2.0
// Finds out, from the operators of an ONNX graph, what a run of it may do.
#pragma once

#include <cstdint>
#include <string_view>

#include "proto_file.h"

namespace penstock::onnxruntime {

// PENSTOCK_HAS_STATE and PENSTOCK_NOT_DETERMINISTIC as they are true of a NodeProto and of the
// graphs in its attributes. Operators of other libraries are not known, and count as plain ones.
uint32_t FlagsOfNode(Fields node);

// The same of one operator. `is_seeded`: it has a seed. `has_third_input`: that input is not empty.
uint32_t FlagsOfOperator(std::string_view domain, std::string_view operation, bool is_seeded,
                         bool has_third_input);

}  // namespace penstock::onnxruntime
