// SPDX-License-Identifier: Apache-2.0
// A ClassificationRequest, RegressionRequest or MultiInferenceRequest, from the bytes of the
// message to the inputs of the model, and from its outputs to the results.
#pragma once

#include <string_view>

#include "absl/container/inlined_vector.h"
#include "base/buffer.h"
#include "base/request_memory.h"
#include "base/status.h"
#include "core/servable.h"
#include "infer/example_plans.h"
#include "infer/request.h"
#include "protocols/tfs/example_input.h"
#include "protocols/tfs/result_writer.h"

namespace penstock::tfs {

// The method by which a request came. It decides which message the bytes are, and which response is
// written.
enum class ExampleApi { kClassify, kRegress, kMultiInference };

// The name of the method, such as "Classify".
std::string_view ApiName(ExampleApi api);

// One request, in steps. The front ends of gRPC and REST and warm-up use it alike:
//
//   ExampleRequest request;
//   TRY(request.Scan(message, ExampleApi::kClassify, tasks_max));
//   ...                                                   // find request.model()
//   TRY(request.ReadInputs(plans, memory, infer_request));
//   ...                                                   // run it
//   ASSIGN_OR_RETURN(ByteChain answer, request.Write(outputs, model_id, memory));
//   request.Clear();
//
// Reuse the object: Clear keeps its memory. One thread at a time.
class ExampleRequest final {
 public:
  // Finds the model, the tasks and the Examples. They are views of `message`, whose owner is kept
  // until Clear. REQUIRES: the object is new, or Clear was called. Errors: INVALID_ARGUMENT for
  // malformed bytes (what, and at which byte), and for more tasks than `tasks_max`.
  Status Scan(const Slice& message, ExampleApi api, size_t tasks_max);
  // False: the request, or its first task, names no model.
  bool has_model_spec() const { return has_model_spec_; }
  // The model of the first task. TensorFlow Serving uses its version and label for all tasks, too.
  // REQUIRES: has_model_spec().
  const ModelSelector& model() const { return tasks_.front().model; }

  // Sets the signatures, the inputs and the output filters of `request`. `plans` are those of the
  // model, and must live as long as the results. May be called again, for example with more memory
  // on another thread. The further tasks of MultiInference become `further_signatures`, which run
  // on the same inputs. Errors: those of TensorFlow Serving for the tasks, and those of
  // ReadExamples.
  Status ReadInputs(const ExamplePlans& plans, RequestMemory& memory, InferRequest& request);

  // The number of Examples that ReadInputs has read.
  size_t count() const { return input_.count(); }
  // Returns the result of the task at this position. It refers to `outputs`. Errors: those of
  // ViewResult.
  StatusOr<ExampleResult> Result(size_t task, const NamedTensors& outputs) const {
    return ViewResult(*tasks_[task].plan, outputs, static_cast<uint32_t>(task),
                      static_cast<int64_t>(input_.count()));
  }
  // Writes the response of the API as one buffer, which `memory` counts. REQUIRES: ReadInputs has
  // returned OK, and `outputs` come from a run of its request. Errors: those of Result, and
  // RESOURCE_EXHAUSTED.
  StatusOr<ByteChain> Write(const NamedTensors& outputs, const core::ServableId& model,
                            RequestMemory& memory) const;

  // Forgets the message.
  void Clear();

 private:
  struct Task {
    ModelSelector model;
    std::string_view signature;  // empty: the default signature
    std::string_view method;     // of MultiInference
    const ExamplePlan* plan = nullptr;
  };

  // Reads one field of the request.
  bool ReadField(uint32_t tag, WireReader& reader);
  // Adds an InferenceTask. False: error_ is set.
  bool ReadTask(std::string_view bytes);
  // Sets the plan of a task, or says why its signature cannot serve the API.
  Status FindPlan(const ExamplePlans& plans, Task& task) const;
  Status CheckTask(const ExamplePlans& plans, size_t index);

  ExampleApi api_ = ExampleApi::kClassify;
  size_t tasks_max_ = 0;
  bool has_too_many_tasks_ = false;
  bool has_model_spec_ = false;
  absl::InlinedVector<Task, 1> tasks_;
  ExampleInput input_;
  BufferRef owner_;
  WireError error_;
};

}  // namespace penstock::tfs
