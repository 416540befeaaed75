// SPDX-License-Identifier: Apache-2.0
#include "protocols/tfs_json/predict_decoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "infer/model_fake.h"
#include "protocols/tfs_json/input_set.h"

namespace penstock::tfs_json {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ModelInfo OneInput(DType dtype) { return FakeInfo({FakeInput("x", dtype)}); }

// What a body decodes to.
struct Decoded {
  Status status;
  PredictFormat format = PredictFormat::kRow;
  InferRequest request;
  ModelInfo info;

  const Tensor& tensor(size_t i = 0) const { return request.inputs.at(i).tensor; }
  std::string message() const { return std::string(MessageOf(status)); }
};

Decoded Decode(std::string_view body, ModelInfo info, DecoderOptions options = {}) {
  Decoded decoded;
  decoded.info = std::move(info);
  const Slice slice = WholeSlice(CopyToBuffer(body));
  const StatusOr<PredictFormat> format =
      DecodePredictRequest(slice, decoded.info, options, decoded.request);
  decoded.status = format.status();
  if (format.ok()) decoded.format = *format;
  return decoded;
}

template <typename T>
std::vector<T> Values(const Tensor& tensor) {
  return {tensor.as<T>().begin(), tensor.as<T>().end()};
}

std::vector<std::string> Texts(const Tensor& tensor) {
  std::vector<std::string> texts;
  for (const StringElement& element : tensor.strings()) texts.emplace_back(element.view());
  return texts;
}

TEST(PredictDecoder, RowsOfPlainValues) {
  const Decoded decoded = Decode(R"({"instances": [1, 2.5, -3e2]})", OneInput(DType::kFloat32));
  ASSERT_TRUE(decoded.status.ok()) << decoded.message();
  EXPECT_EQ(decoded.format, PredictFormat::kRow);
  EXPECT_EQ(decoded.request.inputs[0].name, "x");
  EXPECT_EQ(decoded.tensor().shape(), Shape({3}));
  EXPECT_THAT(Values<float>(decoded.tensor()), ElementsAre(1, 2.5, -300));
}

TEST(PredictDecoder, RowsOfLists) {
  const Decoded decoded =
      Decode("{\"instances\":[ [[1,2] ,[3,4]],\n\t[[5,6],[7,8]] ]}", OneInput(DType::kInt32));
  ASSERT_TRUE(decoded.status.ok()) << decoded.message();
  EXPECT_EQ(decoded.tensor().shape(), Shape({2, 2, 2}));
  EXPECT_THAT(Values<int32_t>(decoded.tensor()), ElementsAre(1, 2, 3, 4, 5, 6, 7, 8));
}

TEST(PredictDecoder, NamedRows) {
  const ModelInfo info =
      FakeInfo({FakeInput("image", DType::kFloat32), FakeInput("tag", DType::kString)});
  const Decoded decoded = Decode(R"({"instances": [{"tag": "a", "image": [1, 2]}, )"
                                 R"({"image": [3, 4], "tag": {"b64": "Yg=="}}]})",
                                 info);
  ASSERT_TRUE(decoded.status.ok()) << decoded.message();
  EXPECT_EQ(decoded.request.inputs[0].name, "image");
  EXPECT_EQ(decoded.tensor(0).shape(), Shape({2, 2}));
  EXPECT_THAT(Values<float>(decoded.tensor(0)), ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(decoded.tensor(1).shape(), Shape({2}));
  EXPECT_THAT(Texts(decoded.tensor(1)), ElementsAre("a", "b"));
}

TEST(PredictDecoder, ManyInputsInAnyOrder) {
  std::vector<TensorSpec> specs;
  std::string row;
  for (int i = 10; i < 40; ++i) {
    specs.push_back(FakeInput("x" + std::to_string(i), DType::kInt64));
    row.insert(0, "\"x" + std::to_string(i) + "\":" + std::to_string(i) + (i == 10 ? "" : ","));
  }
  const Decoded decoded = Decode("{\"instances\":[{" + row + "}]}", FakeInfo(specs));
  ASSERT_TRUE(decoded.status.ok()) << decoded.message();
  ASSERT_EQ(decoded.request.inputs.size(), 30u);
  EXPECT_THAT(Values<int64_t>(decoded.tensor(7)), ElementsAre(17));
}

// Other unknown names are ignored in columns.
TEST(PredictDecoder, ALeftOutInputIsRefusedWithTheReason) {
  ModelInfo info = OneInput(DType::kFloat32);
  info.signatures[0].left_out = {{"scale", "it is a constant"}};
  for (const char* body :
       {R"({"inputs": {"x": [1], "scale": [2]}})", R"({"instances": [{"x": 1, "scale": 2}]})"}) {
    EXPECT_THAT(Decode(body, info).message(), HasSubstr("\"scale\" is left out: it is a constant"));
  }
}

TEST(PredictDecoder, Columns) {
  const ModelInfo two = FakeInfo({FakeInput("a", DType::kFloat32), FakeInput("b", DType::kInt64)});
  const Decoded named = Decode(R"({"inputs": {"b": 7, "unknown": {"x": []}, "a": [[1, 2]]}})", two);
  ASSERT_TRUE(named.status.ok()) << named.message();
  EXPECT_EQ(named.format, PredictFormat::kColumn);
  EXPECT_EQ(named.tensor(0).shape(), Shape({1, 2}));
  EXPECT_EQ(named.tensor(1).shape(), Shape());
  EXPECT_THAT(Values<int64_t>(named.tensor(1)), ElementsAre(7));

  for (const char* body : {R"({"inputs": [1, 2]})", R"({"inputs": {"x": [1, 2]}})"}) {
    const Decoded one = Decode(body, OneInput(DType::kFloat32));
    ASSERT_TRUE(one.status.ok()) << one.message();
    EXPECT_THAT(Values<float>(one.tensor()), ElementsAre(1, 2));
  }
  const Decoded scalar = Decode(R"({"inputs": 4})", OneInput(DType::kFloat64));
  ASSERT_TRUE(scalar.status.ok());
  EXPECT_EQ(scalar.tensor().shape().rank(), 0u);
  const Decoded bytes = Decode(R"({"inputs": {"b64": "AP8="}})", OneInput(DType::kString));
  ASSERT_TRUE(bytes.status.ok()) << bytes.message();
  EXPECT_THAT(Texts(bytes.tensor()), ElementsAre(std::string("\0\xff", 2)));
}

TEST(PredictDecoder, OptionalInputsMayBeOmitted) {
  const ModelInfo info =
      FakeInfo({FakeInput("a", DType::kFloat32), FakeInput("b", DType::kFloat32, true)});
  for (const char* body : {R"({"inputs": {"a": [1]}})", R"({"inputs": [1]})",
                           R"({"instances": [{"a": 1}]})", R"({"instances": [1]})"}) {
    const Decoded decoded = Decode(body, info);
    ASSERT_TRUE(decoded.status.ok()) << decoded.message();
    ASSERT_EQ(decoded.request.inputs.size(), 1u);
    EXPECT_EQ(decoded.tensor().shape(), Shape({1}));
  }
  EXPECT_THAT(Decode(R"({"instances": [{"a": 1}, {"a": 1, "b": 1}]})", info).message(),
              HasSubstr("element: 1 key: b"));
  EXPECT_THAT(Decode(R"({"instances": [{"a": 1, "b": 1}, {"a": 1}]})", info).message(),
              HasSubstr("keys must be equal to: a; the row has no input 'b'"));
}

TEST(PredictDecoder, TypesAndTheirRanges) {
  const auto check = [](DType dtype, std::string_view good, std::string_view bad) {
    for (const std::string_view value : {good, bad}) {
      const Decoded decoded = Decode(fmt::format("{{\"inputs\":[{}]}}", value), OneInput(dtype));
      EXPECT_EQ(decoded.status.ok(), value == good) << DTypeName(dtype) << " " << value;
      if (value == bad) {
        EXPECT_THAT(decoded.message(), HasSubstr("is not of expected type: ")) << decoded.message();
        EXPECT_EQ(decoded.status.code(), StatusCode::kInvalidArgument);
      }
    }
  };
  check(DType::kInt8, "-128,127", "128");
  check(DType::kInt8, "0", "-129");
  check(DType::kUint8, "0,255", "256");
  check(DType::kUint8, "-0", "-1");
  check(DType::kInt16, "-32768,32767", "32768");
  check(DType::kUint16, "65535", "65536");
  check(DType::kInt32, "-2147483648,2147483647", "2147483648");
  check(DType::kUint32, "4294967295", "4294967296");
  check(DType::kInt64, "-9223372036854775808,9223372036854775807", "9223372036854775808");
  check(DType::kUint64, "18446744073709551615", "18446744073709551616");
  check(DType::kInt32, "1", "1.0");
  check(DType::kInt64, "1", "1e3");
  check(DType::kInt32, "1", "\"1\"");
  check(DType::kInt32, "1", "NaN");
  check(DType::kBool, "true,false", "1");
  check(DType::kBool, "true", "null");
  check(DType::kFloat32, "1,1.5", "true");
  check(DType::kFloat32, "1", "{\"b64\":\"YQ==\"}");
  check(DType::kFloat64, "1", "1,{}");
  check(DType::kFloat16, "1", "\"x\"");
  check(DType::kBfloat16, "1", "{}");
  check(DType::kString, "\"a\",{\"b64\":\"YQ==\"}", "1");
}

TEST(PredictDecoder, FloatsOutOfRangeAndNotFinite) {
  const Decoded decoded =
      Decode(R"({"inputs": [NaN, Infinity, -Infinity, 1e39, -1e39, 1e-60, -Inf, 0.1]})",
             OneInput(DType::kFloat32));
  ASSERT_TRUE(decoded.status.ok()) << decoded.message();
  const std::vector<float> values = Values<float>(decoded.tensor());
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  EXPECT_TRUE(std::isnan(values[0]));
  EXPECT_THAT(std::vector<float>(values.begin() + 1, values.end()),
              ElementsAre(kInfinity, -kInfinity, kInfinity, -kInfinity, 0, -kInfinity, 0.1F));
}

TEST(PredictDecoder, HalfTypes) {
  const Decoded half = Decode(R"({"inputs": [1, -2.5, 1e6, NaN]})", OneInput(DType::kFloat16));
  ASSERT_TRUE(half.status.ok());
  EXPECT_THAT(Values<uint16_t>(half.tensor()), ElementsAre(0x3C00, 0xC100, 0x7C00, 0x7E00));
  const Decoded brain = Decode(R"({"inputs": [1, -2.5]})", OneInput(DType::kBfloat16));
  ASSERT_TRUE(brain.status.ok());
  EXPECT_THAT(Values<uint16_t>(brain.tensor()), ElementsAre(0x3F80, 0xC020));
}

TEST(PredictDecoder, ComplexElementsArePairs) {
  const auto halves = [](const Decoded& decoded) {
    const auto* const first = reinterpret_cast<const float*>(decoded.tensor().data());
    return std::vector<float>(first, first + 2 * decoded.tensor().element_count());
  };
  const Decoded columns =
      Decode(R"({"inputs": [[[1, 2], [3, -4.5]]]})", OneInput(DType::kComplex64));
  ASSERT_TRUE(columns.status.ok()) << columns.status;
  EXPECT_EQ(columns.tensor().shape(), Shape({1, 2}));
  EXPECT_THAT(halves(columns), ElementsAre(1, 2, 3, -4.5));
  const Decoded rows = Decode(R"({"instances": [[1, 2], [3, 4]]})", OneInput(DType::kComplex64));
  ASSERT_TRUE(rows.status.ok()) << rows.status;
  EXPECT_EQ(rows.tensor().shape(), Shape({2}));
  EXPECT_THAT(halves(rows), ElementsAre(1, 2, 3, 4));
  const Decoded wide = Decode(R"({"inputs": [0.1, 1e300]})", OneInput(DType::kComplex128));
  ASSERT_TRUE(wide.status.ok()) << wide.status;
  EXPECT_EQ(wide.tensor().shape(), Shape({}));
  EXPECT_EQ(reinterpret_cast<const double*>(wide.tensor().data())[1], 1e300);
  const Decoded empty = Decode(R"({"inputs": []})", OneInput(DType::kComplex64));
  ASSERT_TRUE(empty.status.ok()) << empty.status;
  EXPECT_EQ(empty.tensor().shape(), Shape({0}));
}

TEST(PredictDecoder, AComplexElementThatIsNoPair) {
  for (const char* body : {R"({"inputs": 1})", R"({"inputs": [1]})", R"({"inputs": [1, 2, 3]})",
                           R"({"instances": [[[1], [2]]]})"}) {
    const Decoded decoded = Decode(body, OneInput(DType::kComplex64));
    EXPECT_EQ(decoded.status.code(), StatusCode::kInvalidArgument) << body;
    EXPECT_THAT(decoded.message(), HasSubstr("is a list of two numbers, [real, imaginary], but"));
  }
}

TEST(PredictDecoder, Strings) {
  const Decoded decoded =
      Decode(R"({"inputs": ["", "a\"\\\/\b\f\n\r\t", "\u00e4\u20ac\ud83d\ude00", )"
             R"("ä€", {"b64":"aGFsbG8"}]})",
             OneInput(DType::kString));
  ASSERT_TRUE(decoded.status.ok()) << decoded.message();
  EXPECT_THAT(Texts(decoded.tensor()), ElementsAre("", "a\"\\/\b\f\n\r\t", "ä€😀", "ä€", "hallo"));
  // The tensor alone keeps its strings.
  Tensor kept;
  {
    Decoded other = Decode(R"({"inputs": ["plain", "\u0041"]})", OneInput(DType::kString));
    kept = other.tensor();
  }
  EXPECT_THAT(Texts(kept), ElementsAre("plain", "A"));
}

TEST(PredictDecoder, BadStrings) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"\"\xff\"", "UTF-8"},
      {"\"\\n\xc3\"", "UTF-8"},
      {"\"\xed\xa0\x80\"", "UTF-8"},
      {R"("\ud800")", "surrogate"},
      {R"("\udc00")", "surrogate"},
      {R"("\ud800\u0041")", "surrogate"},
      {R"("\x")", "escape"},
      {R"("\u12g4")", "hexadecimal"},
      {"\"a\nb\"", "control"},
      {"\"\\na\nb\"", "control"},
      {"\"abc", "no end"},
      {"\"abc\\\"", "no end"},
      {"\"abc\\", "no end"},
      {R"({"b64": "a"})", "base64"},
      {R"({"b64": "===="})", "base64"},
      {R"({"b65": "YQ=="})", R"(JSON Value: {"b65": "YQ=="} not formatted correctly for base64)"},
      {R"({"b64": "YQ==", "x": 1})", "not formatted correctly for base64 data"},
  };
  for (const auto& [text, wanted] : cases) {
    const Decoded decoded = Decode("{\"inputs\": [" + text + (wanted == "no end" ? "" : "]}"),
                                   OneInput(DType::kString));
    EXPECT_EQ(decoded.status.code(), StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(decoded.message(), HasSubstr(wanted)) << text;
  }
}

