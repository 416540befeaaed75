// SPDX-License-Identifier: Apache-2.0
// What the ONNX Runtime backend has beyond what every backend does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <limits>

#include "backend_fixture.h"
#include "base/os/test_folder.h"
#include "base/os/test_paths.h"

namespace penstock {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::FloatNear;
using testing::HasSubstr;
using testing::Not;
namespace fs = std::filesystem;

BackendHost& Host() {
  static const std::unique_ptr<BackendHost> host = MakeHost("onnxruntime");
  return *host;
}
std::unique_ptr<Model> Load(const std::string& path) { return *Host().Load(path, {}); }
std::string LoadError(const std::string& path) {
  const StatusOr<std::unique_ptr<Model>> model = Host().Load(path, {});
  return model.ok() ? "loaded" : std::string(MessageOf(model.status()));
}

TEST(OnnxRuntimeTest, ScalarsAreDescribedAsScalars) {
  const auto model = Load(TestModel("scalars_onnx"));
  const Signature* signature = model->info().FindSignature("");
  ASSERT_NE(signature, nullptr);
  for (const char* name : {"a", "b"}) {
    EXPECT_FALSE(signature->FindInput(name)->unknown_rank) << name;
    EXPECT_EQ(signature->FindInput(name)->shape, Shape()) << name;
  }
  for (const char* name : {"sum", "product"}) {
    EXPECT_FALSE(signature->FindOutput(name)->unknown_rank) << name;
  }
  const InferResponse row = RunModel(*model, {{"a", Floats({1})}, {"b", Floats({2})}});
  EXPECT_EQ(row.status.code(), StatusCode::kInvalidArgument) << row.status;
}

TEST(OnnxRuntimeTest, TensorsOfUnknownRankTakeAnyShape) {
  const auto model = Load(TestModel("any_rank_onnx"));
  const Signature* signature = model->info().FindSignature("");
  ASSERT_NE(signature, nullptr);
  EXPECT_TRUE(signature->FindInput("x")->unknown_rank);
  EXPECT_TRUE(signature->FindOutput("y")->unknown_rank);
  for (int run = 0; run < 2; ++run) {
    EXPECT_THAT(Values<float>(Output(RunModel(*model, {{"x", Floats({1, 2})}}), "y")),
                ElementsAre(2, 4));
    const Tensor scalar = MakeTensor<float>(DType::kFloat32, {}, {3});
    EXPECT_EQ(Output(RunModel(*model, {{"x", scalar}}), "y").shape(), Shape());
  }
}

Tensor Int64s(const std::vector<int64_t>& values) {
  return MakeTensor(DType::kInt64, {static_cast<int64_t>(values.size())}, values);
}

// Each of these ended the process: SIGFPE.
TEST(OnnxRuntimeTest, IntegerDivisionsThatDoNotFitWrap) {
  const auto model = Load(TestModel("division_onnx"));
  constexpr int64_t kSmallest = std::numeric_limits<int64_t>::min();
  const InferResponse response =
      RunModel(*model, {{"a", Int64s({kSmallest, 7})}, {"b", Int64s({-1, -2})}});
  ASSERT_TRUE(response.status.ok()) << response.status;
  EXPECT_THAT(Values<int64_t>(Output(response, "quotient")), ElementsAre(kSmallest, -3));
  EXPECT_THAT(Values<int64_t>(Output(response, "remainder")), ElementsAre(0, -1));
  EXPECT_THAT(Values<int64_t>(Output(response, "sum")), ElementsAre(kSmallest, -4));
}

TEST(OnnxRuntimeTest, AnIntegerDivisionByZeroIsAnErrorOfTheClient) {
  const auto model = Load(TestModel("division_onnx"));
  for (const char* output : {"quotient", "remainder", "sum"}) {
    const Status status =
        RunModel(*model, {{"a", Int64s({7})}, {"b", Int64s({0})}}, {output}).status;
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << output << ": " << status;
    EXPECT_THAT(std::string(MessageOf(status)), HasSubstr("by zero"));
  }
}

TEST(OnnxRuntimeTest, ShapesThatDoNotFitEachOtherAreAnErrorOfTheClient) {
  const auto model = Load(TestModel("division_onnx"));
  const Status status =
      RunModel(*model, {{"a", Int64s({7, 8})}, {"b", Int64s({1, 2, 3})}}, {"quotient"}).status;
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << status;
  EXPECT_THAT(std::string(MessageOf(status)),
              AllOf(HasSubstr("Attempting to broadcast"), Not(HasSubstr("onnxruntime_src"))));
}

TEST(OnnxRuntimeTest, OutputsComeInTheOrderOfTheirNames) {
  const auto model = Load(TestModel("many_outputs_onnx"));
  EXPECT_THAT(OutputNames(RunModel(*model, {{"x", Floats({1})}})),
              ElementsAre("as_int64", "half", "positive", "text", "total"));
}

// Protobuf would merge the graphs; the one that is looked at for what must be rewritten is another.
TEST(OnnxRuntimeTest, AFileWithTwoGraphsIsRefused) {
  const TestFolder folder;
  std::string bytes;
  for (const char* name : {"zipmap_onnx", "zipmap_onnx"}) {
    std::ifstream file(TestModel(name) + "/model.onnx", std::ios::binary);
    bytes.append(std::istreambuf_iterator<char>(file), {});
  }
  folder.Write("1/model.onnx", bytes);
  EXPECT_THAT(LoadError(folder / "1"), HasSubstr("model.onnx has two graphs"));
}

// --- Data in files beside the model

// A copy of a model whose numbers lie in a file of their own, and in an If body, too.
class OnnxExternalDataTest : public testing::Test {
 protected:
  // In a folder below the version's folder if `below` is not empty.
  void Copy(const std::string& below = "") {
    const std::string folder = folder_.Make("1/" + below);
    fs::copy(TestModel("external_onnx"), folder, fs::copy_options::recursive);
    weights_ = folder + "/weights.pb";
  }
  std::unique_ptr<Model> LoadCopy() { return Load(folder_ / "1"); }
  static std::vector<float> Run(Model& model) {
    Tensor yes = *Tensor::Allocate(DType::kBool, {});
    yes.mutable_as<bool>()[0] = true;
    const Tensor ones = MakeTensor<float>(DType::kFloat32, {1, 4}, {1, 1, 1, 1});
    return Values<float>(Output(RunModel(model, {{"is_shifted", yes}, {"x", ones}}), "y"));
  }

