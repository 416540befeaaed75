// SPDX-License-Identifier: Apache-2.0
// What the TensorFlow backend has beyond what every backend does: options of a load.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "backend_fixture.h"
#include "base/test_folder.h"

namespace penstock {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
namespace fs = std::filesystem;

class TensorFlowTest : public testing::Test {
 protected:
  static StatusOr<std::unique_ptr<Model>> Load(const std::string& path, BackendOptions options) {
    static const std::unique_ptr<BackendHost> host = MakeHost("tensorflow");
    LoadOptions load;
    load.options = std::move(options);
    return host->Load(path, load);
  }
  // The frozen graph, with a signature.txt beside it.
  std::string WithSignatureFile(const std::string& text) const {
    fs::copy_file(TestModel("frozen") + "/model.pb", folder_ / "model.pb",
                  fs::copy_options::overwrite_existing);
    folder_.Write("signature.txt", text);
    return folder_.path();
  }
  static std::vector<float> Run(Model& model, std::string_view input, std::string_view output) {
    return Values<float>(Output(RunModel(model, {{input, Floats({1, 2})}}), output));
  }
  static std::string ErrorOf(const std::string& path, BackendOptions options) {
    const auto model = Load(path, std::move(options));
    return model.ok() ? "no error" : std::string(MessageOf(model.status()));
  }

  const TestFolder folder_;
};

TEST_F(TensorFlowTest, TagsChooseTheGraph) {
  const std::string path = TestModel("tags");
  EXPECT_THAT(Run(**Load(path, {}), "x", "y"), ElementsAre(2, 4));
  EXPECT_THAT(Run(**Load(path, {{"saved_model_tags", "serve"}}), "x", "y"), ElementsAre(2, 4));
  for (const char* list : {"train,fast", "fast,train", ",fast,,train,"}) {
    EXPECT_THAT(Run(**Load(path, {{"saved_model_tags", list}}), "x", "y"), ElementsAre(3, 6));
  }
}

TEST_F(TensorFlowTest, TagsThatNoGraphHas) {
  const std::string path = TestModel("tags");
  for (const char* list : {"train", "gpu", "serve,train"}) {
    const std::string error = ErrorOf(path, {{"saved_model_tags", list}});
    EXPECT_THAT(error, HasSubstr(path));
    EXPECT_THAT(error, HasSubstr("tags"));
  }
  EXPECT_THAT(ErrorOf(path, {{"saved_model_tags", ","}}), HasSubstr("saved_model_tags"));
}

TEST_F(TensorFlowTest, FrozenGraphByItself) {
  const auto model = *Load(TestModel("frozen"), {});
  EXPECT_THAT(Run(*model, "x", "y"), ElementsAre(2.5, 3));
}

TEST_F(TensorFlowTest, OptionsNameTheTensorsOfAFrozenGraph) {
  const auto model =
      *Load(TestModel("frozen"), {{"inputs", "number=x:0"}, {"outputs", "mul,result=y"}});
  const Signature* signature = model->info().FindSignature("");
  ASSERT_NE(signature, nullptr);
  EXPECT_EQ(signature->inputs[0].name, "number");
  EXPECT_EQ(signature->inputs[0].backend_name, "x:0");
  EXPECT_EQ(signature->inputs[0].shape, Shape({-1}));
  ASSERT_EQ(signature->outputs.size(), 2U);
  EXPECT_THAT(Run(*model, "number", "result"), ElementsAre(2.5, 3));
  EXPECT_THAT(Run(*model, "number", "mul"), ElementsAre(0.5, 1));
}

TEST_F(TensorFlowTest, TheSignatureFileNamesThemToo) {
  const std::string path =
      WithSignatureFile("# of the model\r\ninputs: number=x\r\noutputs: result = y:0\r\n");
  EXPECT_THAT(Run(**Load(path, {}), "number", "result"), ElementsAre(2.5, 3));
  // An option counts more.
  EXPECT_THAT(Run(**Load(path, {{"inputs", "other=x"}}), "other", "result"), ElementsAre(2.5, 3));
}

TEST_F(TensorFlowTest, TensorsThatTheGraphDoesNotHave) {
  const std::string path = TestModel("frozen");
  EXPECT_THAT(ErrorOf(path, {{"inputs", "z"}}), HasSubstr("the graph has no tensor 'z'"));
  EXPECT_THAT(ErrorOf(path, {{"outputs", "y:1"}}), HasSubstr("the graph has no tensor 'y:1'"));
  EXPECT_THAT(ErrorOf(path, {{"outputs", "y:-1"}}), HasSubstr("the graph has no tensor 'y:-1'"));
  EXPECT_THAT(ErrorOf(path, {{"outputs", "y:99999999999"}}), HasSubstr("has no tensor"));
  EXPECT_THAT(ErrorOf(path, {{"outputs", "y,y"}}), HasSubstr("'y' stands twice"));
  EXPECT_THAT(ErrorOf(path, {{"outputs", ","}}), HasSubstr("the graph has no tensor ''"));
  EXPECT_THAT(ErrorOf(WithSignatureFile("inputs: z\n"), {}),
              HasSubstr("the graph has no tensor 'z'"));
}

// The map in the file has another order at each export; clients see the outputs in ours.
TEST_F(TensorFlowTest, OutputsComeInTheOrderOfTheirNames) {
  const auto model = *Load(TestModel("many_outputs"), {});
  EXPECT_THAT(OutputNames(RunModel(*model, {{"x", Floats({1})}})),
              ElementsAre("as_int64", "half", "positive", "text", "total"));
}

}  // namespace
}  // namespace penstock
