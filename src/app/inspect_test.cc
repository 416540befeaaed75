// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>

#include "app/commands.h"
#include "app/model_report.h"
#include "base/log.h"
#include "base/os/test_folder.h"

namespace penstock {
namespace {

using testing::HasSubstr;

class InspectTest : public testing::Test {
 protected:
  void TearDown() override {
    ConfigureLog(LogLevel::kInfo, LogFormat::kText);  // the command sets it for its process
  }

  void AddVersion(const std::string& folder, std::string_view builtin) const {
    base_.Write(folder + "/model.builtin", builtin);
  }

  // The exit code; what was printed is in out_ and err_.
  int Inspect(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"inspect", "--backend_directory=" + base_.path()});
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    const int code = RunCommand(arguments);
    std::fflush(stdout);
    out_ = testing::internal::GetCapturedStdout();
    err_ = testing::internal::GetCapturedStderr();
    return code;
  }

  const TestFolder base_;
  std::string out_, err_;
};

ModelReport ReportOfAll() {
  TensorSpec x{"x", "serving_default_x:0", DType::kFloat32, false, {-1, 3}, false};
  x.batch_axis = 0;
  x.dimension_names = {"rows", ""};
  TensorSpec any{"a\"b", "", DType::kString, true, {}, true};
  any.default_value = *Tensor::Allocate(DType::kString, {2});
  any.default_value->mutable_as<StringElement>()[1] = {"q\"", 2};
  TensorSpec y{"y", "", DType::kFloat32, false, {-1, 2}, false};
  y.class_labels = {"ham", "spam"};
  TensorSpec z{"z/row_splits_1", "", DType::kInt64, false, {-1}, false};
  z.part = {CompositePart::Role::kRaggedSplits, "z", 1};
  Signature signature{"serving_default", "tensorflow/serving/predict", {any, x}, {y, z}};
  ModelReport report{"/m",
                     {{1}, {12}, {13}},
                     {12},
                     "/m/12",
                     {"tensorflow", {signature}, {}},
                     {{{13}, "it has no files"}}};
  report.info.traits.has_state = true;
  report.info.traits.not_deterministic = true;
  report.info.traits.has_side_effects = true;
  return report;
}

TEST(ModelReportTest, Text) {
  EXPECT_EQ(ReportText(ReportOfAll()),
            "/m\n"
            "  backend   tensorflow\n"
            "  versions  1, 12, 13\n"
            "  shown     12\n"
            "  traits    has_state, not_deterministic, side_effects\n"
            "\n"
            "signature serving_default (tensorflow/serving/predict)\n"
            "  inputs\n"
            "    a\"b  string   any shape   (may be left out; default \"\", \"q\\\"\")\n"
            "    x    float32  [rows,3]   serving_default_x:0\n"
            "  outputs\n"
            "    y               float32  [-1,2]  \n"
            "      classes: ham, spam\n"
            "    z/row_splits_1  int64    [-1]    \n"
            "      ragged_splits of z\n"
            "\n"
            "note: version 13 is not complete: it has no files, and is not served\n");
}

TEST(ModelReportTest, Json) {
  EXPECT_EQ(ReportJson(ReportOfAll()),
            R"({"path":"/m","backend":"tensorflow","versions":[1,12,13],)"
            R"("incomplete":{"13":"it has no files"},"described_path":"/m/12",)"
            R"("any_signature":false,)"
            R"("traits":["has_state","not_deterministic","side_effects"],)"
            R"("signatures":{"serving_default":{)"
            R"("method_name":"tensorflow/serving/predict","inputs":{)"
            R"("a\"b":{"dtype":"string","shape":null,"backend_name":"","optional":true,)"
            R"("default":{"shape":[2],"values":["","q\""]}},)"
            R"("x":{"dtype":"float32","shape":[-1,3],"backend_name":"serving_default_x:0",)"
            R"("optional":false,"batch_axis":0,"dimension_names":["rows",""]}},"outputs":{)"
            R"("y":{"dtype":"float32","shape":[-1,2],"backend_name":"","optional":false,)"
            R"("class_labels":["ham","spam"]},)"
            R"("z/row_splits_1":{"dtype":"int64","shape":[-1],"backend_name":"","optional":false,)"
            R"("part":{"of":"z","role":"ragged_splits","level":1}}}}},"notes":[]})"
            "\n");
}

