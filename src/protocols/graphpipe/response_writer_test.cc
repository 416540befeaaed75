// SPDX-License-Identifier: Apache-2.0
// The answers are checked with the code that flatc generates: its verifier accepts them, and it
// reads from them what was written.
#include "protocols/graphpipe/response_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "graphpipe/graphpipe_generated.h"
#include "protocols/graphpipe/metadata_writer.h"
#include "protocols/graphpipe/types.h"

namespace penstock::graphpipe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A message that the generated verifier has accepted.
template <typename Table>
struct Verified {
  std::string bytes;
  const Table* table = nullptr;

  explicit Verified(const ByteChain& chain) : bytes(Flatten(chain).view()) {
    // The verifier looks at real addresses, so the bytes must be aligned as a client has them.
    aligned = CopyToBuffer(bytes);
    const auto* const data = reinterpret_cast<const uint8_t*>(aligned->data());
    flatbuffers::Verifier verifier(data, bytes.size());
    if (verifier.VerifyBuffer<Table>(nullptr)) table = flatbuffers::GetRoot<Table>(data);
    EXPECT_NE(table, nullptr) << "the verifier refuses the message";
  }
  size_t OffsetOf(const void* part) const {
    return static_cast<size_t>(static_cast<const std::byte*>(part) - aligned->data());
  }

  BufferRef aligned;
};
using Response = Verified<::graphpipe::InferResponse>;

Tensor Numbers(DType dtype, Shape shape, std::mt19937& random) {
  StatusOr<Tensor> tensor = Tensor::Allocate(dtype, std::move(shape));
  for (std::byte& byte : std::span(tensor->mutable_data(), tensor->bytes()))
    byte = static_cast<std::byte>(dtype == DType::kBool ? random() % 2 : random());
  return *std::move(tensor);
}

Tensor Strings(Shape shape, std::vector<std::string_view> texts) {
  StatusOr<Tensor> tensor = Tensor::Allocate(DType::kString, std::move(shape));
  for (size_t i = 0; i < texts.size(); ++i)
    tensor->mutable_as<StringElement>()[i] = {texts[i].data(), texts[i].size()};
  return *std::move(tensor);
}

ByteChain Write(const std::vector<NamedTensor>& outputs, WriteOptions options = {},
                uint64_t* copied = nullptr) {
  RequestMemory memory;
  StatusOr<ByteChain> answer = WriteInferResponse(outputs, options, memory, copied);
  EXPECT_TRUE(answer.ok()) << answer.status();
  return answer.ok() ? *std::move(answer) : ByteChain();
}

void ExpectSame(const Tensor& tensor, const ::graphpipe::Tensor& written) {
  EXPECT_EQ(static_cast<Type>(written.type()), TypeFor(tensor.dtype()));
  ASSERT_NE(written.shape(), nullptr);
  EXPECT_EQ(Shape(std::span<const int64_t>(written.shape()->data(), written.shape()->size())),
            tensor.shape());
  if (tensor.dtype() == DType::kString) {
    ASSERT_NE(written.string_val(), nullptr);
    ASSERT_EQ(written.string_val()->size(), tensor.strings().size());
    for (uint32_t i = 0; i < written.string_val()->size(); ++i)
      EXPECT_EQ(written.string_val()->Get(i)->string_view(), tensor.strings()[i].view());
    return;
  }
  ASSERT_NE(written.data(), nullptr);
  const std::string_view data(reinterpret_cast<const char*>(written.data()->data()),
                              written.data()->size());
  EXPECT_EQ(data, tensor.elements().view());
  EXPECT_EQ(reinterpret_cast<uintptr_t>(written.data()->data()) % 8, 0u);
}

