// SPDX-License-Identifier: Apache-2.0
// The structure of imported models, and the errors. tests/e2e/test_caffe2.py runs models and
// compares the values.
#include "convert/caffe2/net_importer.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <set>

namespace penstock::convert {
namespace {

using ::caffe2::NetDef;

NetDef Parse(const std::string& text) {
  NetDef net;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &net)) << text;
  return net;
}

// Imports two nets in protobuf's text form. The input is x, [2, 3].
StatusOr<onnx::ModelProto> Import(const std::string& predict, const std::string& init = "",
                                  const std::string& input = "x") {
  const ValueInput x = {.name = input, .type = onnx::TensorProto::FLOAT, .dims = {2, 3}};
  return ImportNets(Parse(R"(name: "weights" )" + init), Parse(R"(name: "lenet" )" + predict),
                    std::span(&x, 1));
}

std::string WhyRefused(const std::string& predict, const std::string& init = "") {
  const StatusOr<onnx::ModelProto> model = Import(predict, init);
  EXPECT_FALSE(model.ok()) << predict;
  return std::string(MessageOf(model.status()));
}

std::string Op(const std::string& type, const std::string& inputs, const std::string& outputs,
               const std::string& more = "") {
  return "op { type: \"" + type + "\" input: " + inputs + " output: " + outputs + " " + more +
         " } ";
}

constexpr const char* kRelu = R"(op { type: "Relu" input: "x" output: "y" } )";
constexpr const char* kOutputY = R"(external_output: "y" )";
constexpr const char* kBias = R"(op { type: "GivenTensorFill" output: "b"
    arg { name: "shape" ints: 3 } arg { name: "values" floats: [1, 2, 3] } } )";

TEST(NetImporter, GivesTheRowsAName) {
  const auto model = Import(std::string(kRelu) + kOutputY);
  ASSERT_TRUE(model.ok()) << model.status();
  const onnx::GraphProto& graph = model->graph();
  EXPECT_EQ(graph.name(), "lenet");
  ASSERT_EQ(graph.output_size(), 1);
  for (const auto& value : {graph.input(0), graph.output(0)}) {
    const auto& dims = value.type().tensor_type().shape().dim();
    ASSERT_EQ(dims.size(), 2);
    EXPECT_EQ(dims[0].dim_param(), "rows");
    EXPECT_EQ(dims[1].dim_value(), 3);
  }
}

TEST(NetImporter, NamesEachValueOnce) {
  const auto model =
      Import(std::string(kRelu) +
                 Op("Add", R"(["y", "b"])", R"("y")", R"(arg { name: "broadcast" i: 1 })") +
                 Op("Relu", R"("b")", R"("b")") + Op("Mul", R"(["y", "b"])", R"("y")") + kOutputY,
             kBias);
  ASSERT_TRUE(model.ok()) << model.status();
  std::set<std::string> values;
  for (const onnx::NodeProto& node : model->graph().node()) {
    for (const std::string& output : node.output()) EXPECT_TRUE(values.insert(output).second);
  }
  for (const onnx::TensorProto& tensor : model->graph().initializer())
    EXPECT_TRUE(values.insert(tensor.name()).second);
  EXPECT_EQ(model->graph().node(model->graph().node_size() - 1).output(0), "y");
}

TEST(NetImporter, LeavesOutWhatNobodyReads) {
  const auto model = Import(std::string(kRelu) + kOutputY,
                            kBias + std::string(R"(op { type: "ConstantFill" output: "unread"
                                arg { name: "shape" ints: [10000, 10000] } })"));
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->graph().initializer_size(), 0);
  EXPECT_EQ(model->graph().node_size(), 1);
}

TEST(NetImporter, NamesTheOperatorThatItDoesNotKnow) {
  const std::string text = WhyRefused(
      std::string(kRelu) + Op("RoIAlign", R"("y")", R"("z")", R"(name: "pool5")") + kOutputY);
  EXPECT_TRUE(
      text.starts_with("predict_net 'lenet': op[1] 'pool5' of type RoIAlign: this type is "
                       "not imported; those that are: Add, AveragePool, "))
      << text;
  EXPECT_TRUE(WhyRefused(kRelu, Op("Copy", R"("b")", R"("c")"))
                  .starts_with("init_net 'weights': op[0] 'c' of type Copy: this type"));
}