TEST(PredictDecoder, ShapesMustFit) {
  for (const char* rows : {"[[1,2],[3]]", "[1,[2]]", "[[1],2]", "[[[1]],[1]]", "[[],[1]]",
                           "[[1],[]]", "[[],[[]]]", "[[[],[]],[[]]]"}) {
    const Decoded decoded =
        Decode(fmt::format("{{\"instances\": {}}}", rows), OneInput(DType::kFloat32));
    EXPECT_EQ(decoded.status.code(), StatusCode::kInvalidArgument) << rows;
    EXPECT_THAT(decoded.message(), HasSubstr("of 'instances' list. Error: ")) << rows;
  }
  const Decoded empty = Decode(R"({"inputs": [[],[]]})", OneInput(DType::kFloat32));
  ASSERT_TRUE(empty.status.ok());
  EXPECT_EQ(empty.tensor().shape(), Shape({2, 0}));
}

TEST(PredictDecoder, AListAmongValuesGetsTensorFlowServingsSentence) {
  for (const DType type : {DType::kFloat32, DType::kFloat64, DType::kFloat16, DType::kInt32,
                           DType::kBool, DType::kString}) {
    const std::string value = type == DType::kBool     ? "true"
                              : type == DType::kString ? R"("a")"
                                                       : "1";
    const auto message = [&](const std::string& inputs) {
      return Decode(fmt::format(R"({{"inputs": {}}})", fmt::format(fmt::runtime(inputs), value)),
                    OneInput(type))
          .message();
    };
    EXPECT_EQ(message("[{0},[{0}]]"),
              fmt::format("Encountered list at unexpected level: 1 expected < 1 (at line 1, column "
                          "{})",
                          14 + value.size()));
    EXPECT_THAT(message("[{0},[]]"), HasSubstr("list at unexpected level: 1 expected < 1"));
    EXPECT_THAT(message("[[{0}],[[{0}]]]"), HasSubstr("list at unexpected level: 2 expected < 2"));
    EXPECT_THAT(message("[[{0},[{0}]]]"), HasSubstr("list at unexpected level: 2 expected < 2"));
  }
}