TEST(GraphPipeResponseTest, WritesEveryTypeAndSize) {
  std::mt19937 random(7);
  for (const DType dtype :
       {DType::kBool, DType::kUint8, DType::kInt8, DType::kUint16, DType::kInt16, DType::kUint32,
        DType::kInt32, DType::kUint64, DType::kInt64, DType::kFloat16, DType::kFloat32,
        DType::kFloat64, DType::kQint8, DType::kQuint8, DType::kQint32, DType::kQint16}) {
    for (const Shape& shape : {Shape{}, Shape{0, 3}, Shape{1}, Shape{3, 5, 7}, Shape{40, 1000}}) {
      SCOPED_TRACE(fmt::format("{} {}", DTypeName(dtype), shape.ToString()));
      const Tensor tensor = Numbers(dtype, shape, random);
      const Response response(Write({{"y", tensor}}));
      ASSERT_NE(response.table, nullptr);
      ASSERT_EQ(response.table->output_tensors()->size(), 1u);
      ExpectSame(tensor, *response.table->output_tensors()->Get(0));
    }
  }
}

TEST(GraphPipeResponseTest, WritesRandomAnswers) {
  std::mt19937 random(11);
  for (int round = 0; round < 300; ++round) {
    std::vector<NamedTensor> outputs;
    const size_t count = random() % 6;
    for (size_t i = 0; i < count; ++i) {
      const auto rows = static_cast<int64_t>(random() % 40);
      const DType dtypes[] = {DType::kUint8, DType::kInt16, DType::kFloat32, DType::kFloat64};
      outputs.push_back({"y", random() % 4 == 0
                                  ? Strings({3}, {"", std::string_view("a\0b", 3), "four"})
                                  : Numbers(dtypes[random() % 4], {rows, 3}, random)});
    }
    const Response response(Write(outputs, {.gather_bytes_min = random() % 200}));
    ASSERT_NE(response.table, nullptr);
    ASSERT_EQ(response.table->output_tensors()->size(), count);
    for (uint32_t i = 0; i < count; ++i)
      ExpectSame(outputs[i].tensor, *response.table->output_tensors()->Get(i));
  }
}

