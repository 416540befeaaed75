// SPDX-License-Identifier: Apache-2.0
#include "cells/cell_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "cells/cell_fake.h"

namespace penstock::cells {
namespace {

using ::testing::HasSubstr;

std::string Described(const std::vector<TensorSpec>& specs) {
  std::string text;
  for (const TensorSpec& spec : specs)
    text += fmt::format("{} {} {}{}; ", spec.name, DTypeName(spec.dtype), spec.shape.ToString(),
                        spec.optional ? " optional" : "");
  return text;
}

TEST(CellPlanTest, ClientsSeeWholeSequences) {
  const ModelInfo cell = FakeCellInfo();
  const StatusOr<CellPlan> plan = CellPlan::Make(cell, FakeCellSettings());
  ASSERT_TRUE(plan.ok()) << plan.status();
  const Signature& all = plan->info.signatures.front();
  EXPECT_EQ(all.name, "serving_default");
  EXPECT_EQ(Described(all.inputs),
            "h float32 [-1,2] optional; lengths int64 [-1] optional; n int64 [-1] optional; scale "
            "float32 [-1] optional; x float32 [-1,-1,2]; ");
  EXPECT_EQ(Described(all.outputs),
            "h1 float32 [-1,2]; n1 int64 [-1]; steps int64 [-1]; y float32 [-1,-1,2]; ");
  EXPECT_TRUE(plan->info.traits.runs_others);
}

// Without an input for each step, the request has to say how many there are.
TEST(CellPlanTest, LoopsNeedLengths) {
  const ModelInfo cell = FakeCellInfo();
  CellSettings settings = FakeCellSettings();
  settings.inputs.clear();
  settings.states.front() = {"x", "y", /*each_step=*/true};
  settings.lengths_input = "n_steps";
  const StatusOr<CellPlan> plan = CellPlan::Make(cell, settings);
  ASSERT_TRUE(plan.ok()) << plan.status();
  const Signature& all = plan->info.signatures.front();
  EXPECT_EQ(Described(all.inputs),
            "h float32 [-1,2]; n int64 [-1] optional; n_steps int64 [-1]; scale float32 [-1] "
            "optional; x float32 [-1,2] optional; ");
  EXPECT_THAT(Described(all.outputs), HasSubstr("y float32 [-1,-1,2]; "));
}

// Nobody knows how many zeros would be a start.
TEST(CellPlanTest, RequestsMustHaveStatesOfOpenShape) {
  ModelInfo cell = FakeCellInfo();
  Signature& signature = cell.signatures.front();
  signature.inputs[0] = FakeInput("h", DType::kFloat32);
  signature.inputs[1].shape = Shape{-1, -1};
  signature.outputs[2].shape = Shape{-1, -1};
  const StatusOr<CellPlan> plan = CellPlan::Make(cell, FakeCellSettings());
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_THAT(Described(plan->info.signatures.front().inputs),
              HasSubstr("h float32 []; lengths int64 [-1] optional; n int64 [-1,-1]; "));
}

TEST(CellPlanTest, WrongSettingsAreExplained) {
  const auto error = [](const std::function<void(CellSettings&, Signature&)>& change) {
    ModelInfo cell = FakeCellInfo();
    CellSettings settings = FakeCellSettings();
    change(settings, cell.signatures.front());
    const StatusOr<CellPlan> plan = CellPlan::Make(cell, settings);
    return plan.ok() ? "no error" : std::string(MessageOf(plan.status()));
  };
  EXPECT_THAT(error([](auto& settings, auto&) { settings.signature = "other"; }),
              HasSubstr("the signature 'other'"));
  EXPECT_THAT(error([](auto& settings, auto&) { settings.inputs = {"z"}; }),
              HasSubstr("the input 'z', which the model lacks; it has 'h', 'n', 'scale', 'x'"));
  EXPECT_THAT(error([](auto& settings, auto&) {
                settings.inputs = {"x", "x"};
              }),
              HasSubstr("names the input 'x' twice"));
  EXPECT_THAT(error([](auto& settings, auto&) { settings.inputs = {"h"}; }),
              HasSubstr("names the input 'h' twice"));
  EXPECT_THAT(error([](auto& settings, auto&) { settings.states = {}; }),
              HasSubstr("without a state"));
  EXPECT_THAT(error([](auto& settings, auto&) { settings.states[0].output = "g"; }),
              HasSubstr("the state output 'g', which the model lacks"));
  EXPECT_THAT(error([](auto& settings, auto&) { settings.states[0].output = "n1"; }),
              HasSubstr("from the output 'n1' (int64 [-1]) to the input 'h' (float32 [-1,2])"));
  EXPECT_THAT(error([](auto& settings, auto&) {
                settings.states[1] = {"n", "h1"};
              }),
              HasSubstr("names the state output 'h1' twice"));
  EXPECT_THAT(error([](auto& settings, auto&) { settings.stop = "y"; }),
              HasSubstr("whose stop, 'y', has the type float32; it must be bool"));
  EXPECT_THAT(error([](auto& settings, auto&) { settings.stop = "n1"; }),
              HasSubstr("'n1', is a state too"));
  EXPECT_THAT(error([](auto& settings, auto&) { settings.lengths_input = "scale"; }),
              HasSubstr("'scale', which the server adds; lengths_input gives it another name"));
  EXPECT_THAT(error([](auto& settings, auto&) { settings.steps_output = "y"; }),
              HasSubstr("steps_output gives it another name"));
  EXPECT_THAT(error([](auto&, Signature& cell) { cell.outputs[3].dtype = DType::kString; }),
              HasSubstr("the output 'y': it has strings"));
}

TEST(CellPlanTest, ModelsWithAStateOfTheirOwnAreNoCells) {
  ModelInfo cell = FakeCellInfo();
  cell.traits.has_state = true;
  EXPECT_THAT(std::string(MessageOf(CellPlan::Make(cell, FakeCellSettings()).status())),
              HasSubstr("is no cell: it keeps a state between requests by itself"));
}

}  // namespace
}  // namespace penstock::cells