TEST(PredictDecoder, RequestErrors) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "JSON Parse error: The document is empty"},
      {" \n ", "JSON Parse error: The document is empty"},
      {"[1]", "JSON Value: [1] Is not object"},
      {"instances = [1, 2]", "JSON Parse error: Invalid value. at offset: 0"},
      {"{}", "Missing 'inputs' or 'instances' key"},
      {R"({"signature_name": "serving_default"})", "Missing 'inputs' or 'instances' key"},
      {R"({"instances": [1], "inputs": [1]})",
       "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist"},
      {R"({"instances": [[1],[2,3]], "inputs": [1]})",
       "Not formatted correctly expecting only one"},
      {R"({"instances": [[1],[2,3]], "signature_name": 5})", "must be a string value"},
      {R"({"instances": [[1],[2,3]], "x": nul})", "JSON Parse error: Invalid value."},
      {R"({"instances": [1], "instances": [1]})", "twice"},
      {R"({"instances": []})", "No values in 'instances' array"},
      {R"({"instances": 1})", "JSON Value: 1 Excepting 'instances' to be an list/array"},
      {R"({"instances": [1)", "ends too early"},
      {R"({"instances": [1]")", "',' or '}'"},
      {R"({"instances": [1])", "ends too early"},
      {R"({"instances": [1,]})", "Invalid value"},
      {R"({"instances": [1 2]})", "expected ',' or ']'"},
      {R"({"instances": [01]})", "Invalid value"},
      {R"({"instances": [+1]})", "Invalid value"},
      {R"({"instances" [1]})", "expected ':'"},
      {R"({instances: [1]})", "expected a string"},
      {R"({"instances": [1],})", "expected a string"},
      {R"({"x": [1, {"a": 1 "b": 2}], "instances": [1]})", "expected ',' or '}'"},
      {R"({"x": nul, "instances": [1]})", "Invalid value"},
      {R"({"x": {"a" 1}, "instances": [1]})", "expected ':'"},
      {R"({"instances": [{"x": 1, "y": 2}]})",
       "element: 0 key: y of 'instances' list. Error: JSON object: does not have named input: y"},
      {R"({"instances": [{"x": 1}, 2]})", "Expecting object but got list at item 1 of input list"},
      {R"({"instances": [1, {"x": 2}]})",
       "Expecting value/list but got object at item 1 of input list"},
      {R"({"instances": [{"x": 1}, {}]})",
       "Failed to process element: 1 of 'instances' list. JSON object: {} keys must be equal to: "
       "x"},
      {R"({"instances": [{}]})", "keys must be equal to: x; the row has no input 'x'"},
      {R"({"instances": [{"x": 1, "x": 2}]})", "twice"},
      {R"({"instances": [{"x": [1]}, {"x": [1,2]}]})", "element: 1 key: x of"},
      {R"({"instances": [{"x": 1},]})", "Invalid value"},
      {R"({"inputs": {}})", "Missing named input: x"},
      {R"({"inputs": {"y": 1}})", "Missing named input: x"},
      {R"({"inputs": {"x": 1, "x": 2}})", "twice"},
      {R"({"inputs": {"x": [1,"a"]}})", "Failed to process key: x of 'inputs'"},
  };
  for (const auto& [body, wanted] : cases) {
    const Decoded decoded = Decode(body, OneInput(DType::kFloat32));
    EXPECT_EQ(decoded.status.code(), StatusCode::kInvalidArgument) << body;
    EXPECT_THAT(decoded.message(), HasSubstr(wanted)) << body;
  }
  const ModelInfo two =
      FakeInfo({FakeInput("a", DType::kFloat32), FakeInput("b", DType::kFloat32)});
  EXPECT_THAT(
      Decode(R"({"instances": [1]})", two).message(),
      HasSubstr("instances is a plain list, but expecting list of objects as multiple "
                "input tensors required as per tensorinfo_map: the signature has 2 inputs"));
  EXPECT_THAT(Decode(R"({"inputs": [1]})", two).message(),
              HasSubstr("inputs is a plain value/list, but expecting an object as multiple input "
                        "tensors required as per tensorinfo_map: the signature has 2 inputs"));
  EXPECT_THAT(Decode(R"({"inputs": {"a": 1}})", two).message(), HasSubstr("named input: b"));
  EXPECT_THAT(Decode(R"({"instances": [{"a": 1}]})", two).message(),
              HasSubstr("keys must be equal to: a,b; the row has no input 'b'"));
}