TEST(GraphPipeResponseTest, BigTensorsAreNotCopiedAndLieAt64Bytes) {
  std::mt19937 random(13);
  const Tensor small = Numbers(DType::kFloat32, {4}, random);
  const Tensor big = Numbers(DType::kFloat32, {3, 1001}, random);
  const Tensor bigger = Numbers(DType::kUint8, {99'999}, random);
  uint64_t copied = 0;
  const ByteChain answer = Write({{"a", big}, {"b", small}, {"c", bigger}}, {}, &copied);
  EXPECT_EQ(copied, 16u);
  ASSERT_EQ(answer.slices().size(), 4u);
  EXPECT_EQ(answer.slices()[1].data, big.data());
  EXPECT_EQ(answer.slices()[3].data, bigger.data());
  const Response response(answer);
  ASSERT_NE(response.table, nullptr);
  const auto& tensors = *response.table->output_tensors();
  ExpectSame(big, *tensors[0]);
  ExpectSame(small, *tensors[1]);
  ExpectSame(bigger, *tensors[2]);
  EXPECT_EQ(response.OffsetOf(tensors[0]->data()->data()) % 64, 0u);
  EXPECT_EQ(response.OffsetOf(tensors[2]->data()->data()) % 64, 0u);
}

TEST(GraphPipeResponseTest, Bfloat16BecomesFloat32) {
  Tensor tensor = *Tensor::Allocate(DType::kBfloat16, {2});
  tensor.mutable_as<uint16_t>()[0] = 0x3F80;
  tensor.mutable_as<uint16_t>()[1] = 0xC040;
  uint64_t copied = 0;
  const Response response(Write({{"y", tensor}}, {}, &copied));
  ASSERT_NE(response.table, nullptr);
  const auto* const written = response.table->output_tensors()->Get(0);
  EXPECT_EQ(written->type(), ::graphpipe::Type::Float32);
  std::array<float, 2> values;
  ASSERT_EQ(written->data()->size(), sizeof(values));
  std::memcpy(values.data(), written->data()->data(), sizeof(values));
  EXPECT_THAT(values, ElementsAre(1.0F, -3.0F));
}

TEST(GraphPipeResponseTest, ComplexNumbersAreAnError) {
  const std::vector<NamedTensor> outputs = {{"y", *Tensor::Allocate(DType::kComplex64, {2})}};
  RequestMemory memory;
  const auto answer = WriteInferResponse(outputs, {}, memory);
  EXPECT_EQ(answer.status().code(), StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(MessageOf(answer.status())), HasSubstr("'y' is complex64"));
}

// The tensors share their elements, so this takes no memory.
TEST(GraphPipeResponseTest, AnswersOver2GiBAreAnError) {
  const Tensor tensor = *Tensor::Allocate(DType::kUint8, {1 << 20});
  const std::vector<NamedTensor> outputs(2048, NamedTensor{"y", tensor});
  RequestMemory memory;
  const auto answer = WriteInferResponse(outputs, {}, memory);
  EXPECT_EQ(answer.status().code(), StatusCode::kResourceExhausted);
}

TEST(GraphPipeResponseTest, WritesErrors) {
  const Response response(WriteErrorResponse(404, "no such model"));
  ASSERT_NE(response.table, nullptr);
  EXPECT_EQ(response.table->output_tensors()->size(), 0u);
  ASSERT_EQ(response.table->errors()->size(), 1u);
  EXPECT_EQ(response.table->errors()->Get(0)->code(), 404);
  EXPECT_EQ(response.table->errors()->Get(0)->message()->string_view(), "no such model");
}

TEST(GraphPipeMetadataTest, DescribesTheModel) {
  std::vector<TensorSpec> inputs(2), outputs(1);
  inputs[0].name = "flags";
  inputs[0].dtype = DType::kBool;
  inputs[0].shape = {-1, 3};
  inputs[0].optional = true;
  inputs[1].name = "x";
  inputs[1].dtype = DType::kFloat32;
  inputs[1].unknown_rank = true;
  outputs[0].name = "y";
  outputs[0].dtype = DType::kComplex64;
  const ServerFacts facts{.model = "m",
                          .server = "penstock",
                          .version = "1",
                          .description = "a \"model\"",
                          .inputs = inputs,
                          .outputs = outputs};
  const Verified<::graphpipe::MetadataResponse> response(WriteMetadataResponse(facts));
  ASSERT_NE(response.table, nullptr);
  EXPECT_EQ(response.table->name()->string_view(), "m");
  EXPECT_EQ(response.table->server()->string_view(), "penstock");
  const auto* const flags = response.table->inputs()->Get(0);
  EXPECT_EQ(flags->type(), ::graphpipe::Type::Uint8);
  EXPECT_EQ(flags->description()->string_view(), "optional; bool in the model");
  EXPECT_THAT(std::span(flags->shape()->data(), 2), ElementsAre(-1, 3));
  EXPECT_THAT(std::span(response.table->inputs()->Get(1)->shape()->data(), 1), ElementsAre(-1));
  EXPECT_EQ(response.table->outputs()->Get(0)->type(), ::graphpipe::Type::Null);
  EXPECT_EQ(MetadataJson(facts), R"({
  "Name": "m",
  "Version": "1",
  "Server": "penstock",
  "Description": "a \"model\"",
  "Inputs": [
    {
      "Name": "flags",
      "Description": "optional; bool in the model",
      "Shape": [-1, 3],
      "Type": 1
    },
    {
      "Name": "x",
      "Description": "of any rank",
      "Shape": [-1],
      "Type": 10
    }
  ],
  "Outputs": [
    {
      "Name": "y",
      "Description": "complex64, which GraphPipe cannot carry",
      "Shape": [],
      "Type": 0
    }
  ]
}
)");
}

}  // namespace
}  // namespace penstock::graphpipe
