// SPDX-License-Identifier: Apache-2.0
#include "batch/batch_rules.h"

#include <gtest/gtest.h>

#include <functional>
#include <utility>

namespace penstock::batch {
namespace {

TensorSpec Spec(std::string name, Shape shape) {
  TensorSpec spec;
  spec.name = std::move(name);
  spec.dtype = DType::kFloat32;
  spec.shape = std::move(shape);
  return spec;
}

struct Example {
  Signature signature{
      .name = "s", .method_name = "", .inputs = {Spec("x", {-1, 4})}, .outputs = {Spec("y", {-1})}};
  ModelTraits traits;
};

TEST(BatchRulesTest, EachReasonIsNamed) {
  struct Case {
    std::function<void(Example&)> change;
    Verdict verdict;
    std::string reason;
  };
  const Case cases[] = {
      {[](Example&) {}, Verdict::kLikely, ""},
      {[](Example& e) { e.signature.inputs[0].batch_axis = 0; }, Verdict::kLikely, ""},
      {[](Example& e) { e.signature.inputs.clear(); }, Verdict::kImpossible, "it has no inputs"},
      {[](Example& e) { e.signature.inputs.push_back(Spec("n", {})); }, Verdict::kImpossible,
       "the input 'n' is a scalar, so it has no rows"},
      {[](Example& e) { e.signature.outputs.push_back(Spec("sum", {})); }, Verdict::kImpossible,
       "the output 'sum' is a scalar, so it has no rows"},
      {[](Example& e) {
         e.signature.inputs[0].shape = {1, 4};
       },
       Verdict::kImpossible, "the input 'x' has the shape [1,4], so its number of rows is fixed"},
      {[](Example& e) { e.signature.outputs[0].batch_axis = 1; }, Verdict::kImpossible,
       "the output 'y' has its rows along axis 1, not 0"},
      {[](Example& e) { e.signature.inputs[0].part.role = CompositePart::Role::kSparseValues; },
       Verdict::kImpossible, "the input 'x' is a part of a sparse or ragged value"},
      {[](Example& e) { e.traits.has_state = true; }, Verdict::kDoubtful,
       "an answer of the model may depend on earlier requests"},
      {[](Example& e) { e.traits.not_deterministic = true; }, Verdict::kDoubtful,
       "the model may answer the same request differently"},
      {[](Example& e) { e.traits.has_side_effects = true; }, Verdict::kDoubtful,
       "a run of the model changes something outside of it"},
      {[](Example& e) {
         e.signature.outputs[0] = Spec("y", Shape(std::span<const int64_t>()));
         e.signature.outputs[0].unknown_rank = true;
       },
       Verdict::kDoubtful, "the output 'y' may have any number of dimensions"},
      {[](Example& e) {
         e.signature.outputs[0] = Spec("y", {-1, -1});
       },
       Verdict::kDoubtful,
       "the size of the output 'y', [-1,-1], depends on the values of the inputs"},
      {[](Example& e) {
         e.signature.inputs[0] = Spec("x", {-1, -1});
         e.signature.outputs[0] = Spec("y", {-1, -1});
       },
       Verdict::kLikely, ""},
  };
  for (const Case& each : cases) {
    Example example;
    each.change(example);
    const BatchRule rule = JudgeSignature(example.signature, example.traits);
    EXPECT_EQ(rule.verdict, each.verdict) << each.reason;
    EXPECT_EQ(rule.reason, each.reason);
  }
}

TEST(BatchRulesTest, EachSignatureHasARule) {
  ModelInfo info;
  info.signatures = {Example().signature, Example().signature};
  info.signatures[1].inputs.clear();
  EXPECT_EQ(JudgeSignature(info.signatures[0], info.traits).verdict, Verdict::kLikely);
  EXPECT_EQ(JudgeSignature(info.signatures[1], info.traits).verdict, Verdict::kImpossible);
}

}  // namespace
}  // namespace penstock::batch
