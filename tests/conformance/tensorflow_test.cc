// SPDX-License-Identifier: Apache-2.0
// What the TensorFlow backend has beyond what every backend does: options of a load.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "backend_fixture.h"
#include "base/os/test_folder.h"

namespace penstock {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::EndsWith;
using testing::HasSubstr;
using testing::UnorderedElementsAre;
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
    EXPECT_THAT(error, HasSubstr("it has {serve}, {fast, train}, {}, {bare}"));
  }
  EXPECT_THAT(ErrorOf(SampleModel("half_plus_two"), {{"saved_model_tags", ","}}),
              HasSubstr("has no graph with the tags {}; it has {serve} (saved_model_tags says"));
}

TEST_F(TensorFlowTest, AGraphWithoutTags) {
  for (const char* list : {"", ","}) {
    EXPECT_THAT(Run(**Load(TestModel("tags"), {{"saved_model_tags", list}}), "x", "y"),
                ElementsAre(5, 10));
  }
}

TEST_F(TensorFlowTest, AGraphWithoutSignaturesIsLoadedWithANote) {
  const auto model = *Load(TestModel("tags"), {{"saved_model_tags", "bare"}});
  EXPECT_TRUE(model->info().signatures.empty());
  EXPECT_THAT(model->info().notes, ElementsAre(HasSubstr("has no signatures")));
}

TEST_F(TensorFlowTest, ShapesAreForTensorFlowToDecide) {
  const auto model = *Load(TestModel("declared_shapes"), {});
  EXPECT_EQ(model->info().FindSignature("")->inputs[0].shape, Shape({-1, 1}));
  EXPECT_THAT(Run(*model, "x", "y"), ElementsAre(2.5, 3));
  const InferResponse refused = RunModel(*model, {{"x", Floats({1, 2, 3})}}, {}, "product");
  EXPECT_EQ(refused.status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(MessageOf(refused.status)),
              EndsWith("; the signature declares x: [-1,1], the request has [3]"));
}

TEST_F(TensorFlowTest, AWrongRankDoesNotReachAConvolution) {
  const auto model = *Load(TestModel("convolution"), {});
  for (const Shape& shape : {Shape{}, Shape{2}, Shape{1, 2, 2}}) {
    const Tensor image = *Tensor::Allocate(DType::kFloat32, shape);
    EXPECT_EQ(RunModel(*model, {{"image", image}}).status.code(), StatusCode::kInvalidArgument);
  }
  const Tensor image = MakeTensor<float>(DType::kFloat32, {1, 2, 2, 1}, {1, 2, 3, 4});
  const Tensor y = Output(RunModel(*model, {{"image", image}}), "y");
  EXPECT_THAT(Values<float>(y), ElementsAre(10, 6, 7, 4));
}

TEST_F(TensorFlowTest, SignaturesThatNoRequestCanUseAreLeftOut) {
  const auto model = *Load(TestModel("odd_signatures"), {});
  ASSERT_EQ(model->info().signatures.size(), 4U);
  EXPECT_THAT(Run(*model, "x", "y"), ElementsAre(2, 4));
  EXPECT_THAT(
      model->info().notes,
      UnorderedElementsAre(
          HasSubstr("'int4' cannot be served and is left out: the input 'x' has the type int4"),
          HasSubstr("the input 'x' has the type number 999, which is none of TensorFlow's"),
          HasSubstr("the output 'y' is the tensor 'nowhere:0', which the graph does not have"),
          HasSubstr("the output 'list' has the type variant"),
          HasSubstr("the output 'handle' has the type resource")));
  EXPECT_THAT(model->info().signature_def_map, HasSubstr("__saved_model_init_op"));
}

