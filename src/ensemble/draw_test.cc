// SPDX-License-Identifier: Apache-2.0
#include "ensemble/draw.h"

#include <gtest/gtest.h>

#include "infer/model_fake.h"

namespace penstock::ensemble {
namespace {

Plan MakeFork() {
  ModelInfo one = FakeInfo({FakeSpec("in", DType::kFloat32, {-1, 3})});
  one.signatures[0].outputs = {FakeSpec("out", DType::kInt64, {-1})};
  ModelInfo two =
      FakeInfo({FakeSpec("a", DType::kInt64, {-1}), FakeSpec("long", DType::kInt64, {-1})});
  two.signatures[0].outputs = {FakeInput("out", DType::kString)};
  const Graph graph = {.inputs = {"x"},
                       .outputs = {"y"},
                       .steps = {{.name = "left",
                                  .model = {.name = "one"},
                                  .inputs = {{"in", "x"}},
                                  .outputs = {{"out", "l"}}},
                                 {.name = "ri\"ght",
                                  .model = {.name = "one"},
                                  .signature = "serving_default",
                                  .inputs = {{"in", "x"}},
                                  .outputs = {{"out", "r"}}},
                                 {.name = "join",
                                  .model = {.name = "two", .version = core::VersionNumber{3}},
                                  .inputs = {{"a", "l"}, {"long", "r"}},
                                  .outputs = {{"out", "y"}}}}};
  const ModelInfo* const infos[] = {&one, &two};
  return *MakePlan(graph, infos);
}

TEST(DrawTest, Text) {
  EXPECT_EQ(DrawText(MakeFork()),
            "  stage 1, side by side\n"
            "    left (model one)\n"
            "      in   <-  x\n"
            "      out  ->  l  int64 [-1]\n"
            "    ri\"ght (model one, signature serving_default)\n"
            "      in   <-  x\n"
            "      out  ->  r  int64 [-1]\n"
            "  stage 2\n"
            "    join (model two version 3)\n"
            "      a     <-  l\n"
            "      long  <-  r\n"
            "      out   ->  y  string any shape\n");
}

TEST(DrawTest, Dot) {
  EXPECT_EQ(DrawDot(MakeFork(), "e"),
            R"(digraph "e" {
  rankdir=LR;
  node [shape=box];
  "input x" [shape=ellipse, label="x\nfloat32 [-1,3]"];
  "step left" [label="left\none"];
  "step ri\"ght" [label="ri\"ght\none, signature serving_default"];
  "step join" [label="join\ntwo version 3"];
  "output y" [shape=ellipse, label="y\nstring any shape"];
  "input x" -> "step left" [label="x\nfloat32 [-1,3]"];
  "input x" -> "step ri\"ght" [label="x\nfloat32 [-1,3]"];
  "step left" -> "step join" [label="l\nint64 [-1]"];
  "step ri\"ght" -> "step join" [label="r\nint64 [-1]"];
  "step join" -> "output y" [label="y\nstring any shape"];
}
)");
}

}  // namespace
}  // namespace penstock::ensemble
