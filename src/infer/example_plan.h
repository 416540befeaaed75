// SPDX-License-Identifier: Apache-2.0
// How a model classifies or regresses Examples (tensorflow.Example): which features become which
// inputs of a signature, and which outputs are the result.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "infer/signature.h"
#include "tensor/shape.h"
#include "tensor/tensor.h"

namespace penstock {

// The question to the model about an Example. The numbers are positions in ExamplePlans.
enum class ExampleMethod : uint8_t { kClassify = 0, kRegress = 1 };

// The names by which a SignatureDef declares its method.
inline constexpr std::string_view kClassifyMethodName = "tensorflow/serving/classify";
inline constexpr std::string_view kRegressMethodName = "tensorflow/serving/regress";

// The settings for one input that gets a feature.
struct FeatureOptions {
  std::string input = {};
  std::string feature = {};  // its name in an Example; empty: the name of the input
  std::vector<std::string> default_values = {};  // as text; empty: an Example must have the feature

  friend bool operator==(const FeatureOptions&, const FeatureOptions&) = default;
};

// The settings of one model for one method and one signature, from `classify` and `regress` in its
// configuration. An empty name means that the signature has to make it obvious. Nothing is checked
// here: ExamplePlans::Make compares the settings with the model.
struct ExampleOptions {
  ExampleMethod method = ExampleMethod::kClassify;
  std::string signature = {};  // empty: the default signature
  std::string examples =
      {};  // the input that takes serialized Examples; empty: features go to inputs
  std::vector<FeatureOptions> features = {};
  std::string scores = {};   // of kClassify: an output of numbers, [examples, classes]
  std::string classes = {};  // of kClassify: an output of strings, [examples, classes]
  std::string values = {};   // of kRegress: an output of numbers, [examples] or [examples, 1]
  std::vector<std::string> labels = {};  // of kClassify: the names of the classes
  std::string labels_file = {};  // or a file in the version's folder with one name on each line

  friend bool operator==(const ExampleOptions&, const ExampleOptions&) = default;
};

// One input that gets a feature. Immutable.
struct FeatureInput {
  std::string feature;
  const TensorSpec* input = nullptr;
  Shape row;           // the shape for one Example; at most one dimension is -1, of any size
  int64_t values = 0;  // in one row; -1: the first Example decides
  std::optional<Tensor> default_row = {};  // for Examples without the feature
};

// The plan for one method and one signature. It points into the model's info, which must outlive
// it. A plan exists also for a signature that cannot be used; `problem` is then the error of a
// request for it. Immutable.
struct ExamplePlan {
  ExampleMethod method = ExampleMethod::kClassify;
  const Signature* signature = nullptr;
  Status problem;  // not OK: the signature cannot be used for this method, and why
  // The input that takes serialized Examples. Null: the features go to inputs.
  const TensorSpec* examples = nullptr;
  std::vector<FeatureInput> features;    // sorted by feature
  const TensorSpec* scores = nullptr;    // may be null
  const TensorSpec* classes = nullptr;   // may be null
  const TensorSpec* values = nullptr;    // of kRegress
  std::vector<std::string> labels = {};  // if `classes` is null; may be empty
};

}  // namespace penstock
