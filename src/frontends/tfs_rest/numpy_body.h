// SPDX-License-Identifier: Apache-2.0
// The bodies of :predict that are numpy's files: .npy for one tensor, .npz for tensors by name.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/buffer.h"
#include "base/request_memory.h"
#include "base/status.h"
#include "infer/request.h"
#include "infer/signature.h"

namespace penstock::tfs_rest {

// The facts that a file of numpy cannot hold. They come in the query of the URL. One thread at a
// time.
struct NumpyQuery {
  std::string signature_name;  // empty: the default signature
  std::vector<std::string> output_filter;
};

// Parses "signature_name=NAME&output_filter=NAME". Each output has a key of its own. Errors:
// INVALID_ARGUMENT for other keys, wrong percent-encoding, and more than 4096 outputs.
StatusOr<NumpyQuery> ParseNumpyQuery(std::string_view query);

// Sets the inputs of `request` from an .npy file, whose tensor is the only input of the signature
// that is required. The signature's name of `request` is set. Errors: INVALID_ARGUMENT if the
// signature needs several inputs, and those of ReadNpy.
Status DecodeNpy(const Slice& body, const ModelInfo& info, RequestMemory& memory,
                 InferRequest& request);

// Sets the inputs of `request` from an .npz file of at most 4096 arrays, or `arrays_max` for a
// model that takes any inputs. The names are views of `body`. Errors: those of ReadZip and ReadNpy,
// with the name of the array; INVALID_ARGUMENT for a name that is not UTF-8 or comes twice.
Status DecodeNpz(const Slice& body, const ModelInfo& info, size_t arrays_max, RequestMemory& memory,
                 InferRequest& request);

// Writes the only output as an .npy file. Errors: INVALID_ARGUMENT if there are several, and those
// of WriteNpy.
StatusOr<ByteChain> EncodeNpy(const NamedTensors& outputs, RequestMemory& memory);

// Writes all outputs as an .npz file. Errors: those of WriteNpy and of ZipWriter.
StatusOr<ByteChain> EncodeNpz(const NamedTensors& outputs, RequestMemory& memory);

}  // namespace penstock::tfs_rest
