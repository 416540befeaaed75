// SPDX-License-Identifier: Apache-2.0
// Converts an InferRequest of GraphPipe to ours, directly from the received bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/buffer.h"
#include "base/request_memory.h"
#include "base/status.h"
#include "infer/request.h"
#include "infer/signature.h"

namespace penstock::graphpipe {

class FlatReader;
struct FlatVector;

// The key of the request's config string in InferRequest::options.
inline constexpr std::string_view kConfigOption = "config";

enum class RequestKind { kInfer, kMetadata };

// Reads only what kind of request `message` is. Errors: INVALID_ARGUMENT if it is none, or if what
// says so is malformed.
StatusOr<RequestKind> ReadKind(std::string_view message);

// The limits for what one message may cost the server.
struct ReadLimits {
  size_t names_max = 4096;  // tensors, and names of inputs or outputs
  size_t name_bytes_max = 1024;
  size_t config_bytes_max = 64 * 1024;
};

// Reads one request, and keeps the names that it had to make. One thread at a time.
//
//   TRY(reader.Read(message, model.info(), {}, memory, request));
//   ...                     // run it; then
//   reader.Clear();
class RequestReader final {
 public:
  // Sets the inputs, the output filter, the config and names_owner of `request`, whose signature is
  // set. Tensors are views of `message`, if its bytes are aligned for their type. May be called
  // again. The views of names live as long as the message, the model and this object.
  //
  // An input without a name is the input of the signature at that position. "op" and "op:0" are the
  // same name, as in TensorFlow, unless the signature has both. A type that GraphPipe
  // lacks is made of the one that stands for it (TypeFor). Parts of a message, also names, may
  // share bytes; what they have together beyond the size of the message counts in `memory`.
  //
  // Errors: INVALID_ARGUMENT (what is wrong, where, and what would be right); RESOURCE_EXHAUSTED.
  Status Read(const Slice& message, const ModelInfo& info, const ReadLimits& limits,
              RequestMemory& memory, InferRequest& request);
  void Clear() { *this = {}; }

  // How many bytes of tensors Read has copied or converted.
  uint64_t copied_bytes() const { return copied_bytes_; }

 private:
  class MessageUse;
  class TensorReader;

  static Status ReadNames(FlatReader& reader, const FlatVector& vector, std::string_view field,
                          const ReadLimits& limits, MessageUse& use, OutputFilter& names);

  // Returns the name of the input at position `index`, of `count`. `names` are those of the client.
  StatusOr<std::string_view> InputName(std::span<const std::string_view> names, size_t index,
                                       size_t count, const Signature* signature);

  uint64_t copied_bytes_ = 0;
  // Names for the inputs of a model without a signature, if the client sends none.
  std::vector<std::string> made_names_;
};

// A net::LandingFunction for requests. Returns the position of the elements of the largest tensor
// that begins in the prefix, of at least 1 KiB, or 0. Reads only the prefix and allocates nothing.
// A wrong result costs a copy later, and no more.
size_t RequestLanding(std::span<const std::byte> prefix, uint64_t body_bytes);

}  // namespace penstock::graphpipe
