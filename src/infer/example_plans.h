// SPDX-License-Identifier: Apache-2.0
// Finds out how a model can classify and regress Examples, from its description and its settings.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "infer/example_plan.h"
#include "infer/signature.h"

namespace penstock {

// The plans for all signatures of a model. Immutable; thread-safe.
class ExamplePlans final {
 public:
  // Without settings, every signature gets the plan that its description makes obvious:
  //   - If it declares the method, it follows TensorFlow Serving's conventions: the input "inputs"
  //     takes serialized Examples if it is of strings, and else the feature of that name. The
  //     outputs are "classes" and "scores", or "outputs".
  //   - Otherwise each input takes the feature of its name, and the result is the only output that
  //     can be it.
  // `info` must outlive the plans. Errors: INVALID_ARGUMENT if the settings do not fit the model.
  static StatusOr<ExamplePlans> Make(const ModelInfo& info,
                                     std::span<const ExampleOptions> options = {});

  // Null: the model has no such signature. An empty name means the default signature.
  const ExamplePlan* Find(ExampleMethod method, std::string_view signature) const;
  // Explains why there is no such signature, in whole sentences.
  std::string WhyNone(std::string_view signature) const {
    return WhyNoSignature(*info_, signature);
  }

 private:
  explicit ExamplePlans(const ModelInfo& info) : info_(&info) {}

  const ModelInfo* info_;
  std::vector<ExamplePlan> plans_;  // two for each signature
};

}  // namespace penstock
