// SPDX-License-Identifier: Apache-2.0
// Converts a PredictRequest to an InferRequest, directly from the received bytes. It accepts the
// same messages as protobuf's own parser, with the same meaning, but views tensor bytes instead of
// copying them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "base/buffer.h"
#include "base/request_memory.h"
#include "base/status.h"
#include "base/string_map.h"
#include "infer/request.h"
#include "protocols/tfs/tensor_reader.h"
#include "protocols/tfs/wire_reader.h"

namespace penstock::tfs {

// The limits for what one message may cost the server.
struct PredictReadLimits {
  // The limit for all tensors of a request beyond the message. Used by ReadPredictRequest.
  uint64_t decoded_tensor_bytes_max = kDecodedTensorBytesMax;
  // The most inputs, and the most entries of the output filter. Without a limit, names that do not
  // exist would cost many searches.
  size_t names_max = 4096;
};

// Reads a PredictRequest in two steps. Scan finds the model, and allocates no memory for tensors.
// ReadTensors makes the tensors. Between the two, the caller finds the model, which decides whether
// the request is worth any memory:
//
//   TRY(scan.Scan(message, names_max, request));
//   if (!scan.has_model_spec()) return MissingModelSpec();
//   ASSIGN_OR_RETURN(ModelHandle model, engine.Find(scan.model()));
//   TRY(scan.ReadTensors(memory, request));
//   ...                       // run it; then
//   scan.Clear();
//
// Reuse the object: Clear keeps its memory. One thread at a time.
class PredictScan final {
 public:
  // Sets signature_name, output_filter and names_owner of `request`, which must be clear. They are
  // views into `message`, which names_owner keeps alive. Errors: INVALID_ARGUMENT for malformed
  // bytes (what, and at which byte), or more names than `names_max`.
  Status Scan(const Slice& message, size_t names_max, InferRequest& request);
  // The same for a PredictResponse: its outputs become the inputs of `response` in ReadTensors, and
  // its ModelSpec is model().
  Status ScanResponse(const Slice& message, size_t names_max, InferRequest& response);
  // Sets the inputs of `request`, which must be the one given to Scan. May be called again. Errors:
  // those of ReadTensor, with TensorFlow Serving's text "tensor parsing error: ALIAS" before the
  // reason.
  Status ReadTensors(RequestMemory& memory, InferRequest& request);
  // Forgets the message.
  void Clear();

  bool has_model_spec() const { return has_model_spec_; }
  // A view of the message. REQUIRES: has_model_spec().
  const ModelSelector& model() const { return model_; }

 private:
  // One entry of the map `inputs`.
  struct Input {
    std::string_view name;
    std::string_view tensor;  // a TensorProto; if it comes in several pieces, the last one
    std::string_view entry;   // the whole entry, if there are several pieces
    size_t bytes = 0;         // of all pieces
  };

  // The fields of the map of tensors, and of the ModelSpec.
  enum class Form { kRequest, kResponse };

  Status ScanMessage(const Slice& message, size_t names_max, Form form, InferRequest& request);
  // These return false, and set error_, if the bytes are malformed or there are too many names.
  bool ReadField(uint32_t tag, WireReader& reader, InferRequest& request);
  bool ReadResponseField(uint32_t tag, WireReader& reader, InferRequest& response);
  bool ReadInputField(WireReader& reader);
  bool ReadSpecField(WireReader& reader, InferRequest& request);
  bool ReadInput(std::string_view bytes, Input& input);
  bool AddInput(const Input& input, WireReader& reader);
  bool AddFilter(WireReader& reader, InferRequest& request);
  // An input that a later one replaces must still be well-formed, as protobuf checks it.
  bool CheckReplaced(const Input& input);
  // Returns the earlier input with this name, or null.
  Input* FindInput(std::string_view name);
  StatusOr<Tensor> ReadInputTensor(const Input& input, const BufferRef& owner,
                                   RequestMemory& memory) const;

  size_t names_max_ = 0;
  bool has_too_many_names_ = false;
  WireError error_;
  bool has_model_spec_ = false;
  ModelSelector model_;
  absl::InlinedVector<Input, 2> inputs_;
  // Only used with many inputs; a few are searched one by one.
  absl::flat_hash_map<std::string_view, size_t, StringViewHash, std::equal_to<>> index_;
};

// A PredictRequest that was read in one step. Its views point into the message, which
// `request.names_owner` keeps alive. One thread at a time.
struct ReadPredict {
  bool has_model_spec = false;
  ModelSelector model;
  InferRequest request;  // signature_name, inputs, output_filter and names_owner are set
};

// Clears `out`, then reads `message` into it. Errors: those of the two steps.
Status ReadPredictRequest(const Slice& message, const PredictReadLimits& limits, ReadPredict& out);

// A net::LandingFunction for PredictRequest. Returns the position of the first big tensor's
// elements, of at least 1 KiB, or 0. Reads only the prefix and allocates nothing. A wrong result
// costs a copy later, and no more.
size_t PredictLanding(std::span<const std::byte> prefix, uint64_t body_bytes);
// The same for a PredictResponse.
size_t PredictResponseLanding(std::span<const std::byte> prefix, uint64_t body_bytes);

}  // namespace penstock::tfs
