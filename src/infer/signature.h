// SPDX-License-Identifier: Apache-2.0
// The description of a model: its signatures, and how it must be run.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "infer/request.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"
#include "tensor/tensor.h"

namespace penstock {

// The signature for requests that name none.
inline constexpr std::string_view kDefaultSignatureName = "serving_default";

// The part that a tensor plays in a sparse or ragged value, if the parts of that value are inputs
// or outputs of their own. Immutable after loading.
struct CompositePart {
  enum class Role : uint8_t {  // the numbers are those of PENSTOCK_PART_...
    kNone = 0,                 // the tensor is no part of another value
    kSparseIndices = 1,
    kSparseValues = 2,
    kSparseShape = 3,
    kRaggedValues = 4,
    kRaggedSplits = 5,
  };
  Role role = Role::kNone;
  std::string composite = {};  // the name of the whole value
  uint32_t level = 0;          // of kRaggedSplits; 0 is the outermost
};

// One input or output of a signature. Immutable after loading.
struct TensorSpec {
  std::string name;          // the name that clients use
  std::string backend_name;  // the name in the runtime, such as "serving_default_x:0"
  DType dtype = DType::kInvalid;
  bool unknown_rank = false;  // true: `shape` is empty, and any shape fits
  Shape shape;                // -1: any size
  bool optional = false;      // a request may omit it
  int batch_axis = -1;        // the dimension that counts rows; -1: none, or the file names none
  std::optional<Tensor> default_value = {};       // of an optional input, if it is known
  std::vector<std::string> dimension_names = {};  // one for each dimension, or none at all
  std::vector<std::string> class_labels = {};  // what the entries of the last dimension stand for
  CompositePart part = {};
  uint32_t place = 0;  // in the model's own order; all 0: it has none
};

// Returns the tensor at this place of the model's own order, which clients that send no names use.
// `specs` are sorted by name, which is the order if the model has none. REQUIRES: place <
// specs.size().
const TensorSpec& AtPlace(std::span<const TensorSpec> specs, size_t place);

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
  bool has_state = false;            // an answer may depend on earlier requests
  bool not_deterministic = false;    // the same request may get different answers
  bool has_side_effects = false;     // a run changes something outside of the model
  // Run answers a request with further signatures. Without it, StartRun runs the model once for
  // each.
  bool several_signatures = false;
  // Run only starts runs of other models, and answers when they have ended. It computes nothing, so
  // it waits in no queue and holds no slot: those runs need slots.
  bool runs_others = false;
  uint32_t runs_max = 0;  // at the same time; 0: any number
  // Set if the model knows better than the times of its runs when they are short: a request may run
  // on an event loop while its inputs have at most so many elements together. 0: none may now. It
  // lives as long as the model, which may change it at any time.
  const std::atomic<int64_t>* inline_elements_max = nullptr;
};

// A step of an ensemble: the run of another model, and the version that it uses now.
struct ModelStep {
  std::string name;
  std::string model;
  std::string signature;
  std::optional<core::VersionNumber> version;  // nullopt: none that fits is ready
};

// What an ensemble runs. Thread-safe.
class ModelSteps {
 public:
  virtual ~ModelSteps() = default;
  virtual std::vector<ModelStep> List() const = 0;
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
  const ModelSteps* steps = nullptr;  // of an ensemble. Lives as long as the model

  // Returns the signature `name`, or the default one if `name` is empty. Null if there is none.
  const Signature* FindSignature(std::string_view name) const;
};

// Returns the shape with names for the sizes that have one, as [batch,3], or "any shape".
std::string DescribeShape(const TensorSpec& spec);

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

// Checks that the model has the signatures that the request names, and that the inputs fit each of
// them. Further signatures must have inputs of the same names as the first one, and no signature
// may be named twice.
// Errors: FAILED_PRECONDITION (no such signature), INVALID_ARGUMENT (further signatures that do not
// go with the first), and those of CheckInputs.
Status CheckRequest(const ModelInfo& info, const InferRequest& request);

}  // namespace penstock