// As {part name, shape, element type}.
std::vector<std::string> PartsOf(const Signature& signature) {
  std::vector<std::string> parts;
  for (const TensorSpec& spec : signature.inputs) {
    EXPECT_EQ(spec.name, spec.part.composite + spec.name.substr(spec.part.composite.size()));
    parts.push_back(fmt::format("{} {} {} {} {}", spec.name, static_cast<int>(spec.part.role),
                                spec.part.level, spec.shape.ToString(), DTypeName(spec.dtype)));
  }
  return parts;
}

TEST_F(TensorFlowTest, SparseAndRaggedInputsAreServedAsTheirParts) {
  const auto model = *Load(TestModel("odd_signatures"), {});
  const Signature& sparse = *model->info().FindSignature("sparse");
  EXPECT_THAT(PartsOf(sparse),
              ElementsAre("s/dense_shape 3 0 [2] int64", "s/indices 1 0 [-1,2] int64",
                          "s/values 2 0 [-1] float32"));
  EXPECT_EQ(sparse.inputs[1].backend_name, "sparse/indices:0");
  const Tensor shape = MakeTensor<int64_t>(DType::kInt64, {2}, {2, 3});
  const Tensor indices = MakeTensor<int64_t>(DType::kInt64, {2, 2}, {0, 1, 1, 2});
  const InferResponse sum = RunModel(
      *model, {{"s/dense_shape", shape}, {"s/indices", indices}, {"s/values", Floats({3, 4})}}, {},
      "sparse");
  ASSERT_TRUE(sum.status.ok()) << sum.status;
  EXPECT_THAT(Values<float>(Output(sum, "y")), ElementsAre(7));

  const Signature& ragged = *model->info().FindSignature("ragged");
  EXPECT_THAT(PartsOf(ragged),
              ElementsAre("r/flat_values 4 0 [-1] int64", "r/row_splits_0 5 0 [-1] int64"));
  const Tensor values = MakeTensor<int64_t>(DType::kInt64, {3}, {5, 6, 7});
  const Tensor splits = MakeTensor<int64_t>(DType::kInt64, {3}, {0, 1, 3});
  const InferResponse flat =
      RunModel(*model, {{"r/flat_values", values}, {"r/row_splits_0", splits}}, {}, "ragged");
  ASSERT_TRUE(flat.status.ok()) << flat.status;
  EXPECT_THAT(Values<int64_t>(Output(flat, "y")), ElementsAre(5, 6, 7));
}

TEST_F(TensorFlowTest, DefaultsOfOptionalInputsAreDescribed) {
  const auto model = *Load(TestModel("defaults"), {});
  const TensorSpec* term = model->info().FindSignature("")->FindInput("term");
  ASSERT_TRUE(term->default_value.has_value());
  EXPECT_EQ(term->default_value->shape(), Shape());
  EXPECT_THAT(Values<float>(*term->default_value), ElementsAre(2));
  const auto text = *Load(TestModel("pass_through"), {});
  const TensorSpec* note = text->info().FindSignature("")->FindInput("note");
  ASSERT_TRUE(note->default_value.has_value());
  EXPECT_THAT(StringValues(*note->default_value), ElementsAre("none"));
}

TEST_F(TensorFlowTest, TheOperationsSayWhatIsTrueOfARun) {
  struct Case {
    const char* model;
    bool has_state = false;
    bool not_deterministic = false;
    bool has_side_effects = false;
  };
  const Case kCases[] = {{.model = "counter", .has_state = true},
                         {.model = "mutable_table", .has_state = true},
                         {.model = "odd_signatures", .has_state = true},
                         {.model = "seeded_noise", .has_state = true},
                         {.model = "noise", .not_deterministic = true},
                         {.model = "prints", .has_side_effects = true},
                         {.model = "vocabulary"},  // a table that nothing writes
                         {.model = "loop"},
                         {.model = "not_negative"},
                         {.model = "frozen"}};
  for (const Case& each : kCases) {
    const auto model = *Load(TestModel(each.model), {});
    const ModelTraits& traits = model->info().traits;
    EXPECT_EQ(traits.has_state, each.has_state) << each.model;
    EXPECT_EQ(traits.not_deterministic, each.not_deterministic) << each.model;
    EXPECT_EQ(traits.has_side_effects, each.has_side_effects) << each.model;
  }
  // It has variables, and operations that restore and save them.
  EXPECT_FALSE((*Load(SampleModel("digits"), {}))->info().traits.has_state);
}

