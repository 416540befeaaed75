// SPDX-License-Identifier: Apache-2.0
// The description of a model: its signatures, and how it must be run.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "infer/request.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace penstock {

// The signature for requests that name none.
inline constexpr std::string_view kDefaultSignatureName = "serving_default";

// One input or output of a signature. Immutable after loading.
struct TensorSpec {
  std::string name;          // the name that clients use
  std::string backend_name;  // the name in the runtime, such as "serving_default_x:0"
  DType dtype = DType::kInvalid;
  bool unknown_rank = false;  // true: `shape` is empty, and any shape fits
  Shape shape;                // -1: any size
  bool optional = false;      // a request may omit it
};

// Something that the model's files have, but requests cannot use: an input or output of a
// signature, or a whole signature. Immutable after loading.
struct LeftOut {
  std::string name;
  std::string reason;  // such as "it is a sequence, and only tensors are served"
};

// One way to call a model. Inputs and outputs are sorted by name. Immutable after loading.
struct Signature {
  std::string name;         // such as "serving_default"
  std::string method_name;  // such as "tensorflow/serving/predict"; may be empty
  std::vector<TensorSpec> inputs;
  std::vector<TensorSpec> outputs;
  std::vector<LeftOut> left_out = {};

  // Returns null if there is none of that name.
  const TensorSpec* FindInput(std::string_view input) const;
  const TensorSpec* FindOutput(std::string_view output) const;
  // The reason why the signature has no input or output of that name. Empty if none is known.
  std::string WhyLeftOut(std::string_view tensor) const;
};

// How the engine must run a model. Immutable after loading.
struct ModelTraits {
  bool may_block = false;      // a run may sleep or wait for I/O, so it never runs on an event loop
  bool any_signature = false;  // takes any inputs, so none are checked (builtin:identity)
  bool any_shape = false;      // the model checks the shapes itself; the server checks only types
  // Run always gives the last part before it returns. Then the engine need not wrap `done` for each
  // request.
  bool answers_in_run = false;
  bool deadline_needs_pool = false;  // can stop at a deadline only if it runs on the pool
};

// The whole description. Immutable after loading.
struct ModelInfo {
  std::string platform;  // "tensorflow", "onnxruntime", "builtin", or the name of another backend
  std::vector<Signature> signatures;
  ModelTraits traits;
  std::vector<std::string> notes = {};  // for people: one sentence for each missing or odd thing
  std::vector<LeftOut> left_out = {};   // signatures
  // A serialized tensorflow.serving.SignatureDefMap that GetModelMetadata answers unchanged. Empty:
  // the server makes one from `signatures`.
  std::string signature_def_map = {};

  // Returns the signature `name`, or the default one if `name` is empty. Null if there is none.
  const Signature* FindSignature(std::string_view name) const;
};

// Explains why the model has no signature `name`, and lists the signatures that it has. Returns
// whole sentences for the end of an error message.
std::string WhyNoSignature(const ModelInfo& info, std::string_view name);

// Checks the inputs and the output filter of the request against the signature. Every required
// input must be present. No input may be unknown or sent twice. The types must be equal, and the
// shapes must fit unless `traits` allows any shape. Every output in the filter must be known and
// named once.
// Errors: INVALID_ARGUMENT, with the name, the value sent and the value expected.
Status CheckInputs(const Signature& signature, const ModelTraits& traits,
                   const InferRequest& request);

// Checks that the model has the signature that the request names, and that the inputs fit it.
// Errors: FAILED_PRECONDITION (no such signature), and those of CheckInputs.
Status CheckRequest(const ModelInfo& info, const InferRequest& request);

}  // namespace penstock