TEST(PredictDecoder, SignatureNameErrors) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      // TensorFlow Serving's sentence quotes the document.
      {R"({"signature_name": 1, "instances": [1]})",
       R"(JSON Value: {"signature_name": 1, "instances": [1]} not formatted correctly. )"
       "'signature_name' key must be a string value. It is of Type: Number (at line 1, column 20)"},
      {R"({"signature_name": 1, "instances": [1 2]})", "expected ',' or ']'"},
      {R"({"signature_name": "a", "signature_name": "b", "instances": [1]})", "twice"},
      {R"({"signature_name": "nope", "instances": [1]})",
       "Serving signature name: \"nope\" not found in signature def. The model has {"},
  };
  for (const auto& [body, wanted] : cases) {
    const Decoded decoded = Decode(body, OneInput(DType::kFloat32));
    EXPECT_EQ(decoded.status.code(), StatusCode::kInvalidArgument) << body;
    EXPECT_THAT(decoded.message(), HasSubstr(wanted)) << body;
  }
}

// Rows are read as one tensor; the errors are those of rows that were read alone and then compared.
TEST(PredictDecoder, RowsThatDifferGetTheErrorsOfTensorFlowServing) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"[[1,2],[3,4],[5,6,7]]",
       "element: 2 of 'instances' list. Error: Expecting tensor size: 2 but got: 3; the rows "
       "before "
       "have the shape [2], this one [3] (at line 1, column 27)"},
      {"[[1,2],[3]]", "element: 1 of 'instances' list. Error: Expecting tensor size: 2 but got: 1"},
      {"[[1,2],[3,4],[[5,6]]]",
       "element: 2 of 'instances' list. Error: Expecting shape [2] but got: [1,2]"},
      {"[1, [1]]", "element: 1 of 'instances' list. Error: Expecting shape [] but got: [1]"},
      {"[[1], 1]", "element: 1 of 'instances' list. Error: Expecting shape [1] but got: []"},
      {"[[],[1]]", "Expecting tensor size: 0 but got: 1"},
      {"[[[1]],[]]", "Expecting tensor size: 1 but got: 0"},
      {"[[1,2],[\"a\",\"b\"]]", "JSON Value: \"a\" Type: String is not of expected type: float"},
      {"[[1,2],[true,1,1]]", "JSON Value: true Type: True is not of expected type: float"},
      // Wrong by itself.
      {"[[[1,2],[3]]]",
       "element: 0 of 'instances' list. Error: Encountered list at unexpected size: 1 at level: 1 "
       "expected size: 2"},
      {"[[[1,2],[3,4]],[[5,6],[7]]]", "Encountered list at unexpected size: 1 at level: 1"},
      {"[[[1],[]]]", "Encountered list at unexpected size: 0 at level: 1 expected size: 1"},
      {"[[1,[2]]]", "Encountered list at unexpected level: 1 expected < 1"},
      {"[[[],[[]]]]", "Encountered list at unexpected level: 2 expected < 2"},
      {"[[[1],2]]",
       "JSON Value: 2 found at incorrect level: 1 in the JSON DOM. Expected at level: 2"},
      // What follows is not JSON.
      {"[[1,2],[3,[4,]]]", "JSON Parse error: Invalid value."},
  };
  for (const auto& [rows, wanted] : cases) {
    const Decoded decoded =
        Decode(fmt::format("{{\"instances\":{}}}", rows), OneInput(DType::kFloat32));
    EXPECT_EQ(decoded.status.code(), StatusCode::kInvalidArgument) << rows;
    EXPECT_THAT(decoded.message(), HasSubstr(wanted)) << rows;
  }
  const ModelInfo two = FakeInfo({FakeInput("i", DType::kInt32), FakeInput("s", DType::kString)});
  EXPECT_THAT(Decode(R"({"instances": [{"i": [[1,2],[3,4],[5,6]], "s": ["a"]},
                                       {"i": [[[7,8],[9,0],[1,2]]], "s": ["b"]}]})",
                     two)
                  .message(),
              HasSubstr("element: 1 key: i of 'instances' list. Error: Expecting shape [3,2] but "
                        "got: [1,3,2]"));
  EXPECT_THAT(
      Decode(R"({"instances": [{"i": [[1,2],[3,4]], "s": "a"}, {"i": [[7,8]]}]})", two).message(),
      HasSubstr("element: 1 key: i of 'instances' list. Error: Expecting tensor size: 4 but "
                "got: 2"));
  EXPECT_THAT(Decode(R"({"instances": ["a", {"s": "b"}]})", OneInput(DType::kString)).message(),
              HasSubstr("Expecting value/list but got object at item 1 of input list"));
  EXPECT_THAT(Decode(R"({"instances": [["a", {"b64": 1}]]})", OneInput(DType::kString)).message(),
              HasSubstr(R"(JSON Value: {"b64": 1} not formatted correctly for base64 data)"));
  // Types that come from the values: of two kinds it is the type that is wrong.
  EXPECT_THAT(Decode(R"({"instances": [[1], ["a"]]})", FakeInfoOfAny()).message(),
              HasSubstr("element: 1 of 'instances' list. Error: JSON Value: \"a\" Type: String is "
                        "not of expected type: int64"));
  EXPECT_THAT(Decode(R"({"instances": [[1], [1.5, 2]]})", FakeInfoOfAny()).message(),
              HasSubstr("Expecting tensor size: 1 but got: 2"));
}

