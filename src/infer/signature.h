// SPDX-License-Identifier: Apache-2.0
// What a model says about itself: its signatures, and how it wants to be run.
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

// The signature that is meant when a request names none.
inline constexpr std::string_view kDefaultSignatureName = "serving_default";

// One input or output of a signature. Immutable after loading.
struct TensorSpec {
  std::string name;          // what clients call it
  std::string backend_name;  // what the runtime calls it, as "serving_default_x:0"
  DType dtype = DType::kInvalid;
  bool unknown_rank = false;  // then `shape` is empty and any shape fits
  Shape shape;                // -1 = any size
  bool optional = false;      // may be left out of a request
};

// An input or output that the model has and its signature has not, or a signature that the model's
// files have and requests cannot use. Immutable after loading.
struct LeftOut {
  std::string name;
  std::string reason;  // as "it is a sequence, and only tensors are served"
};

// One way to call a model. Inputs and outputs are sorted by name. Immutable after loading.
struct Signature {
  std::string name;         // as "serving_default"
  std::string method_name;  // as "tensorflow/serving/predict"; may be empty
  std::vector<TensorSpec> inputs;
  std::vector<TensorSpec> outputs;
  std::vector<LeftOut> left_out = {};

  // Null if there is none of that name.
  const TensorSpec* FindInput(std::string_view input) const;
  const TensorSpec* FindOutput(std::string_view output) const;
  // Why the signature has no input or output of that name; empty if nothing is known.
  std::string WhyLeftOut(std::string_view tensor) const;
};

// How a model wants to be run. Immutable after loading.
struct ModelTraits {
  bool may_block = false;  // a run may sleep or wait for I/O: never run it on an event loop
  bool any_signature =
      false;               // takes whatever inputs it gets: nothing is checked (builtin:identity)
  bool any_shape = false;  // the model decides which shapes it takes: only types are checked
  // Run calls `done` for the last time before it returns: saves the engine a wrapper per request.
  bool answers_in_run = false;
  bool deadline_needs_pool = false;  // honours a deadline during the run only off the loop
};

// All of it. Immutable after loading.
struct ModelInfo {
  std::string
      platform;  // "tensorflow", "onnxruntime", "builtin", or what a custom backend calls itself
  std::vector<Signature> signatures;
  ModelTraits traits;
  std::vector<std::string> notes = {};  // for people: what is missing or odd, one sentence each
  std::vector<LeftOut> left_out = {};   // signatures
  // A serialized tensorflow.serving.SignatureDefMap that GetModelMetadata answers as it is. Empty:
  // it is made of `signatures`.
  std::string signature_def_map = {};

  // The signature called `name`, or the default one if `name` is empty. Null if there is none.
  const Signature* FindSignature(std::string_view name) const;
};

// Why the model has no signature called `name`, and which it has; sentences for the end of a
// message.
std::string WhyNoSignature(const ModelInfo& info, std::string_view name);

// Compares the request's inputs and output filter with the signature: every needed input there,
// none unknown or twice, types equal, shapes fitting unless the model takes any (`traits`); every
// wanted output known and named once.
// Errors: INVALID_ARGUMENT that names the input, what was got and what is expected.
Status CheckInputs(const Signature& signature, const ModelTraits& traits,
                   const InferRequest& request);

// Whether the signature that the request names is there and its inputs fit. Errors:
// FAILED_PRECONDITION (no such signature), and as CheckInputs.
Status CheckRequest(const ModelInfo& info, const InferRequest& request);

}  // namespace penstock