  TestFolder folder_;
  std::string weights_;
};

TEST_F(OnnxExternalDataTest, IsReadBesideTheModelWhateverTheFileIsCalled) {
  Copy();
  EXPECT_THAT(Run(*LoadCopy()), ElementsAre(11, 22, 33, 44));
}

TEST_F(OnnxExternalDataTest, IsReadInAFolderThatIsNamedLikeAModel) {
  Copy("model.onnx");
  EXPECT_THAT(Run(*LoadCopy()), ElementsAre(11, 22, 33, 44));
}

TEST_F(OnnxExternalDataTest, AServedVersionDependsOnNoFile) {
  Copy();
  const auto model = LoadCopy();
  std::ofstream(weights_, std::ios::in | std::ios::binary) << std::string(32, '\x42');
  EXPECT_THAT(Run(*model), ElementsAre(11, 22, 33, 44));
  fs::resize_file(weights_, 0);
  EXPECT_THAT(Run(*model), ElementsAre(11, 22, 33, 44));
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    EXPECT_EQ(line.find("weights.pb"), line.npos) << line;
  }
}

TEST_F(OnnxExternalDataTest, AFileThatIsTooShortIsNamed) {
  Copy();
  fs::resize_file(weights_, 20);
  const std::string error = LoadError(folder_ / "1");
  EXPECT_THAT(error, HasSubstr("'shift' in the file 'weights.pb' is missing: 16 bytes from byte 16 "
                               "on are needed, the file has 20"));
}

TEST_F(OnnxExternalDataTest, AFileThatIsNotThereIsNamedWithWhereItBelongs) {
  Copy();
  const auto error_with = [&](std::string_view reason) {
    EXPECT_THAT(LoadError(folder_ / "1"),
                HasSubstr("the data of the initialiser 'scale' in the file 'weights.pb' cannot be "
                          "read: " +
                          std::string(reason) +
                          "; the file belongs into the folder of the .onnx file, under this name"));
  };
  fs::remove(weights_);
  error_with("No such file or directory");
  fs::create_directory(weights_);
  error_with("it is no regular file");
}

TEST_F(OnnxExternalDataTest, AFileOutsideOfTheModelsFolderIsRefused) {
  Copy();
  std::string bytes = folder_.Read("1/model.onnx");
  for (size_t at = bytes.find("weights.pb"); at != bytes.npos; at = bytes.find("weights.pb")) {
    bytes.replace(at, 10, "../eights_");
  }
  folder_.Write("1/model.onnx", bytes);
  folder_.Write("eights_", std::string(32, 'x'));
  EXPECT_THAT(LoadError(folder_ / "1"), HasSubstr("lies outside of the model's folder"));
}

TEST_F(OnnxExternalDataTest, AnOffsetThatIsNoNumberIsRefused) {
  Copy();
  std::string bytes = folder_.Read("1/model.onnx");
  const size_t at = bytes.find(
      "offset\x12\x02"
      "16");
  ASSERT_NE(at, bytes.npos);
  bytes.replace(at + 8, 2, "-1");
  folder_.Write("1/model.onnx", bytes);
  EXPECT_THAT(LoadError(folder_ / "1"),
              HasSubstr("'shift' in the file 'weights.pb' has an offset or a length that is not a "
                        "number"));
}