TEST(NetImporter, RefusesTrainingAndRandomWeights) {
  EXPECT_NE(
      WhyRefused(Op("Dropout", R"("x")", R"(["y", "mask"])") + kOutputY).find("training mode"),
      std::string::npos);
  EXPECT_NE(WhyRefused(Op("SpatialBN", R"("x")", R"("y")") + kOutputY).find("training mode"),
            std::string::npos);
  EXPECT_NE(WhyRefused(kRelu, R"(op { type: "XavierFill" output: "w" })")
                .find("op[0] 'w' of type XavierFill: a XavierFill makes random numbers"),
            std::string::npos);
}

TEST(NetImporter, NamesBlobsThatAreMissing) {
  EXPECT_NE(WhyRefused(Op("Sum", R"(["x", "w"])", R"("y")") + kOutputY)
                .find("it reads the blob 'w', which is not in init_net"),
            std::string::npos);
  EXPECT_EQ(WhyRefused(std::string(kRelu) + R"(external_output: "z")"),
            "predict_net 'lenet': nothing writes the external_output 'z'");
  EXPECT_EQ(WhyRefused(kRelu), "predict_net 'lenet' has no external_output");
  const auto misnamed = Import(
      Op("Relu", R"("data_0")", R"("y")") + R"(external_input: "data_0")" + kOutputY, "", "data");
  EXPECT_EQ(MessageOf(misnamed.status()),
            "value_inputs: no operator of predict_net reads the input 'data'; did you mean "
            "'data_0'?");
  const auto unread = Import(
      Op("Relu", R"("w")", R"("y")") + R"(external_input: "x" external_input: "w")" + kOutputY,
      R"(op { type: "ConstantFill" output: "w" arg { name: "shape" ints: 2 } })");
  EXPECT_EQ(MessageOf(unread.status()),
            "value_inputs: no operator of predict_net reads the input 'x'");
  EXPECT_NE(
      WhyRefused(Op("Dropout", R"("x")", R"(["y", "mask"])", R"(arg { name: "is_test" i: 1 })") +
                 Op("Relu", R"("mask")", R"("z")") + kOutputY)
          .find("it reads the blob 'mask', the mask of a Dropout"),
      std::string::npos);
}

TEST(NetImporter, WantsOutputsThatAreComputed) {
  EXPECT_NE(WhyRefused(std::string(kRelu) + R"(external_output: "x")")
                .find("'x' is an input or a constant"),
            std::string::npos);
  EXPECT_NE(WhyRefused(std::string(kRelu) + R"(external_output: "b")", kBias)
                .find("'b' is an input or a constant"),
            std::string::npos);
  EXPECT_NE(WhyRefused(Op("Relu", R"("x")", R"("x")") + R"(external_output: "x")")
                .find("'x' is an input that is written in place"),
            std::string::npos);
}

TEST(NetImporter, ChecksConstants) {
  const auto given = [](const std::string& arguments) {
    return WhyRefused(kRelu, R"(op { type: "GivenTensorFill" output: "w" )" + arguments + "}");
  };
  EXPECT_NE(given(R"(arg { name: "shape" ints: 3 })").find("no argument values"),
            std::string::npos);
  EXPECT_NE(given(R"(arg { name: "shape" ints: 3 } arg { name: "values" floats: [1, 2] })")
                .find("it has 2 numbers (floats) for the shape [3]"),
            std::string::npos);
  EXPECT_NE(given(R"(arg { name: "shape" ints: 2 } arg { name: "values" ints: [1, 2] })")
                .find("it has 0 numbers (floats)"),
            std::string::npos);
  EXPECT_NE(given(R"(arg { name: "shape" ints: [-1] } arg { name: "values" })").find("below 0"),
            std::string::npos);
  EXPECT_NE(given(R"(arg { name: "shape" ints: 1 } arg { name: "shape" ints: 2 })")
                .find("the argument shape is there twice"),
            std::string::npos);
  EXPECT_NE(given(R"(arg { name: "dtype" i: 4 })").find("dtype is 4"), std::string::npos);
  // Nothing is allocated for a size that a file only claims.
  EXPECT_NE(WhyRefused(kRelu, R"(op { type: "ConstantFill" output: "w"
                arg { name: "shape" ints: [1000000, 1000000] } })")
                .find("larger than 2 GiB"),
            std::string::npos);
}