// The reader took such a bracket for the end of a list outside the value.
TEST(PredictDecoder, ABracketInPlaceOfAValueIsNoJson) {
  for (const char* body : {R"({"instances": [{"x": [1, 2]}, {"x": ]}]})",
                           R"({"instances": [{"x": [[1]]}, {"x": [[1], ]}]})", R"({"inputs": ]})",
                           R"({"instances": [[1], ]})"}) {
    EXPECT_THAT(Decode(body, OneInput(DType::kFloat32)).message(),
                HasSubstr("JSON Parse error: Invalid value."))
        << body;
  }
}

TEST(PredictDecoder, ByteOrderMarkBeforeTheDocumentIsSkipped) {
  const Decoded decoded = Decode("\xEF\xBB\xBF {\"instances\": [1, 2]}", OneInput(DType::kFloat32));
  ASSERT_TRUE(decoded.status.ok()) << decoded.message();
  EXPECT_THAT(Values<float>(decoded.tensor()), ElementsAre(1, 2));
  EXPECT_THAT(Decode("\xEF\xBB\xBF", OneInput(DType::kFloat32)).message(),
              HasSubstr("JSON Parse error: The document is empty"));
  for (const char* body : {"\xEF\xBB{\"inputs\": 1}", "{\"inputs\": \xEF\xBB\xBF 1}",
                           "\xEF\xBB\xBF\xEF\xBB\xBF{\"inputs\": 1}"}) {
    EXPECT_THAT(Decode(body, OneInput(DType::kFloat32)).message(),
                HasSubstr("JSON Parse error: Invalid value."))
        << body;
  }
}

