// SPDX-License-Identifier: Apache-2.0
// Writes the body of a :classify or :regress answer.
#pragma once

#include "base/buffer.h"
#include "base/request_memory.h"
#include "base/status.h"
#include "protocols/tfs/example_result.h"

namespace penstock::tfs_rest {

// The body is {"results": [...]}: for each Example a list of [label, score], or a value. `memory`
// provides the text's blocks. Errors: INVALID_ARGUMENT if a label is not UTF-8, RESOURCE_EXHAUSTED.
StatusOr<ByteChain> EncodeResults(const tfs::ExampleResult& result, RequestMemory& memory);

}  // namespace penstock::tfs_rest
