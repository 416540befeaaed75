// SPDX-License-Identifier: Apache-2.0
// Writes the answers of GraphPipe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/buffer.h"
#include "base/request_memory.h"
#include "base/status.h"
#include "infer/request.h"

namespace penstock::graphpipe {

// The form of the tensors in an answer.
struct WriteOptions {
  // Tensors with at least this many bytes are sent without a copy.
  size_t gather_bytes_min = 4096;
};

// Writes an InferResponse with the tensors of `outputs`, in their order. Big ones are slices of
// their own memory, at a multiple of 64 bytes in the message. Everything else shares one buffer,
// for which `memory` provides. Types that GraphPipe lacks become those that stand for them
// (TypeFor). `copied_bytes`, if not null, is set to the bytes of tensors that were copied or
// converted. Errors: UNIMPLEMENTED for complex numbers; RESOURCE_EXHAUSTED if the message would
// exceed flatbuffers' limit of 2 GiB, or `memory`.
StatusOr<ByteChain> WriteInferResponse(std::span<const NamedTensor> outputs,
                                       const WriteOptions& options, RequestMemory& memory,
                                       uint64_t* copied_bytes = nullptr);

// Writes an InferResponse that has only an error.
ByteChain WriteErrorResponse(int64_t code, std::string_view message);

}  // namespace penstock::graphpipe