TEST_F(InspectTest, DescribesTheNewestVersion) {
  AddVersion("2", "identity");
  AddVersion("10", "half_plus_two");
  ASSERT_EQ(Inspect({base_.path()}), 0) << err_;
  EXPECT_THAT(out_, HasSubstr("backend   builtin\n  versions  2, 10\n  shown     10\n"));
  EXPECT_THAT(out_, HasSubstr("signature serving_default"));
  EXPECT_EQ(err_, "");
}

TEST_F(InspectTest, DescribesTheVersionThatServeWouldLoad) {
  AddVersion("1", "identity");
  base_.Make("2");
  base_.Write("3/_SUCCESS");
  base_.Write("4/variables/variables.index", "x");
  ASSERT_EQ(Inspect({base_.path()}), 0) << err_;
  EXPECT_THAT(out_, HasSubstr("  versions  1, 2, 3, 4\n  shown     1\n"));
  EXPECT_THAT(out_, HasSubstr("note: version 4 is not complete: it has variables and no "
                              "saved_model.pb, and is not served\n"
                              "\nnote: version 3 is not complete: it has no files, or only empty "
                              "ones, and is not served\n"));
  std::filesystem::remove_all(base_ / "1");
  EXPECT_EQ(Inspect({base_.path()}), 1);
  EXPECT_EQ(err_, "penstock inspect: " + base_.path() +
                      " has no complete version: version 4 is not complete: it has variables and "
                      "no saved_model.pb\n");
}

TEST_F(InspectTest, DescribesOneVersion) {
  AddVersion("2", "identity");
  AddVersion("10", "half_plus_two");
  ASSERT_EQ(Inspect({base_ / "2"}), 0) << err_;
  EXPECT_THAT(out_, HasSubstr("takes any tensors"));
  EXPECT_THAT(out_, Not(HasSubstr("versions")));
}

TEST_F(InspectTest, DescribesBuiltinModels) {
  ASSERT_EQ(Inspect({"--json", "builtin:half_plus_two"}), 0) << err_;
  EXPECT_THAT(out_, HasSubstr(R"("backend":"builtin","versions":[1],)"));
  EXPECT_EQ(Inspect({"builtin:half"}), 1);
  EXPECT_THAT(err_, HasSubstr("builtin:identity"));
}