TEST_F(TensorFlowTest, RandomNumbersAreOtherOnesInEachRun) {
  for (const char* name : {"noise", "seeded_noise"}) {
    const auto model = *Load(TestModel(name), {});
    EXPECT_NE(Run(*model, "x", "y"), Run(*model, "x", "y")) << name;
  }
}

// Runs a request for several signatures as the engine does; checked before.
InferResponse RunSeveral(Model& model, NamedTensors inputs,
                         const std::vector<std::string_view>& signatures) {
  InferRequest request;
  request.inputs = std::move(inputs);
  request.signature_name = signatures[0];
  for (size_t i = 1; i < signatures.size(); ++i) {
    request.further_signatures.push_back({.name = signatures[i]});
  }
  EXPECT_EQ(CheckRequest(model.info(), request), OkStatus());
  InferResponse response;
  model.Run(request, [&](InferResponse&& part) { response = std::move(part); });
  return response;
}

TEST_F(TensorFlowTest, OneRunAnswersForSeveralSignatures) {
  const auto shared = *Load(TestModel("declared_shapes"), {});  // one placeholder
  EXPECT_TRUE(shared->info().traits.several_signatures);
  const Tensor x = MakeTensor<float>(DType::kFloat32, {2, 1}, {1, 2});
  for (int run = 0; run < 2; ++run) {
    const InferResponse response = RunSeveral(*shared, {{"x", x}}, {"product", "serving_default"});
    ASSERT_EQ(response.outputs.size(), 2U) << response.status;
    for (const NamedTensor& output : response.outputs) {
      EXPECT_EQ(Values<float>(output.tensor),
                output.signature == 0 ? std::vector<float>({3, 6}) : std::vector<float>({2.5, 3}));
    }
  }
  const auto own = *Load(TestModel("dtypes"), {});  // a placeholder for each signature
  EXPECT_TRUE(own->info().traits.several_signatures);
  EXPECT_EQ(RunSeveral(*own, {{"x", x}}, {"serving_default", "float32"}).outputs.size(), 2U);
  // Two inputs that are one tensor; a single signature.
  EXPECT_FALSE((*Load(TestModel("pass_through"), {}))->info().traits.several_signatures);
  EXPECT_FALSE((*Load(SampleModel("half_plus_three"), {}))->info().traits.several_signatures);
}

TEST_F(TensorFlowTest, AReferenceIsOfItsBaseType) {
  const auto model = *Load(TestModel("odd_signatures"), {});
  EXPECT_EQ(model->info().FindSignature("count")->outputs[0].dtype, DType::kFloat32);
  for (const float sum : {2.5F, 5.0F}) {
    const Tensor by = MakeTensor<float>(DType::kFloat32, {}, {2.5});
    const InferResponse response = RunModel(*model, {{"by", by}}, {}, "count");
    EXPECT_THAT(Values<float>(Output(response, "total")), ElementsAre(sum));
  }
}

TEST_F(TensorFlowTest, AnOutputThatIsAnInput) {
  const auto model = *Load(TestModel("pass_through"), {});
  const Tensor key = MakeTensor<int64_t>(DType::kInt64, {2}, {7, 8});
  const std::vector<std::string> words = {"a", "a note that is longer than a small string"};
  InferResponse response =
      RunModel(*model, {{"key", key}, {"note", Strings(words)}, {"x", Floats({1, 2})}});
  EXPECT_THAT(Values<int64_t>(Output(response, "key")), ElementsAre(7, 8));
  EXPECT_THAT(StringValues(Output(response, "note")), ElementsAreArray(words));
  EXPECT_THAT(Values<float>(Output(response, "y")), ElementsAre(2, 4));
  // Also one that is left out.
  response = RunModel(*model, {{"key", key}, {"x", Floats({1, 2})}}, {"note"});
  EXPECT_THAT(StringValues(Output(response, "note")), ElementsAre("none"));
}

