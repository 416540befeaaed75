// SPDX-License-Identifier: Apache-2.0
#include "protocols/graphpipe/request_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "protocols/graphpipe/message_fake.h"

namespace penstock::graphpipe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TensorSpec Spec(std::string name, DType dtype) {
  TensorSpec spec;
  spec.name = std::move(name);
  spec.dtype = dtype;
  spec.unknown_rank = true;
  return spec;
}

ModelInfo InfoOf(std::vector<TensorSpec> inputs) {
  Signature signature;
  signature.name = kDefaultSignatureName;
  signature.inputs = std::move(inputs);
  signature.outputs = {Spec("y", DType::kFloat32), Spec("z", DType::kFloat32)};
  ModelInfo info;
  info.signatures.push_back(std::move(signature));
  return info;
}

ModelInfo AnyInfo() {
  ModelInfo info;
  info.traits.any_signature = true;
  return info;
}

// A request that was read, and everything that it refers to.
struct Result {
  RequestReader reader;
  RequestMemory memory{1 << 20};
  InferRequest request;
  Status status;

  Result(const Slice& message, const ModelInfo& info) {
    status = reader.Read(message, info, {}, memory, request);
  }
  const Tensor& tensor(size_t i = 0) const { return request.inputs[i].tensor; }
  std::string error() const { return std::string(MessageOf(status)); }
};

const ModelInfo kOneFloat = InfoOf({Spec("x", DType::kFloat32)});

FakeTensor Floats(const std::vector<float>& values) {
  return {Type::kFloat32, {static_cast<int64_t>(values.size())}, BytesOf(values)};
}

TEST(GraphPipeRequestTest, ReadsEverything) {
  const ModelInfo info = InfoOf({Spec("a", DType::kFloat32), Spec("b", DType::kInt64)});
  const std::string message =
      MakeRequest({.tensors = {{Type::kInt64, {2, 1}, BytesOf<int64_t>({7, -8})}, Floats({1, 2})},
                   .input_names = {"b", "a"},
                   .output_names = {"z", "y"},
                   .config = "fast"});
  EXPECT_EQ(*ReadKind(message), RequestKind::kInfer);
  const Slice slice = AsSlice(message);
  const Result read(slice, info);
  ASSERT_TRUE(read.status.ok()) << read.status;
  ASSERT_EQ(read.request.inputs.size(), 2u);
  EXPECT_EQ(read.request.inputs[0].name, "b");
  EXPECT_THAT(read.tensor(0).as<int64_t>(), ElementsAre(7, -8));
  EXPECT_EQ(read.tensor(0).shape(), (Shape{2, 1}));
  EXPECT_EQ(read.request.inputs[1].name, "a");
  EXPECT_THAT(read.tensor(1).as<float>(), ElementsAre(1, 2));
  EXPECT_THAT(read.request.output_filter, ElementsAre("z", "y"));
  EXPECT_THAT(read.request.options, ElementsAre(std::pair("config", "fast")));
  EXPECT_EQ(read.tensor(1).elements().owner.get(), slice.owner.get());
  EXPECT_LE(read.reader.copied_bytes(), 16u);  // of the int64 tensor, which may be misaligned
}

// The public Python client sends exactly these bytes.
TEST(GraphPipeRequestTest, KnowsTheMetadataRequest) {
  const unsigned char bytes[] = {0x0c, 0, 0, 0, 0x08, 0, 0x0c, 0, 0x0b, 0, 0x04, 0, 0x08, 0, 0, 0,
                                 0x0c, 0, 0, 0, 0,    0, 0,    2, 4,    0, 4,    0, 4,    0, 0, 0};
  const std::string_view message(reinterpret_cast<const char*>(bytes), sizeof(bytes));
  const auto kind = ReadKind(message);
  ASSERT_TRUE(kind.ok()) << kind.status();
  EXPECT_EQ(*kind, RequestKind::kMetadata);
  EXPECT_THAT(Result(AsSlice(message), kOneFloat).error(), HasSubstr("its type is 2"));
}