TEST_F(OnnxExternalDataTest, CountsTwiceInTheEstimate) {
  Copy();
  const uint64_t model = fs::file_size(folder_ / "1/model.onnx");
  EXPECT_EQ(*Host().EstimateBytes(folder_ / "1", {}), model + 2 * 16);  // an If body's is not large
}

// --- Inputs and outputs that need more than a name

TEST(OnnxRuntimeTest, AnInitialiserOfAnInputIsItsDefault) {
  const auto model = Load(TestModel("defaults_onnx"));
  const TensorSpec* factor = model->info().FindSignature("")->FindInput("factor");
  EXPECT_TRUE(factor->optional);
  ASSERT_TRUE(factor->default_value.has_value());
  EXPECT_EQ(factor->default_value->shape(), Shape({1}));
  EXPECT_THAT(Values<float>(*factor->default_value), ElementsAre(0.5));
  EXPECT_EQ(model->info().FindSignature("")->FindInput("x")->batch_axis, -1);  // `factor` has none
  for (int run = 0; run < 2; ++run) {
    EXPECT_THAT(Values<float>(Output(RunModel(*model, {{"x", Floats({2, 4})}}), "y")),
                ElementsAre(3, 4));
    const InferResponse response =
        RunModel(*model, {{"x", Floats({2, 4})}, {"factor", Floats({10})}});
    EXPECT_THAT(Values<float>(Output(response, "y")), ElementsAre(22, 42));
  }
}

TEST(OnnxRuntimeTest, BeforeIrVersion4AnInitialiserIsAConstant) {
  const auto model = Load(TestModel("constants_onnx"));
  EXPECT_THAT(Values<float>(Output(RunModel(*model, {{"x", Floats({2})}}), "y")), ElementsAre(3));
  const InferResponse response = RunModel(*model, {{"x", Floats({2})}, {"factor", Floats({10})}});
  EXPECT_EQ(response.status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(MessageOf(response.status)),
              HasSubstr("\"factor\" is left out: it has an initialiser, which is a constant before "
                        "version 4"));
}

TEST(OnnxRuntimeTest, ZipMapGivesAMatrixOfProbabilities) {
  const auto model = Load(TestModel("zipmap_onnx"));
  const TensorSpec* probability = model->info().FindSignature("")->FindOutput("output_probability");
  EXPECT_EQ(probability->shape, (Shape{-1, 3}));
  EXPECT_THAT(probability->class_labels, ElementsAre("ham", "eggs", "spam"));
  const Tensor rows = MakeTensor<float>(DType::kFloat32, {2, 2}, {9, 0, 0, 9});
  const InferResponse response = RunModel(*model, {{"x", rows}});
  const Tensor matrix = Output(response, "output_probability");
  EXPECT_EQ(matrix.shape(), (Shape{2, 3}));
  EXPECT_THAT(Values<float>(matrix),
              ElementsAre(FloatNear(1, 0.01F), FloatNear(0, 0.01F), FloatNear(0, 0.01F),
                          FloatNear(0, 0.01F), FloatNear(1, 0.01F), FloatNear(0, 0.01F)));
  EXPECT_THAT(StringValues(Output(response, "output_label")), ElementsAre("ham", "eggs"));
  EXPECT_THAT(model->info().notes, ElementsAre(HasSubstr("the classes ham, eggs, spam")));
}

TEST(OnnxRuntimeTest, TheScoresOfAClassifierHaveItsLabels) {
  const auto model = Load(TestModel("classifier_onnx"));
  const Signature& signature = *model->info().FindSignature("");
  const TensorSpec* scores = signature.FindOutput("probabilities");
  EXPECT_THAT(scores->class_labels, ElementsAre("10", "20"));
  EXPECT_THAT(scores->dimension_names, ElementsAre("rows", ""));
  EXPECT_EQ(scores->batch_axis, 0);
  EXPECT_TRUE(signature.FindOutput("label")->class_labels.empty());
}

TEST(OnnxRuntimeTest, TheBatchAxisHasOneNameInAllInputsAndOutputs) {
  const auto all = Load(TestModel("dtypes_onnx"));
  for (const TensorSpec& spec : all->info().FindSignature("")->inputs) {
    EXPECT_EQ(spec.batch_axis, 0);
    EXPECT_THAT(spec.dimension_names, ElementsAre("rows", "columns"));
  }
  const auto total = Load(TestModel("many_outputs_onnx"));  // one output is a scalar
  EXPECT_EQ(total->info().FindSignature("")->FindInput("x")->batch_axis, -1);
}