TEST_F(TensorFlowTest, TwoInputsThatAreOneTensor) {
  const auto model = *Load(TestModel("pass_through"), {});
  const std::vector<std::string> words = {"one", "three"};
  const std::vector<std::string> others = {"one", "two"};
  const auto run = [&](const std::vector<std::string>& a, const std::vector<std::string>& b) {
    return RunModel(*model, {{"a", Strings(a)}, {"b", Strings(b)}}, {}, "twice");
  };
  const InferResponse response = run(words, words);
  EXPECT_THAT(Values<int32_t>(Output(response, "length")), ElementsAre(3, 5));
  EXPECT_THAT(StringValues(Output(response, "again")), ElementsAreArray(words));
  EXPECT_THAT(std::string(MessageOf(run(words, others).status)),
              HasSubstr("the inputs 'a' and 'b' are one tensor of the graph"));
}

TEST_F(TensorFlowTest, AGraphThatAsksForAGpuRunsOnTheCpu) {
  EXPECT_THAT(Run(**Load(TestModel("placed_on_gpu"), {}), "x", "y"), ElementsAre(2.5, 3));
}

TEST_F(TensorFlowTest, AFrozenGraphThatIsCalledSavedModel) {
  fs::copy_file(TestModel("frozen") + "/model.pb", folder_ / "saved_model.pb");
  const auto model = *Load(folder_.path(), {});
  EXPECT_THAT(Run(*model, "x", "y"), ElementsAre(2.5, 3));
  EXPECT_THAT(model->info().notes, ElementsAre(HasSubstr("call it model.pb")));
}

TEST_F(TensorFlowTest, AGraphInTextFormIsNamedWithWhatToDo) {
  const char* const graph =
      "# written by a script\nnode {\n  name: \"x\"\n  op: \"Placeholder\"\n}\n";
  for (const char* name : {"saved_model.pbtxt", "saved_model.pb", "model.pb"}) {
    const TestFolder folder;
    folder.Write(name, graph);
    EXPECT_THAT(ErrorOf(folder.path(), {}),
                HasSubstr(folder.path() + ": " + name +
                          " is a graph (a GraphDef) in text form, which is not served: write it in "
                          "binary form as model.pb (tf.io.write_graph with as_text=False), or "
                          "export a SavedModel"));
  }
  folder_.Write("saved_model.pb", "saved_model_schema_version: 1\n");
  EXPECT_THAT(ErrorOf(folder_.path(), {}),
              HasSubstr("is a SavedModel in text form: call it saved_model.pbtxt"));
}

TEST_F(TensorFlowTest, AVersionWithoutItsVariablesIsIncomplete) {
  for (const char* name : {"counter", "odd_signatures"}) {
    fs::copy_file(TestModel(name) + "/saved_model.pb", folder_ / "saved_model.pb",
                  fs::copy_options::overwrite_existing);
    const Status status = Load(folder_.path(), {}).status();
    EXPECT_EQ(status.code(), StatusCode::kNotFound);
    EXPECT_THAT(std::string(MessageOf(status)),
                HasSubstr("the version is incomplete: saved_model.pb has variables, but there is"));
  }
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
  EXPECT_THAT(ErrorOf(path, {{"outputs", "y,y"}}),
              HasSubstr("has 'y', which is one of them already"));
  EXPECT_THAT(ErrorOf(path, {{"outputs", ","}}), HasSubstr("the graph has no tensor ''"));
  EXPECT_THAT(ErrorOf(WithSignatureFile("inputs: z\n"), {}),
              HasSubstr("the graph has no tensor 'z'"));
}