TEST(NetImporter, ChecksShapes) {
  const auto refused = [](const std::string& predict, const char* why) {
    EXPECT_NE(WhyRefused(predict + kOutputY, kBias).find(why), std::string::npos)
        << WhyRefused(predict + kOutputY, kBias);
  };
  const std::string two = R"(["x", "b"])", y = R"("y")", y2 = R"(["y", "old"])", x = R"("x")";
  refused(Op("Sum", two, y), "the shape [3] of its input 'b' does not fit the shape [rows, 3]");
  refused(Op("Add", two, y, R"(arg { name: "axis" i: 0 })"), "only counts if broadcast is 1");
  refused(Op("Add", two, y, R"(arg { name: "broadcast" i: 1 } arg { name: "axis" i: 2 })"),
          "axis is 2; right would be a number from 0 to 1");
  refused(Op("Add", two, y, R"(arg { name: "broadcast" i: 1 } arg { name: "axis_str" s: "Z" })"),
          "axis_str is no letter");
  refused(Op("Reshape", x, y2, R"(arg { name: "shape" ints: [-1, -1] })"), "more than one -1");
  refused(Op("Reshape", x, y2), "no argument shape");
  refused(Op("Reshape", two, y2), "only constant shapes are imported");
  refused(Op("Relu", x, R"("z")") +
              Op("Reshape", R"("b")", y2, R"(arg { name: "shape" ints: [2, 2] })"),
          "a tensor of the shape [3] cannot get the shape [2, 2]");
  refused(Op("Transpose", x, y, R"(arg { name: "axes" ints: [0, 0] })"), "axes are [0, 0]");
  refused(Op("Softmax", x, y, R"(arg { name: "axis" i: 2 })"), "axis is 2, and the blob has 2");
  refused(Op("Concat", two, y), "does not fit");
  refused(Op("Concat", x, R"(["y", "y"])"), "two outputs have the name 'y'");
  refused(Op("Conv", two, y, R"(arg { name: "kernel" i: 1 })"), "and is no image");
  refused(Op("Conv", x, y), "it has 1 inputs; right would be 2 or 3");
  refused(Op("FC", R"(["x", "b", "b"])", y), "axis_w is 1, and the blob has 1 dimensions");
  refused(Op("FC", R"(["x", "b", "b"])", y, R"(arg { name: "axis_w" i: 0 })"),
          "the bias 'b' has the shape [3]; right would be [1]");
  refused(Op("FC", R"(["x", "x", "b"])", y), "the weights 'x' have the shape [rows, 3]");
  refused(Op("Relu", x, y2), "it has 2 outputs; right would be 1");
  refused(Op("Relu", x, R"("")"), "an output has no name");
}

// ONNX Runtime would refuse the model at the load, with the names of ONNX's operators.
TEST(NetImporter, ChecksTypesOfInputs) {
  const std::string integers = R"(op { type: "GivenTensorIntFill" output: "b"
      arg { name: "shape" ints: 3 } arg { name: "values" ints: [1, 2, 3] } })";
  const std::string bools = R"(op { type: "GivenTensorBoolFill" output: "b"
      arg { name: "shape" ints: 3 } arg { name: "values" ints: [1, 0, 1] } })";
  const std::string relu = Op("Relu", R"("x")", R"("z")");
  EXPECT_NE(WhyRefused(relu + Op("Add", R"(["x", "b"])", R"("y")") + kOutputY, integers)
                .find("op[1] 'y' of type Add: its input 'b' has the type int32; right would be "
                      "float, as 'x' has"),
            std::string::npos);
  EXPECT_NE(WhyRefused(relu + Op("Relu", R"("b")", R"("y")") + kOutputY, bools)
                .find("its input 'b' has the type bool; right would be float, double or float16"),
            std::string::npos);
  EXPECT_NE(WhyRefused(relu + Op("Mul", R"(["b", "b"])", R"("y")") + kOutputY, bools)
                .find("right would be float, double, float16, or an integer of 32 or 64 bits"),
            std::string::npos);
  EXPECT_NE(WhyRefused(Op("FC", R"(["x", "w", "b"])", R"("y")") + kOutputY,
                       integers + R"(op { type: "ConstantFill" output: "w"
                           arg { name: "shape" ints: [3, 3] } })")
                .find("its input 'b' has the type int32"),
            std::string::npos);
}

TEST(NetImporter, ImportsSigmoidAndTanh) {
  const auto model =
      Import(Op("Sigmoid", R"("x")", R"("h")") + Op("Tanh", R"("h")", R"("y")") + kOutputY);
  ASSERT_TRUE(model.ok()) << model.status();
  ASSERT_EQ(model->graph().node_size(), 2);
  EXPECT_EQ(model->graph().node(0).op_type(), "Sigmoid");
  EXPECT_EQ(model->graph().node(1).op_type(), "Tanh");
}

TEST(NetImporter, KeepsLongNamesOutOfMessages) {
  const std::string text =
      WhyRefused(Op("Relu", "\"" + std::string(100'000, 'n') + "\"", R"("y")") + kOutputY);
  EXPECT_LT(text.size(), 1000U);
}

}  // namespace
}  // namespace penstock::convert