TEST(GraphPipeRequestTest, InputsWithoutNamesAreThoseAtTheirPositions) {
  const ModelInfo info = InfoOf({Spec("a", DType::kFloat32), Spec("b", DType::kFloat32)});
  for (const std::vector<std::string>& names :
       std::vector<std::vector<std::string>>{{}, {"a"}, {"", ""}, {"", "b"}}) {
    const Result read(
        AsSlice(MakeRequest({.tensors = {Floats({1}), Floats({2})}, .input_names = names})), info);
    ASSERT_TRUE(read.status.ok()) << read.status;
    EXPECT_EQ(read.request.inputs[0].name, "a");
    EXPECT_EQ(read.request.inputs[1].name, "b");
  }
  const Result any(AsSlice(MakeRequest({.tensors = {Floats({1}), Floats({2})}})), AnyInfo());
  EXPECT_EQ(any.request.inputs[1].name, "input_1");
  EXPECT_THAT(any.request.output_filter, IsEmpty());
}

TEST(GraphPipeRequestTest, ReadsEveryType) {
  for (int number = 1; number <= 11; ++number) {
    const DType dtype = DTypeOf(static_cast<uint8_t>(number));
    const std::string data(DTypeBytes(dtype) * 3, '\1');
    const Result read(AsSlice(MakeRequest({.tensors = {{static_cast<Type>(number), {3}, data}}})),
                      AnyInfo());
    ASSERT_TRUE(read.status.ok()) << read.status;
    EXPECT_EQ(read.tensor().dtype(), dtype);
    EXPECT_EQ(read.tensor().elements().view(), data);
  }
}

// The public Python client aligns tensors to four bytes only.
TEST(GraphPipeRequestTest, ReadsMisalignedMessages) {
  const std::string message = MakeRequest(
      {.tensors = {{Type::kFloat64, {3}, BytesOf<double>({1.5, -2.5, 3.5})}}, .config = "c"});
  const size_t data_at = message.find(BytesOf<double>({1.5}));
  for (size_t shift = 0; shift < 16; ++shift) {
    const Result read(AsSlice(message, shift), AnyInfo());
    ASSERT_TRUE(read.status.ok()) << read.status;
    EXPECT_THAT(read.tensor().as<double>(), ElementsAre(1.5, -2.5, 3.5));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(read.tensor().data()) % alignof(double), 0u);
    EXPECT_EQ(read.reader.copied_bytes(), (data_at + shift) % 8 == 0 ? 0u : 24u);
  }
}

TEST(GraphPipeRequestTest, ReadsStringsWithAndWithoutNul) {
  const FakeTensor strings{Type::kString, {2, 2}, "", {"abcd", "efgh", std::string("\0x", 2), ""}};
  for (const bool without_nul : {false, true}) {
    const std::string message =
        MakeRequest({.tensors = {strings}, .strings_without_nul = without_nul});
    // The stock verifier refuses these messages of Go's clients. That is why it is not used.
    flatbuffers::Verifier verifier(reinterpret_cast<const uint8_t*>(message.data()),
                                   message.size());
    EXPECT_EQ(::graphpipe::VerifyRequestBuffer(verifier), !without_nul);
    const Result read(AsSlice(message), AnyInfo());
    ASSERT_TRUE(read.status.ok()) << read.status;
    EXPECT_EQ(read.tensor().shape(), (Shape{2, 2}));
    for (size_t i = 0; i < 4; ++i) EXPECT_EQ(read.tensor().strings()[i].view(), strings.strings[i]);
  }
}

TEST(GraphPipeRequestTest, TypesThatGraphPipeLacksHaveStandIns) {
  const auto read = [](DType wanted, const FakeTensor& tensor) {
    return Result(AsSlice(MakeRequest({.tensors = {tensor}})), InfoOf({Spec("x", wanted)}));
  };
  const Result bools = read(DType::kBool, {Type::kUint8, {2}, std::string("\1\0", 2)});
  ASSERT_TRUE(bools.status.ok()) << bools.status;
  EXPECT_EQ(bools.tensor().dtype(), DType::kBool);
  EXPECT_THAT(read(DType::kBool, {Type::kUint8, {1}, "\2"}).error(), HasSubstr("other than 0"));
  EXPECT_EQ(read(DType::kQint8, {Type::kInt8, {1}, "\2"}).tensor().dtype(), DType::kQint8);
  // 1 + 2^-8 lies between two values, 1 and 1 + 2^-7, and 1 is the even one.
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Result rounded =
      read(DType::kBfloat16, Floats({1, 1 + 0x1p-8F, 1 + 0x1.8p-8F, -0.0F, nan, 3.4e38F}));
  ASSERT_TRUE(rounded.status.ok()) << rounded.status;
  EXPECT_EQ(rounded.tensor().dtype(), DType::kBfloat16);
  EXPECT_THAT(rounded.tensor().as<uint16_t>(),
              ElementsAre(0x3F80, 0x3F80, 0x3F81, 0x8000, 0x7FC0, 0x7F80));
  EXPECT_EQ(rounded.reader.copied_bytes(), 24u);
}