TEST(PredictDecoder, TextThatIsNoJsonIsASyntaxError) {
  // Without the element: the text has none.
  for (const char* body :
       {R"({"instances": [1})", R"({"instances": [1 2]})", R"({"instances": [-]})",
        R"({"instances": [NaNx]})", R"({"instances": [{"x": 1 "y": 2}]})",
        R"({"instances": [{"x": [1}]})", R"({"inputs": {"x": [1}})", R"({"inputs": {"x": nul}})"}) {
    const Decoded decoded = Decode(body, OneInput(DType::kFloat32));
    EXPECT_EQ(decoded.status.code(), StatusCode::kInvalidArgument) << body;
    EXPECT_THAT(decoded.message(), testing::StartsWith("JSON Parse error: ")) << body;
  }
}

TEST(PredictDecoder, RowsWithoutKeysAreNoRows) {
  for (const char* body : {R"({"instances": [{}]})", R"({"instances": [{}, {"a": 1}]})"}) {
    const Decoded decoded = Decode(body, FakeInfoOfAny());
    EXPECT_EQ(decoded.status.code(), StatusCode::kInvalidArgument) << body;
    EXPECT_THAT(decoded.message(), HasSubstr("element: 0 of")) << body;
    EXPECT_THAT(decoded.message(), HasSubstr("the row is an object without keys")) << body;
  }
}

