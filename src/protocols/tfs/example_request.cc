// SPDX-License-Identifier: Apache-2.0
// The texts of errors are those of TensorFlow Serving, which clients compare. The order of the
// checks is its order, too: a request with several mistakes gets the error that it would get there.
//
// The tasks of a MultiInferenceRequest share one run of the model. Each task has a signature of its
// own, but all of them must make the same inputs of an Example. So the Examples are read once, for
// the first task, and the further signatures only name their outputs.
#include "protocols/tfs/example_request.h"

#include <algorithm>
#include <utility>

#include "protocols/tfs/client_status.h"
#include "protocols/tfs/example_reader.h"
#include "protocols/tfs/model_spec_reader.h"

namespace penstock::tfs {
namespace {

constexpr size_t kNameBytesShown = 100;  // names of clients may have any length

std::string_view MessageName(ExampleApi api) {
  switch (api) {
    case ExampleApi::kClassify:
      return "ClassificationRequest";
    case ExampleApi::kRegress:
      return "RegressionRequest";
    case ExampleApi::kMultiInference:
      break;
  }
  return "MultiInferenceRequest";
}

std::string_view SignatureName(std::string_view name) {
  return name.empty() ? kDefaultSignatureName : name;
}

// True if both plans make the same inputs of an Example.
bool HaveSameInputs(const ExamplePlan& a, const ExamplePlan& b) {
  if ((a.examples == nullptr) != (b.examples == nullptr)) return false;
  if (a.examples != nullptr) {
    return a.examples->name == b.examples->name &&
           a.examples->backend_name == b.examples->backend_name;
  }
  return std::ranges::equal(a.features, b.features, [](const auto& one, const auto& other) {
    return one.feature == other.feature && one.input->name == other.input->name &&
           one.input->backend_name == other.input->backend_name && one.row == other.row;
  });
}

// The error for tasks that take different inputs, with the sentence of TensorFlow Serving. One
// tensor under two names is refused, too: the inputs are sent by name.
Status InputsDiffer(const ExamplePlan& a, const ExamplePlan& b) {
  constexpr std::string_view kText = "Input tensor must be the same for all Signatures.";
  const auto first_input = [](const ExamplePlan& plan) {
    return plan.examples != nullptr ? plan.examples : plan.features.front().input;
  };
  const TensorSpec &one = *first_input(a), &other = *first_input(b);
  if (one.name == other.name || one.backend_name != other.backend_name ||
      one.backend_name.empty()) {
    return InvalidArgument("{}", kText);
  }
  return InvalidArgument("{} Its name must be, too: '{}' in the signature '{}', '{}' in '{}'",
                         kText, one.name, a.signature->name, other.name, b.signature->name);
}

void AddFilter(const ExamplePlan& plan, OutputFilter& filter) {
  for (const TensorSpec* output : {plan.classes, plan.scores, plan.values}) {
    if (output != nullptr) filter.push_back(output->name);
  }
}

}  // namespace

std::string_view ApiName(ExampleApi api) {
  switch (api) {
    case ExampleApi::kClassify:
      return "Classify";
    case ExampleApi::kRegress:
      return "Regress";
    case ExampleApi::kMultiInference:
      break;
  }
  return "MultiInference";
}

// Reads an InferenceTask. Its ModelSpec may come in pieces, which are merged.
bool ExampleRequest::ReadTask(std::string_view bytes) {
  Task& task = tasks_.emplace_back();
  const bool is_first = tasks_.size() == 1;
  WireReader reader(bytes, error_);
  while (!reader.AtEnd()) {
    uint32_t tag = 0;
    if (!reader.ReadTag(tag)) return false;
    std::string_view spec;
    bool ok = true;
    if (tag == MakeTag(1, WireType::kLength)) {
      has_model_spec_ |= is_first;
      ok = reader.ReadBytes(spec) &&
           ReadModelSpec(spec, kNestingMax - 2, task.model, task.signature, error_);
    } else if (tag == MakeTag(2, WireType::kLength)) {
      ok = reader.ReadString(task.method);
    } else {
      ok = reader.SkipField(tag, kNestingMax - 1);
    }
    if (!ok) return false;
  }
  return true;
}

bool ExampleRequest::ReadField(uint32_t tag, WireReader& reader) {
  std::string_view bytes;
  if (tag != MakeTag(1, WireType::kLength)) return reader.SkipField(tag, kNestingMax);
  if (!reader.ReadBytes(bytes)) return false;
  if (api_ != ExampleApi::kMultiInference) {
    has_model_spec_ = true;
    return ReadModelSpec(bytes, kNestingMax - 1, tasks_.front().model, tasks_.front().signature,
                         error_);
  }
  // Each task costs a search for its signature and a comparison with all tasks before it.
  if (tasks_.size() >= tasks_max_) {
    has_too_many_tasks_ = true;
    return reader.Fail("too many tasks");
  }
  return ReadTask(bytes);
}

Status ExampleRequest::Scan(const Slice& message, ExampleApi api, size_t tasks_max) {
  api_ = api;
  tasks_max_ = tasks_max;
  owner_ = message.owner;
  if (api != ExampleApi::kMultiInference) tasks_.emplace_back();
  const std::string_view bytes = message.view();
  WireReader reader(bytes, error_);
  bool ok = true;
  while (ok && !reader.AtEnd()) {
    uint32_t tag = 0;
    // This pass skips the Input. ExampleInput reads it below, when the bytes around it are known to
    // be well-formed.
    ok = reader.ReadTag(tag) && ReadField(tag, reader);
  }
  if (has_too_many_tasks_) {
    return InvalidArgument("{} has more than {} tasks", MessageName(api), tasks_max);
  }
  if (!ok || !input_.Scan(bytes, error_)) {
    return InvalidArgument("{} is malformed: {} at byte {} of {}", MessageName(api), error_.what,
                           error_.where - bytes.data(), bytes.size());
  }
  return OkStatus();
}

// Finds the plan of a task of any of the APIs.
Status ExampleRequest::FindPlan(const ExamplePlans& plans, Task& task) const {
  ExampleMethod method =
      api_ == ExampleApi::kRegress ? ExampleMethod::kRegress : ExampleMethod::kClassify;
  const bool is_multi = api_ == ExampleApi::kMultiInference;
  if (is_multi && task.method == kRegressMethodName) method = ExampleMethod::kRegress;
  task.plan = plans.Find(method, task.signature);
  if (task.plan == nullptr) {
    return InvalidArgument("{}: {}. {}",
                           is_multi ? "Requested signature not found in model graph"
                                    : "No signature was found with the name",
                           SignatureName(task.signature).substr(0, kNameBytesShown),
                           plans.WhyNone(SignatureName(task.signature)));
  }
  if (is_multi && task.method != kClassifyMethodName && task.method != kRegressMethodName) {
    return Error(StatusCode::kUnimplemented,
                 "Unsupported signature method_name: {}; a task is {} or {}",
                 task.method.substr(0, kNameBytesShown), kClassifyMethodName, kRegressMethodName);
  }
  return task.plan->problem;
}

// Checks a task of MultiInference against those before it, and finds its plan.
Status ExampleRequest::CheckTask(const ExamplePlans& plans, size_t index) {
  Task& task = tasks_[index];
  if (task.model.name.empty()) {
    return absl::InvalidArgumentError("Found ModelSpec with an empty model name.");
  }
  if (task.model.name != tasks_.front().model.name) {
    return absl::InvalidArgumentError(
        "All ModelSpecs in a MultiInferenceRequest must access the same model name.");
  }
  for (size_t i = 0; i < index; ++i) {
    if (SignatureName(tasks_[i].signature) != SignatureName(task.signature)) continue;
    return InvalidArgument("Duplicate evaluation of signature: {}",
                           SignatureName(task.signature).substr(0, kNameBytesShown));
  }
  TRY(FindPlan(plans, task));
  if (!HaveSameInputs(*tasks_.front().plan, *task.plan)) {
    return InputsDiffer(*tasks_.front().plan, *task.plan);
  }
  return OkStatus();
}

Status ExampleRequest::ReadInputs(const ExamplePlans& plans, RequestMemory& memory,
                                  InferRequest& request) {
  if (tasks_.empty()) return MissingModelSpec();  // a MultiInference without tasks
  request.output_filter.clear();
  request.further_signatures.clear();
  for (size_t i = 0; i < tasks_.size(); ++i) {
    TRY(api_ == ExampleApi::kMultiInference ? CheckTask(plans, i) : FindPlan(plans, tasks_[i]));
    const Task& task = tasks_[i];
    if (i == 0) {
      request.signature_name = task.signature;
      AddFilter(*task.plan, request.output_filter);
    } else {
      AddFilter(
          *task.plan,
          request.further_signatures.emplace_back(FurtherSignature{task.signature}).output_filter);
    }
  }
  request.names_owner = owner_;
  return ReadExamples(input_, *tasks_.front().plan, owner_, memory, request.inputs);
}

StatusOr<ByteChain> ExampleRequest::Write(const NamedTensors& outputs,
                                          const core::ServableId& model,
                                          RequestMemory& memory) const {
  absl::InlinedVector<TaskResult, 1> results;
  for (size_t i = 0; i < tasks_.size(); ++i) {
    ASSIGN_OR_RETURN(ExampleResult result, Result(i, outputs));
    results.push_back({result, {model.name, model.version, SignatureName(tasks_[i].signature)}});
  }
  if (api_ != ExampleApi::kMultiInference) return WriteResultResponse(results.front(), memory);
  return WriteMultiInferenceResponse({results.data(), results.size()}, memory);
}

void ExampleRequest::Clear() {
  has_too_many_tasks_ = false;
  has_model_spec_ = false;
  tasks_.clear();
  input_ = {};
  owner_ = {};
  error_ = {};
}

}  // namespace penstock::tfs