TEST_F(InspectTest, TakesAFileUrl) {
  AddVersion("1", "identity");
  EXPECT_EQ(Inspect({"--json", "file://" + base_.path()}), 0);
  EXPECT_THAT(out_, HasSubstr(R"("described_path":")" + base_ / "1"));
  EXPECT_EQ(Inspect({"gs://bucket/m"}), 1);
  EXPECT_THAT(err_, HasSubstr("there is no source for gs://"));
  EXPECT_EQ(Inspect({"s3://bucket/m"}), 1);
  EXPECT_THAT(err_, HasSubstr("'s3://bucket/m': a model in an object store can only be served"));
}

TEST_F(InspectTest, ExplainsErrorsInTheFolder) {
  EXPECT_EQ(Inspect({base_ / "nowhere"}), 1);
  EXPECT_THAT(err_, HasSubstr("penstock inspect: "));
  EXPECT_THAT(err_, HasSubstr(base_ / "nowhere"));

  EXPECT_EQ(Inspect({base_.path()}), 1);
  EXPECT_THAT(err_, HasSubstr("has no versions (folders named by a number), and is no version"));

  AddVersion("1", "nothing");
  EXPECT_EQ(Inspect({base_.path()}), 1);
  EXPECT_THAT(err_, HasSubstr("1/model.builtin: there is no built-in model"));

  base_.Write("2/model.txt", "no model");
  EXPECT_EQ(Inspect({base_.path()}), 1);
  EXPECT_THAT(err_, HasSubstr("no backend takes the folder " + base_ / "2"));

  EXPECT_EQ(Inspect({"--platform=caffe", base_.path()}), 1);
  EXPECT_THAT(err_, HasSubstr("there is no backend 'caffe'; installed: none"));
  EXPECT_EQ(out_, "");
}

TEST_F(InspectTest, ExplainsErrorsInTheArguments) {
  EXPECT_EQ(Inspect({}), 1);
  EXPECT_THAT(err_, HasSubstr("which model?"));
  EXPECT_EQ(Inspect({"a", "b"}), 1);
  EXPECT_THAT(err_, HasSubstr("one folder at a time, not both a and b"));
  for (const char* const flag : {"--port=1", "--jsn", "--backend_directory", "-x"}) {
    EXPECT_EQ(Inspect({flag, "m"}), 1);
    EXPECT_THAT(err_, HasSubstr(std::string("unknown flag ") + flag));
  }
  EXPECT_EQ(Inspect({"--log_level=loud", "m"}), 1);
  EXPECT_THAT(err_, HasSubstr("--log_level=loud: must be one of"));
}

TEST_F(InspectTest, DrawsAnEnsembleOfAConfigurationFile) {
  AddVersion("half/3", "half_plus_two");
  AddVersion("half/4", "half_plus_two");
  const std::string config = base_.Write("list", R"(model_config_list {
      config { name: "half" base_path: ")" + base_ / "half" +
                                                     R"(" }
      config { name: "inner" penstock { ensemble { input: "x" output: "y"
        step { model: "half" version: 3 inputs { key: "x" value: "x" }
               outputs { key: "y" value: "y" } } } } }
      config { name: "outer" penstock { ensemble { version: 5 input: "a" output: "c"
        step { name: "one" model: "inner" inputs { key: "x" value: "a" }
               outputs { key: "y" value: "b" } }
        step { name: "two" model: "half" inputs { key: "x" value: "b" }
               outputs { key: "y" value: "c" } } } } }
      config { name: "bad" penstock { ensemble { input: "x" output: "y"
        step { model: "half" inputs { key: "z" value: "x" }
               outputs { key: "y" value: "y" } } } } } })");
  const std::string flag = "--model_config_file=" + config;
  ASSERT_EQ(Inspect({flag, "outer"}), 0) << err_;
  EXPECT_EQ(out_,
            "outer\n  backend   ensemble\n  versions  5\n  shown     5\n\n"
            "signature serving_default (tensorflow/serving/predict)\n"
            "  inputs\n    a  float32  any shape  input 'x' of step 'one'\n"
            "  outputs\n    c  float32  any shape  output 'y' of step 'two'\n\n"
            "steps\n"
            "  stage 1\n    one (model inner)\n      x  <-  a\n      y  ->  b  float32 any shape\n"
            "  stage 2\n    two (model half)\n      x  <-  b\n      y  ->  c  float32 any shape\n");
  ASSERT_EQ(Inspect({flag, "--dot", "outer"}), 0) << err_;
  EXPECT_THAT(out_, HasSubstr("\"step one\" -> \"step two\""));
  ASSERT_EQ(Inspect({flag, "--json", "outer"}), 0) << err_;
  EXPECT_THAT(out_, HasSubstr(R"("steps":[{"name":"one","model":"inner",)"
                              R"("signature":"serving_default","inputs":{"x":"a"},)"
                              R"("outputs":{"y":"b"}},{"name":"two")"));
  EXPECT_EQ(Inspect({flag, "--json", "--dot", "outer"}), 1);
  EXPECT_THAT(err_, HasSubstr("--json and --dot are two forms of the output"));
  ASSERT_EQ(Inspect({flag, "half"}), 0) << err_;
  EXPECT_THAT(out_, HasSubstr("shown     4\n"));
  EXPECT_EQ(Inspect({flag, "--dot", "half"}), 1);
  EXPECT_THAT(err_, HasSubstr("--dot draws ensembles, and "));
  EXPECT_EQ(Inspect({flag, "bad"}), 1);
  EXPECT_EQ(err_,
            "penstock inspect: model 'bad', step 'half', input 'z': signature 'serving_default' of "
            "model half has no such input, only 'x'\n");
  EXPECT_EQ(Inspect({flag, "none"}), 1);
  EXPECT_EQ(err_,
            "penstock inspect: there is no model 'none' in the list; it has half, inner, outer, "
            "bad\n");
}

TEST_F(InspectTest, Help) {
  EXPECT_EQ(Inspect({"--help"}), 0);
  EXPECT_THAT(out_, HasSubstr("Usage: penstock inspect [flags] FOLDER"));
}

}  // namespace
}  // namespace penstock