std::vector<std::string> NamesOf(const std::vector<TensorSpec>& specs) {
  std::vector<std::string> names;
  for (const TensorSpec& spec : specs) names.push_back(spec.name);
  return names;
}

TEST_F(TensorFlowTest, ClientsMayCallTensorsAsTheGraphDoes) {
  const auto model = *Load(WithSignatureFile("names: graph\n"), {});
  EXPECT_EQ(NamesOf(model->info().signatures[0].inputs), std::vector<std::string>{"x:0"});
  EXPECT_THAT(Run(*model, "x:0", "y:0"), ElementsAre(2.5, 3));
  const auto named = *Load(TestModel("frozen"), {{"names", "graph"}, {"outputs", "mul,r=y,y:0"}});
  EXPECT_THAT(NamesOf(named->info().signatures[0].outputs), ElementsAre("mul:0", "r", "y:0"));
  const auto more = *Load(TestModel("frozen"), {{"names", "graph"}, {"more_outputs", "mul"}});
  EXPECT_THAT(NamesOf(more->info().signatures[0].outputs), ElementsAre("mul:0", "y:0"));
  EXPECT_THAT(ErrorOf(TestModel("frozen"), {{"names", "tensor"}}), HasSubstr("it can be 'graph'"));
}

// As GraphPipe's server for TensorFlow did, whose clients send tensors by position.
TEST_F(TensorFlowTest, TheGuessOfGraphPipesServer) {
  using Lists = std::pair<std::vector<std::string>, std::vector<std::string>>;
  const auto lists_of = [](const Model& model) {
    const Signature& signature = model.info().signatures[0];
    Lists lists;
    for (size_t i = 0; i < signature.inputs.size(); ++i)
      lists.first.push_back(AtPlace(signature.inputs, i).name);
    for (size_t i = 0; i < signature.outputs.size(); ++i)
      lists.second.push_back(AtPlace(signature.outputs, i).name);
    return lists;
  };
  const std::string path = TestModel("mixed_frozen");
  EXPECT_EQ(lists_of(**Load(path, {})),
            Lists({"flag", "x", "words"}, {"checked", "is_large", "top", "top:1", "echo"}));
  EXPECT_EQ(lists_of(**Load(path, {{"names", "graph"}})),
            Lists({"x:0", "words:0", "flag:0"}, {"top:0", "top:1", "echo:0"}));
  EXPECT_EQ(lists_of(**Load(path, {{"names", "graph"}, {"outputs", "top:1,half"}})).second,
            std::vector<std::string>({"top:1", "half:0"}));
}

TEST_F(TensorFlowTest, NamesInASavedModelReplaceItsSignatures) {
  const std::string path = SampleModel("half_plus_two");
  const auto before = *Load(path, {});
  const std::string input = before->info().FindSignature("")->inputs[0].backend_name;
  const std::string output = before->info().FindSignature("")->outputs[0].backend_name;
  const auto model = *Load(path, {{"names", "graph"}});
  ASSERT_EQ(model->info().signatures.size(), 1U);
  EXPECT_EQ(NamesOf(model->info().signatures[0].inputs), std::vector<std::string>{input});
  EXPECT_THAT(Run(*model, input, output), ElementsAre(2.5, 3));
  // One list is given, and the other is that of the signature, with its names.
  const auto named = *Load(path, {{"outputs", "result=" + output}});
  EXPECT_THAT(Run(*named, "x", "result"), ElementsAre(2.5, 3));
  EXPECT_THAT(ErrorOf(path, {{"inputs", "q"}}), HasSubstr("the graph has no tensor 'q'"));
}

// The map in the file has another order at each export; clients see the outputs in ours.
TEST_F(TensorFlowTest, OutputsComeInTheOrderOfTheirNames) {
  const auto model = *Load(TestModel("many_outputs"), {});
  EXPECT_THAT(OutputNames(RunModel(*model, {{"x", Floats({1})}})),
              ElementsAre("as_int64", "half", "positive", "text", "total"));
}

}  // namespace
}  // namespace penstock