TEST(PredictDecoder, EveryPrefixOfABodyIsAnErrorAndReadsNoFurther) {
  const std::string body =
      R"({"a": [true, null, {"b": -1.5e+3}], "signature_name": "serving_default", "instances": )"
      R"([{"x": ["\u0041\n", {"b64": "YQ=="}]}, {"x": ["äöü", "0123456789abcdef0123456789"]}]})";
  const ModelInfo info = OneInput(DType::kString);
  ASSERT_TRUE(Decode(body, info).status.ok()) << Decode(body, info).message();
  for (size_t size = 0; size < body.size(); ++size) {
    // What follows in memory would complete it.
    BufferRef whole = CopyToBuffer(body);
    const Slice prefix{whole->data(), size, whole};
    InferRequest request;
    EXPECT_FALSE(DecodePredictRequest(prefix, info, {}, request).ok()) << body.substr(0, size);
  }
}

TEST(PredictDecoder, BytesAfterTheObjectAreIgnored) {
  EXPECT_TRUE(Decode(R"({"instances": [1]} trailing])", OneInput(DType::kFloat32)).status.ok());
}

TEST(PredictDecoder, TheSignatureNameMayFollowTheTensors) {
  ModelInfo info = OneInput(DType::kFloat32);
  Signature other;
  other.name = "text";
  other.inputs = {FakeInput("s", DType::kString)};
  info.signatures.push_back(other);
  for (const char* body : {R"({"signature_name": "text", "instances": ["a"]})",
                           R"({"instances": ["a"], "signature_name": "text"})",
                           R"({"instances": [{"s": "a"}], "x": 1, "signature_name": "text"})"}) {
    const Decoded decoded = Decode(body, info);
    ASSERT_TRUE(decoded.status.ok()) << decoded.message();
    EXPECT_EQ(decoded.request.signature_name, "text");
    EXPECT_EQ(decoded.request.inputs[0].name, "s");
    EXPECT_THAT(Texts(decoded.tensor()), ElementsAre("a"));
  }
  EXPECT_THAT(Decode(R"({"instances": [1], "signature_name": "text"})", info).message(),
              HasSubstr("expected type: string"));
  EXPECT_THAT(Decode(R"({"instances": ["a"]})", info).message(), HasSubstr("expected type: float"));
  info.signatures.erase(info.signatures.begin());
  EXPECT_TRUE(Decode(R"({"instances": ["a"], "signature_name": "text"})", info).status.ok());
  EXPECT_THAT(Decode(R"({"instances": ["a"]})", info).message(), HasSubstr("\"serving_default\""));
}