// In TensorFlow "op" is short for "op:0", and clients of GraphPipe's server for it say either.
TEST(GraphPipeRequestTest, NamesOfTensorFlowHaveALongAndAShortForm) {
  const ModelInfo info = InfoOf({Spec("a:0", DType::kFloat32), Spec("b", DType::kFloat32),
                                 Spec("b:0", DType::kFloat32), Spec("c", DType::kFloat32)});
  const FakeTensor one = Floats({1});
  const auto names_of = [&](const FakeRequest& request) {
    const Result result(AsSlice(MakeRequest(request)), info);
    std::vector<std::string> names = {result.error()};
    for (const NamedTensor& input : result.request.inputs) names.emplace_back(input.name);
    for (const std::string_view name : result.request.output_filter) names.emplace_back(name);
    return names;
  };
  EXPECT_THAT(
      names_of({.tensors = {one, one}, .input_names = {"a", "c:0"}, .output_names = {"z:0"}}),
      ElementsAre("", "a:0", "c", "z"));
  EXPECT_THAT(names_of({.tensors = {one, one}, .input_names = {"b:0", "b"}, .output_names = {"y"}}),
              ElementsAre("", "b:0", "b", "y"));
  EXPECT_THAT(names_of({.tensors = {one}, .input_names = {"a:1"}})[0], HasSubstr("'a:1'"));
  EXPECT_THAT(names_of({.tensors = {one}, .input_names = {":0"}})[0], HasSubstr("':0'"));
  EXPECT_THAT(names_of({.tensors = {one, one}, .input_names = {"a", "a:0"}})[0],
              HasSubstr("'a:0' twice"));
}

TEST(GraphPipeRequestTest, TensorsWithoutNamesComeInTheOrderOfTheModel) {
  ModelInfo info =
      InfoOf({Spec("a", DType::kFloat32), Spec("b", DType::kFloat32), Spec("c", DType::kFloat32)});
  const std::string message = MakeRequest({.tensors = {Floats({1}), Floats({2}), Floats({3})}});
  const auto names = [&] {
    const Result result(AsSlice(message), info);
    std::vector<std::string> given;
    for (const NamedTensor& input : result.request.inputs) given.emplace_back(input.name);
    return given;
  };
  EXPECT_THAT(names(), ElementsAre("a", "b", "c"));
  std::vector<TensorSpec>& inputs = info.signatures[0].inputs;
  inputs[0].place = 2;
  inputs[1].place = 0;
  inputs[2].place = 1;
  EXPECT_THAT(names(), ElementsAre("b", "c", "a"));
}

