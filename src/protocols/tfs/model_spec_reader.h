// SPDX-License-Identifier: Apache-2.0
// Reads the message tensorflow.serving.ModelSpec.
#pragma once

#include <string_view>

#include "base/buffer.h"
#include "infer/request.h"
#include "protocols/tfs/wire_reader.h"

namespace penstock::tfs {

// Merges a ModelSpec into the one read before, which protobuf's rules require for repeated pieces.
// Version and label are alternatives, and the last one wins. `model` and `signature_name` begin
// empty, and the results are views of `bytes`. Returns false, and sets `error`, if it is malformed.
// `nesting_left` as for WireReader::SkipField.
bool ReadModelSpec(std::string_view bytes, int nesting_left, ModelSelector& model,
                   std::string_view& signature_name, WireError& error);

// Reads the ModelSpec of a request if it is the first field of the message, as it is in what
// protobuf's own writers make, without reading the rest. Returns false otherwise.
bool PeekModelSpec(const Slice& message, ModelSelector& model);

}  // namespace penstock::tfs
