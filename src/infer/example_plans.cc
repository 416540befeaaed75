// SPDX-License-Identifier: Apache-2.0
// How it works. A plan is made for each signature and each method when the model is loaded, so that
// a request only looks it up. There are three ways to a plan. A signature that declares the method
// follows TensorFlow Serving's conventions (SetDeclared). For any other signature the outputs are
// guessed from their types and shapes (GuessOutputs). Settings of the model replace the plan of
// their signature (ConfiguredPlan).
//
// A signature that cannot serve a method is no error of the load, since the model may be meant for
// Predict only. Its plan keeps the reason in `problem`, and a request gets that. Settings that do
// not fit are an error of the load, because somebody has asked for them.
//
// The texts of errors begin with those of TensorFlow Serving, which clients compare.
#include "infer/example_plans.h"

#include <utility>

#include "infer/example_features.h"

namespace penstock {
namespace {

constexpr size_t kMethods = 2;

std::string_view MethodName(ExampleMethod method) {
  return method == ExampleMethod::kClassify ? kClassifyMethodName : kRegressMethodName;
}

std::string_view ConfigName(ExampleMethod method) {
  return method == ExampleMethod::kClassify ? "classify" : "regress";
}

bool IsFloat(DType type) { return type == DType::kFloat32 || type == DType::kFloat64; }

constexpr std::string_view kScores = "the scores, which are floats of shape [examples,classes]";
constexpr std::string_view kClasses = "the classes, which are strings of shape [examples,classes]";
constexpr std::string_view kValues =
    "the values, which are floats of shape [examples] or [examples,1]";

// How likely an output is the result.
enum class Fit { kNo, kMaybe, kYes };

Fit FitAsScores(const TensorSpec& output) {
  if (!IsFloat(output.dtype)) return Fit::kNo;
  // A backend may not know the rank. Such an output is taken only if no other one fits for certain.
  if (output.unknown_rank) return Fit::kMaybe;
  return output.shape.rank() == 2 ? Fit::kYes : Fit::kNo;
}

Fit FitAsValues(const TensorSpec& output) {
  if (!IsFloat(output.dtype)) return Fit::kNo;
  if (output.unknown_rank) return Fit::kMaybe;
  if (output.shape.rank() == 1) return Fit::kYes;
  if (output.shape.rank() != 2) return Fit::kNo;
  return output.shape.dim(1) == 1 ? Fit::kYes : output.shape.dim(1) < 0 ? Fit::kMaybe : Fit::kNo;
}

// Finds the only output that fits. A certain fit wins over a possible one.
template <typename FitFunction>
StatusOr<const TensorSpec*> OnlyOutput(const Signature& signature, FitFunction fit,
                                       std::string_view wanted, std::string_view setting) {
  for (const Fit least : {Fit::kYes, Fit::kMaybe}) {
    std::vector<const TensorSpec*> found;
    for (const TensorSpec& output : signature.outputs) {
      if (fit(output) >= least) found.push_back(&output);
    }
    if (found.size() == 1) return found.front();
    if (found.empty()) continue;
    return InvalidArgument(
        "the signature '{}' has several outputs that can be {}, such as '{}' and '{}': name one "
        "in the model's configuration, penstock {{ {} }}",
        signature.name, wanted, found[0]->name, found[1]->name, setting);
  }
  return InvalidArgument("the signature '{}' has no output that can be {}", signature.name, wanted);
}

const TensorSpec* OutputOfType(const Signature& signature, std::string_view name,
                               bool (*is_type)(DType)) {
  const TensorSpec* const output = signature.FindOutput(name);
  return output != nullptr && is_type(output->dtype) ? output : nullptr;
}

bool IsString(DType type) { return type == DType::kString; }

// Chooses the outputs of a signature that does not declare the method.
Status GuessOutputs(ExamplePlan& plan) {
  const Signature& signature = *plan.signature;
  if (plan.method == ExampleMethod::kRegress) {
    plan.values = OutputOfType(signature, "outputs", IsFloat);
    if (plan.values != nullptr) return OkStatus();
    ASSIGN_OR_RETURN(plan.values,
                     OnlyOutput(signature, FitAsValues, kValues, "regress { values: \"...\" }"));
    return OkStatus();
  }
  plan.classes = OutputOfType(signature, "classes", IsString);
  plan.scores = OutputOfType(signature, "scores", IsFloat);
  if (plan.classes != nullptr || plan.scores != nullptr) return OkStatus();
  ASSIGN_OR_RETURN(plan.scores,
                   OnlyOutput(signature, FitAsScores, kScores, "classify { scores: \"...\" }"));
  return OkStatus();
}

// Returns "; it has 'a', 'b' and 3 more", for an error about a name that is not among them.
std::string ButHas(const std::vector<TensorSpec>& specs) {
  constexpr size_t kShownMax = 10;
  std::string text = specs.empty() ? "; it has none" : "; it has ";
  for (size_t i = 0; i < specs.size() && i < kShownMax; ++i) {
    text += fmt::format("{}'{:.100}'", i == 0 ? "" : ", ", specs[i].name);
  }
  if (specs.size() > kShownMax) text += fmt::format(" and {} more", specs.size() - kShownMax);
  return text;
}

Status NoInput(const Signature& signature, std::string_view name) {
  return InvalidArgument("the signature '{}' has no input '{}'{}", signature.name, name,
                         ButHas(signature.inputs));
}

// Checks an output against its declared shape. With a wrong one each request would fail.
Status CheckShape(const TensorSpec* output, bool fits, std::string_view wanted) {
  if (output == nullptr || output->unknown_rank || fits) return OkStatus();
  return InvalidArgument("the output '{}' of shape {} cannot be {}", output->name,
                         output->shape.ToString(), wanted);
}

Status CheckShapes(const ExamplePlan& plan) {
  const auto is_matrix = [](const TensorSpec* output) {
    return output != nullptr && output->shape.rank() == 2;
  };
  TRY(CheckShape(plan.scores, is_matrix(plan.scores), kScores));
  TRY(CheckShape(plan.classes, is_matrix(plan.classes), kClasses));
  return CheckShape(plan.values, plan.values != nullptr && FitAsValues(*plan.values) != Fit::kNo,
                    kValues);
}

StatusOr<const TensorSpec*> NamedOutput(const Signature& signature, std::string_view name,
                                        bool (*is_type)(DType), std::string_view wanted) {
  const TensorSpec* const output = signature.FindOutput(name);
  if (output == nullptr) {
    return InvalidArgument("the signature '{}' has no output '{}'{}", signature.name, name,
                           ButHas(signature.outputs));
  }
  if (!is_type(output->dtype)) {
    return InvalidArgument("the output '{}' is of {}, and must be of {}", name,
                           DTypeName(output->dtype), wanted);
  }
  return output;
}

Status SetOutputs(const ExampleOptions& options, ExamplePlan& plan) {
  const Signature& signature = *plan.signature;
  const auto set = [&](const std::string& name, bool (*is_type)(DType), std::string_view wanted,
                       const TensorSpec*& to) -> Status {
    if (name.empty()) return OkStatus();
    ASSIGN_OR_RETURN(to, NamedOutput(signature, name, is_type, wanted));
    return OkStatus();
  };
  TRY(set(options.scores, IsFloat, "float32 or float64", plan.scores));
  TRY(set(options.classes, IsString, "string", plan.classes));
  TRY(set(options.values, IsFloat, "float32 or float64", plan.values));
  // Settings that name no output leave the choice to the signature.
  if (plan.scores == nullptr && plan.classes == nullptr && plan.values == nullptr) {
    TRY(GuessOutputs(plan));
  }
  TRY(CheckShapes(plan));
  if (options.labels.empty()) return OkStatus();
  if (plan.classes != nullptr) {
    return InvalidArgument("labels are given, but the output '{}' has the classes",
                           plan.classes->name);
  }
  const Shape& shape = plan.scores->shape;
  const auto count = static_cast<int64_t>(options.labels.size());
  if (shape.rank() == 2 && shape.dim(1) >= 0 && shape.dim(1) != count) {
    return InvalidArgument("there are {} labels for the {} classes of the output '{}'", count,
                           shape.dim(1), plan.scores->name);
  }
  plan.labels = options.labels;
  return OkStatus();
}

// The labels that the model's file gives to the classes.
void TakeLabelsOfModel(ExamplePlan& plan) {
  if (plan.classes == nullptr && plan.scores != nullptr && plan.labels.empty()) {
    plan.labels = plan.scores->class_labels;
  }
}

Status NoTensor(std::string_view what, const Signature& signature) {
  return Error(StatusCode::kFailedPrecondition, "No {} found in SignatureDef: {}", what,
               signature.name);
}

// Sets the outputs of a signature that declares the method, as TensorFlow Serving does.
Status SetDeclaredOutputs(ExamplePlan& plan) {
  const Signature& signature = *plan.signature;
  const size_t count = signature.outputs.size();
  if (plan.method == ExampleMethod::kRegress) {
    if (count != 1) return InvalidArgument("Expected one output Tensor.");
    plan.values = signature.FindOutput("outputs");
    return plan.values != nullptr ? OkStatus() : NoTensor("regression outputs", signature);
  }
  if (count != 1 && count != 2) {
    return InvalidArgument("Expected one or two output Tensors, found {}", count);
  }
  plan.classes = signature.FindOutput("classes");
  plan.scores = signature.FindOutput("scores");
  if (plan.classes != nullptr || plan.scores != nullptr) return OkStatus();
  return Error(StatusCode::kFailedPrecondition,
               "Expected classification signature outputs to contain at least one of \"classes\" "
               "or \"scores\". Signature was: {}",
               signature.name);
}

Status SetDeclared(ExamplePlan& plan) {
  const Signature& signature = *plan.signature;
  if (signature.inputs.size() != 1) return InvalidArgument("Expected one input Tensor.");
  TRY(SetDeclaredOutputs(plan));
  const TensorSpec* const input = signature.FindInput("inputs");
  if (input == nullptr) {
    const bool is_classify = plan.method == ExampleMethod::kClassify;
    return NoTensor(is_classify ? "classification inputs" : "regression inputs", signature);
  }
  if (input->dtype != DType::kString) return MapFeatures(nullptr, plan);
  plan.examples = input;
  return OkStatus();
}

// The sentence of TensorFlow Serving for a signature of another method, and the reason why the
// signature does not serve all the same.
Status WrongMethod(const ExamplePlan& plan, std::string_view reason) {
  return InvalidArgument("Expected {} signature method_name to be {}. Was: {}{}{}",
                         plan.method == ExampleMethod::kClassify ? "classification" : "regression",
                         MethodName(plan.method), plan.signature->method_name,
                         reason.empty() ? "" : ". It cannot be used instead: ", reason);
}

ExamplePlan DefaultPlan(const ModelInfo& info, const Signature& signature, ExampleMethod method) {
  ExamplePlan plan;
  plan.method = method;
  plan.signature = &signature;
  const std::string_view declared = signature.method_name;
  if (info.traits.any_signature) {
    plan.problem = WrongMethod(plan, "the model takes any tensors, so no input is known");
  } else if (declared == MethodName(method)) {
    plan.problem = SetDeclared(plan);
  } else if (declared == kClassifyMethodName || declared == kRegressMethodName) {
    plan.problem = WrongMethod(plan, "");
  } else {
    Status status = GuessOutputs(plan);
    if (status.ok()) status = MapFeatures(nullptr, plan);
    if (!status.ok()) plan.problem = WrongMethod(plan, MessageOf(status));
  }
  TakeLabelsOfModel(plan);
  return plan;
}

Status CheckFeatureNames(const Signature& signature, const ExampleOptions& options) {
  for (const FeatureOptions& each : options.features) {
    if (signature.FindInput(each.input) != nullptr) continue;
    return NoInput(signature, each.input);
  }
  return OkStatus();
}

Status SetConfigured(const ExampleOptions& options, ExamplePlan& plan) {
  const Signature& signature = *plan.signature;
  TRY(CheckFeatureNames(signature, options));
  TRY(SetOutputs(options, plan));
  TakeLabelsOfModel(plan);
  if (options.examples.empty()) {
    const TensorSpec* const input = signature.FindInput("inputs");
    const bool is_declared = signature.method_name == MethodName(plan.method);
    if (!is_declared || input == nullptr || input->dtype != DType::kString ||
        signature.inputs.size() != 1 || !options.features.empty()) {
      return MapFeatures(&options, plan);
    }
    plan.examples = input;
    return OkStatus();
  }
  plan.examples = signature.FindInput(options.examples);
  if (plan.examples == nullptr) return NoInput(signature, options.examples);
  if (plan.examples->dtype != DType::kString) {
    return InvalidArgument("the input '{}' is of {}; serialized Examples need one of string",
                           options.examples, DTypeName(plan.examples->dtype));
  }
  return OkStatus();
}

StatusOr<ExamplePlan> ConfiguredPlan(const ModelInfo& info, const ExampleOptions& options) {
  ExamplePlan plan;
  plan.method = options.method;
  plan.signature = info.FindSignature(options.signature);
  if (plan.signature == nullptr || info.traits.any_signature) {
    return InvalidArgument(
        "there is no signature '{}'. {}",
        options.signature.empty() ? kDefaultSignatureName : std::string_view(options.signature),
        WhyNoSignature(info, options.signature));
  }
  TRY(SetConfigured(options, plan));
  return plan;
}

}  // namespace

StatusOr<ExamplePlans> ExamplePlans::Make(const ModelInfo& info,
                                          std::span<const ExampleOptions> options) {
  ExamplePlans plans(info);
  for (const Signature& signature : info.signatures) {
    plans.plans_.push_back(DefaultPlan(info, signature, ExampleMethod::kClassify));
    plans.plans_.push_back(DefaultPlan(info, signature, ExampleMethod::kRegress));
  }
  for (const ExampleOptions& each : options) {
    StatusOr<ExamplePlan> plan = ConfiguredPlan(info, each);
    if (!plan.ok()) {
      return InvalidArgument("penstock {{ {} {{ ... }} }} does not fit the model: {}",
                             ConfigName(each.method), MessageOf(plan.status()));
    }
    const auto index = static_cast<size_t>(plan->signature - info.signatures.data());
    plans.plans_[index * kMethods + static_cast<size_t>(each.method)] = *std::move(plan);
  }
  return plans;
}

const ExamplePlan* ExamplePlans::Find(ExampleMethod method, std::string_view signature) const {
  const Signature* const found = info_->FindSignature(signature);
  if (found == nullptr) return nullptr;
  const auto index = static_cast<size_t>(found - info_->signatures.data());
  return &plans_[index * kMethods + static_cast<size_t>(method)];
}

}  // namespace penstock