TEST(GraphPipeRequestTest, ErrorsSayWhatIsWrongAndWhatIsRight) {
  const auto error = [](const FakeRequest& request) {
    return Result(AsSlice(MakeRequest(request)), kOneFloat).error();
  };
  const FakeTensor one = Floats({1});
  EXPECT_THAT(error({.tensors = {one}, .input_names = {"q"}}),
              "input_names[0] is 'q'; the inputs are: x");
  EXPECT_THAT(error({.tensors = {one}, .output_names = {"y", "q"}}),
              "output_names[1] is 'q'; the outputs are: y, z");
  EXPECT_THAT(error({.tensors = {one}, .output_names = {""}}), HasSubstr("is ''; the outputs"));
  EXPECT_THAT(error({.tensors = {one, one}}), "the request has 2 input_tensors; the inputs are: x");
  EXPECT_THAT(error({.tensors = {one, one}, .input_names = {"x", "x"}}),
              "input_names has 'x' twice; the inputs are: x");
  EXPECT_THAT(error({.tensors = {one}, .input_names = {"x", "x"}}),
              "input_names has 2 names for 1 input_tensors");
  EXPECT_THAT(error({.tensors = {one}, .input_names = {"\xFF"}}), HasSubstr("not UTF-8"));
  EXPECT_THAT(error({.tensors = {one}, .config = std::string(70'000, 'c')}),
              "config has 70000 bytes; at most 65536 are allowed");
  EXPECT_THAT(error({.tensors = std::vector<FakeTensor>(4097, one)}), HasSubstr("at most 4096"));
  EXPECT_THAT(error({.tensors = {{Type::kFloat32, {2, 3}, "12345"}}}),
              "input_tensors[0] ('x'): its data has 5 bytes; float32 of the shape [2,3] needs 24");
  EXPECT_THAT(error({.tensors = {{Type::kFloat32, {1, -4}, "1234"}}}), HasSubstr("[1,-4]"));
  EXPECT_THAT(error({.tensors = {{Type::kFloat32, {1LL << 40, 1LL << 40}, "1234"}}}),
              HasSubstr("a shape that can be"));
  EXPECT_THAT(error({.tensors = {{Type::kFloat32, std::vector<int64_t>(200'000, 1), "1234"}}}),
              HasSubstr("200000 dimensions; at most 254"));
  EXPECT_THAT(error({.tensors = {{Type::kNull, {1}, "1234"}}}), HasSubstr("its type is 0"));
  EXPECT_THAT(error({.tensors = {{static_cast<Type>(13), {1}, "1234"}}}), HasSubstr("is 13"));
  EXPECT_THAT(error({.tensors = {{Type::kString, {3}, "", {"a"}}}}),
              HasSubstr("1 strings; the shape [3] needs 3"));
  EXPECT_THAT(error({.tensors = {{Type::kString, {1}, "data", {"a"}}}}), HasSubstr("it has data"));
  EXPECT_EQ(Result(AsSlice(""), kOneFloat).error(),
            "the GraphPipe message is malformed: an offset lies behind the end (byte 0 of 0)");
  EXPECT_THAT(Result(AsSlice(std::string(64, '\0')), kOneFloat).error(), HasSubstr("malformed"));
}

// 100,000 elements at one string of 100,000 bytes would be 10 GB for whoever copies them.
TEST(GraphPipeRequestTest, SharedStringsCountEachTime) {
  flatbuffers::FlatBufferBuilder builder;
  const auto text = builder.CreateString(std::string(100'000, 's'));
  const auto strings = builder.CreateVector(std::vector(100'000, text));
  const auto shape = builder.CreateVector(std::vector<int64_t>{100'000});
  const std::vector tensors = {
      ::graphpipe::CreateTensor(builder, ::graphpipe::Type::String, shape, 0, strings)};
  const auto list = builder.CreateVector(tensors);
  const auto infer = ::graphpipe::CreateInferRequest(builder, 0, 0, list, 0);
  builder.Finish(
      ::graphpipe::CreateRequest(builder, ::graphpipe::Req::InferRequest, infer.Union()));
  const std::string_view message(reinterpret_cast<const char*>(builder.GetBufferPointer()),
                                 builder.GetSize());
  RequestReader reader;
  RequestMemory memory(1 << 30);
  InferRequest request;
  const Status status = reader.Read(AsSlice(message), AnyInfo(), {}, memory, request);
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(MessageOf(status)), HasSubstr("share bytes"));
}

// A message of 8 MB with 4096 names at one place had a thread read 32 GB.
TEST(GraphPipeRequestTest, SharedLongNamesAreRefusedBeforeTheyAreRead) {
  const auto error = [](size_t name_bytes, bool are_outputs, RequestMemory& memory) {
    flatbuffers::FlatBufferBuilder builder;
    // Whoever reads it finds that it is not UTF-8.
    const auto name = builder.CreateString(std::string(name_bytes, '\xFF'));
    const auto names = builder.CreateVector(std::vector(4096, name));
    const auto shape = builder.CreateVector(std::vector<int64_t>{0});
    const auto tensor = ::graphpipe::CreateTensor(builder, ::graphpipe::Type::Float32, shape);
    const auto list = builder.CreateVector(std::vector(4096, tensor));
    const auto infer = ::graphpipe::CreateInferRequest(builder, 0, are_outputs ? 0 : names, list,
                                                       are_outputs ? names : 0);
    builder.Finish(
        ::graphpipe::CreateRequest(builder, ::graphpipe::Req::InferRequest, infer.Union()));
    const std::string_view message(reinterpret_cast<const char*>(builder.GetBufferPointer()),
                                   builder.GetSize());
    RequestReader reader;
    InferRequest request;
    return std::string(MessageOf(reader.Read(AsSlice(message), AnyInfo(), {}, memory, request)));
  };
  RequestMemory memory(1 << 30);
  EXPECT_EQ(error(8 << 20, true, memory),
            "output_names[0] has 8388608 bytes; at most 1024 are allowed");
  EXPECT_EQ(error(1025, false, memory), "input_names[0] has 1025 bytes; at most 1024 are allowed");
  EXPECT_EQ(error(1024, false, memory), "input_names[0] is not UTF-8");
  EXPECT_EQ(memory.bytes_left(), uint64_t{1} << 30);
}

// Names count as tensors do: 4096 of 1 KiB at one place have 4 MiB.
TEST(GraphPipeRequestTest, SharedNamesCountEachTime) {
  flatbuffers::FlatBufferBuilder builder;
  const auto name = builder.CreateString(std::string(1024, 'n'));
  const auto names = builder.CreateVector(std::vector(4096, name));
  const auto infer = ::graphpipe::CreateInferRequest(builder, 0, 0, 0, names);
  builder.Finish(
      ::graphpipe::CreateRequest(builder, ::graphpipe::Req::InferRequest, infer.Union()));
  const Result result(
      AsSlice({reinterpret_cast<const char*>(builder.GetBufferPointer()), builder.GetSize()}),
      AnyInfo());  // with 1 MiB of memory
  EXPECT_EQ(result.status.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(result.error(), HasSubstr("share bytes"));
}

// Every truncation and every changed byte: an error or a request, and with a sanitizer no read
// outside.
TEST(GraphPipeRequestTest, DamagedMessagesAreErrors) {
  const std::string message =
      MakeRequest({.tensors = {Floats({1, 2, 3}), {Type::kString, {2}, "", {"abcd", "e"}}},
                   .input_names = {"a", "b"},
                   .output_names = {"a"},
                   .config = "c"});
  for (size_t size = 0; size < message.size(); ++size) {
    const Result read(AsSlice(std::string_view(message).substr(0, size)), AnyInfo());
    EXPECT_TRUE(read.status.ok() || !read.error().empty());
  }
  std::mt19937 random(1);
  for (size_t at = 0; at < message.size(); ++at) {
    for (const int value : {0, 1, 0x7F, 0x80, 0xFF, static_cast<int>(random() % 256)}) {
      std::string damaged = message;
      damaged[at] = static_cast<char>(value);
      const Result read(AsSlice(damaged), AnyInfo());
      EXPECT_TRUE(read.status.ok() || !read.error().empty());
      static_cast<void>(RequestLanding(AsSlice(damaged).span(), damaged.size()));
    }
  }
}

TEST(GraphPipeRequestTest, LandsAtTheLargestTensorThatBeginsInThePrefix) {
  const FakeTensor small = Floats({1, 2, 3});
  const FakeTensor large{Type::kUint8, {100'000}, std::string(100'000, 'L')};
  for (const auto& tensors : std::vector<std::vector<FakeTensor>>{
           {large}, {large, small}, {small, large}, {small, small, large}}) {
    const std::string message =
        MakeRequest({.tensors = tensors, .input_names = {"a"}, .config = std::string(9'000, 'c')});
    const std::span<const std::byte> prefix(reinterpret_cast<const std::byte*>(message.data()),
                                            4096);
    EXPECT_EQ(RequestLanding(prefix, message.size()), message.find("LLLL"));
    EXPECT_EQ(RequestLanding(prefix.first(10), message.size()), 0u);
  }
  const std::string message = MakeRequest({.tensors = {small}});
  EXPECT_EQ(RequestLanding(AsSlice(message).span(), message.size()), 0u);
}

}  // namespace
}  // namespace penstock::graphpipe