TEST(OnnxRuntimeTest, RandomOperatorsAreFoundInTheBodiesOfOthers) {
  const auto noise = Load(TestModel("noise_onnx"));
  EXPECT_TRUE(noise->info().traits.not_deterministic);
  EXPECT_FALSE(noise->info().traits.has_state);
  EXPECT_TRUE(Load(TestModel("noise_ort_format"))->info().traits.not_deterministic);
  EXPECT_FALSE(Load(TestModel("shapes_ort_format"))->info().traits.not_deterministic);
  const auto seeded = Load(TestModel("seeded_noise_onnx"));
  EXPECT_FALSE(seeded->info().traits.not_deterministic);
  EXPECT_TRUE(seeded->info().traits.has_state);
  for (const auto& model : {noise.get(), seeded.get()}) {
    const auto run = [&] {
      return Values<float>(Output(RunModel(*model, {{"x", Floats({1})}}), "y"));
    };
    EXPECT_NE(run(), run());
  }
}

TEST(OnnxRuntimeTest, AnInputWithoutARankIsANote) {
  EXPECT_THAT(Load(TestModel("any_rank_onnx"))->info().notes,
              ElementsAre("input 'x' declares no rank: ONNX Runtime may end the process for shapes "
                          "that an operator does not expect; see SECURITY.md"));
  EXPECT_THAT(Load(TestModel("scalars_onnx"))->info().notes, ElementsAre());
}

TEST(OnnxRuntimeTest, AnOutputThatIsASequenceIsLeftOutAndSaidSo) {
  const auto model = Load(TestModel("sequence_onnx"));
  EXPECT_THAT(OutputNames(RunModel(*model, {{"x", Floats({1})}})), ElementsAre("y"));
  EXPECT_THAT(model->info().notes, ElementsAre(HasSubstr("parts of the signature serving_default "
                                                         "is left out: it is a sequence")));
  const InferResponse response = RunModel(*model, {{"x", Floats({1})}}, {"parts"});
  EXPECT_EQ(response.status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(MessageOf(response.status)),
              HasSubstr("\"parts\" is left out: it is a sequence, and only tensors are served"));
}

TEST(OnnxRuntimeTest, InputsThatNoRequestCanCarryAreNamed) {
  const std::string error = LoadError(TestModel("sequence_input_onnx"));
  EXPECT_THAT(error, HasSubstr("'parts': it is a sequence, and only tensors are served"));
  EXPECT_THAT(error, HasSubstr("'maybe': it is an optional value"));
}

TEST(OnnxRuntimeTest, OperatorsOfALibrary) {
  EXPECT_THAT(LoadError(TestModel("custom_operator_onnx")), HasSubstr("penstock.test"));
  BackendHostOptions options;
  options.folder = BackendFolder("onnxruntime");
  options.options["onnxruntime"].emplace_back(
      "custom_ops", BuildPath("tests/conformance/libcustom_operators.so") + ",");
  BackendHost host(options);
  const auto model = *host.Load(TestModel("custom_operator_onnx"), {});
  EXPECT_THAT(Values<float>(Output(RunModel(*model, {{"x", Floats({1, 2})}}), "y")),
              ElementsAre(3, 6));
  options.options["onnxruntime"] = {{"custom_ops", "/nowhere.so"}};
  const Status status = BackendHost(options).Load(TestModel("custom_operator_onnx"), {}).status();
  EXPECT_THAT(std::string(MessageOf(status)),
              HasSubstr("cannot open the operator library /nowhere.so"));
}

TEST(OnnxRuntimeTest, ScalarsOfTheRuntimesOwnFormatAreDescribedAsScalars) {
  const auto model = Load(TestModel("shapes_ort_format"));
  const Signature* signature = model->info().FindSignature("");
  ASSERT_NE(signature, nullptr);
  EXPECT_FALSE(signature->FindInput("by")->unknown_rank);
  EXPECT_FALSE(signature->FindOutput("twice")->unknown_rank);
  EXPECT_TRUE(signature->FindInput("x")->unknown_rank);
  EXPECT_TRUE(signature->FindOutput("y")->unknown_rank);
  const Tensor two = MakeTensor<float>(DType::kFloat32, {}, {2});
  const InferResponse response = RunModel(*model, {{"x", Floats({1, 2})}, {"by", two}});
  EXPECT_THAT(Values<float>(Output(response, "y")), ElementsAre(3, 4));
  EXPECT_EQ(Output(response, "twice").shape(), Shape());
}

TEST(OnnxRuntimeTest, ServesTheRuntimesOwnFormat) {
  const auto model = Load(TestModel("ort_format"));
  EXPECT_THAT(Values<float>(Output(RunModel(*model, {{"x", Floats({1, 2})}}), "y")),
              ElementsAre(2.5, 3));
}

}  // namespace
}  // namespace penstock