TEST(PredictDecoder, TypesAreInferredIfTheModelTakesAnyType) {
  const Decoded integers = Decode(R"({"instances": [[1, 2], [3, -4]]})", FakeInfoOfAny());
  ASSERT_TRUE(integers.status.ok()) << integers.message();
  EXPECT_EQ(integers.request.inputs[0].name, kUnnamedInput);
  EXPECT_EQ(integers.tensor().dtype(), DType::kInt64);

  for (const char* last : {"4.5", "4.5e0", "NaN", "-Infinity", "18446744073709551615"}) {
    const Decoded floats =
        Decode(fmt::format("{{\"instances\": [[1, 2], [3, {}]]}}", last), FakeInfoOfAny());
    ASSERT_TRUE(floats.status.ok()) << floats.message();
    EXPECT_EQ(floats.tensor().dtype(), DType::kFloat32) << last;
    EXPECT_EQ(floats.tensor().shape(), Shape({2, 2}));
    EXPECT_THAT(Values<float>(floats.tensor()),
                ElementsAre(1, 2, 3, testing::NanSensitiveFloatEq(std::strtof(last, nullptr))));
  }
  const Decoded named =
      Decode(R"({"instances": [{"b": true, "s": "t"}, {"b": false, "s": "u"}]})", FakeInfoOfAny());
  ASSERT_TRUE(named.status.ok()) << named.message();
  EXPECT_EQ(named.request.inputs[0].name, "b");
  EXPECT_EQ(named.tensor(0).dtype(), DType::kBool);
  EXPECT_THAT(Texts(named.tensor(1)), ElementsAre("t", "u"));
  EXPECT_EQ(Decode(R"({"inputs": [[]]})", FakeInfoOfAny()).tensor().dtype(), DType::kFloat32);
  EXPECT_FALSE(Decode(R"({"inputs": [1, "a"]})", FakeInfoOfAny()).status.ok());
  EXPECT_FALSE(Decode(R"({"inputs": [null]})", FakeInfoOfAny()).status.ok());
  EXPECT_FALSE(Decode(R"({"instances": [{"a": 1}, {"b": 1}]})", FakeInfoOfAny()).status.ok());
}

TEST(PredictDecoder, LimitsOfDepthBytesAndInputs) {
  const auto nest = [](size_t levels) {
    return "{\"inputs\":" + std::string(levels, '[') + "1" + std::string(levels, ']') + "}";
  };
  EXPECT_TRUE(Decode(nest(100), OneInput(DType::kFloat32)).status.ok());
  EXPECT_THAT(Decode(nest(101), OneInput(DType::kFloat32)).message(), HasSubstr("100 levels"));
  EXPECT_FALSE(Decode("{\"inputs\":" + std::string(500'000, '['), FakeInfoOfAny()).status.ok());
  EXPECT_FALSE(Decode("{\"x\":" + std::string(500'000, '['), FakeInfoOfAny()).status.ok());
  std::string objects = "{\"x\":";
  for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
  EXPECT_THAT(Decode(objects, FakeInfoOfAny()).message(), HasSubstr("100 levels"));
  DecoderOptions deep;
  deep.depth_max = 100'000;
  EXPECT_THAT(Decode(nest(300), OneInput(DType::kFloat32), deep).status.code(),
              StatusCode::kInvalidArgument);

  DecoderOptions few;
  few.tensor_bytes_max = 400;
  few.inputs_max = 2;
  std::string hundred = "1";
  for (int i = 1; i < 100; ++i) hundred += ",1";
  EXPECT_TRUE(Decode("{\"inputs\":[" + hundred + "]}", OneInput(DType::kFloat32), few).status.ok());
  EXPECT_EQ(
      Decode("{\"inputs\":[" + hundred + ",1]}", OneInput(DType::kFloat32), few).status.code(),
      StatusCode::kResourceExhausted);
  EXPECT_THAT(Decode(R"({"inputs": {"a": 1, "b": 1, "c": 1}})", FakeInfoOfAny(), few).message(),
              HasSubstr("more than 2 inputs"));
}

}  // namespace
}  // namespace penstock::tfs_json
