// SPDX-License-Identifier: Apache-2.0
#include "protocols/tfs/predict_writer.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "protocols/tfs/predict_reference.h"
#include "serving/predict.pb.h"

namespace penstock::tfs {
namespace {

using tensorflow::serving::PredictResponse;

// Every type that has a wire form.
constexpr int kTypes[] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11,
                          12, 13, 14, 15, 16, 17, 18, 19, 22, 23};

// A tensor of random bytes (0 or 1 for bools), or of random strings.
Tensor RandomTensor(DType type, Shape shape, std::mt19937& random) {
  Tensor tensor = *Tensor::Allocate(type, std::move(shape));
  if (type == DType::kString) {
    const BufferRef characters = CopyToBuffer(std::string(300, 's'));
    for (StringElement& element : tensor.mutable_as<StringElement>()) {
      element = {reinterpret_cast<const char*>(characters->data()), random() % 300};
    }
    tensor.set_string_owner(characters);
    return tensor;
  }
  for (std::byte& byte : std::span(tensor.mutable_data(), tensor.bytes())) {
    byte = static_cast<std::byte>(type == DType::kBool ? random() % 2 : random() % 256);
  }
  return tensor;
}

PredictResponse Parse(const ByteChain& chain) {
  PredictResponse response;
  const Slice bytes = Flatten(chain);
  EXPECT_EQ(bytes.size, chain.bytes());
  EXPECT_TRUE(response.ParseFromArray(bytes.data, static_cast<int>(bytes.size)));
  return response;
}

TEST(PredictWriter, WritesWhatProtobufReads) {
  std::mt19937 random(1);
  const Shape shapes[] = {{}, {0}, {3}, {2, 0, 4}, {5, 7}, {1, 200}};
  for (const int number : kTypes) {
    for (const Shape& shape : shapes) {
      for (const bool as_content : {false, true}) {
        for (const size_t gather : {size_t{1}, size_t{64}, size_t{4096}}) {
          const NamedTensor outputs[] = {
              {"first", RandomTensor(static_cast<DType>(number), shape, random)},
              {"second", RandomTensor(DType::kFloat32, {2}, random)}};
          const auto chain =
              WritePredictResponse(outputs, {"model", core::VersionNumber{3}, "sig"},
                                   {.as_tensor_content = as_content, .gather_bytes_min = gather});
          ASSERT_TRUE(chain.ok());
          const PredictResponse response = Parse(*chain);
          ASSERT_EQ(response.outputs().size(), 2u);
          reference::Elements read;
          ASSERT_EQ(reference::ReadTensor(response.outputs().at("first"), read),
                    reference::Verdict::kOk);
          EXPECT_EQ(read, reference::ElementsOf(outputs[0].tensor)) << "type " << number;
          EXPECT_EQ(response.outputs().at("first").tensor_content().empty(),
                    !as_content || outputs[0].tensor.element_count() == 0);
        }
      }
    }
  }
}

// Byte for byte what protobuf writes, except that it does not promise an order of map entries.
TEST(PredictWriter, WritesWhatProtobufWrites) {
  std::mt19937 random(2);
  for (const int number : kTypes) {
    const NamedTensor output{"out", RandomTensor(static_cast<DType>(number), {2, 3}, random)};
    for (const int64_t version : {int64_t{0}, int64_t{1}, int64_t{1} << 40}) {
      const ByteChain chain =
          *WritePredictResponse({&output, 1}, {"m", core::VersionNumber{version}, ""});
      EXPECT_EQ(Flatten(chain).view(), Parse(chain).SerializeAsString()) << "type " << number;
    }
  }
}

TEST(PredictWriter, FillsTheModelSpec) {
  const PredictResponse response =
      Parse(*WritePredictResponse({}, {"m", core::VersionNumber{5}, "s"}));
  EXPECT_EQ(response.model_spec().name(), "m");
  EXPECT_EQ(response.model_spec().version().value(), 5);
  EXPECT_EQ(response.model_spec().signature_name(), "s");
}

TEST(PredictWriter, SendsBigElementsWithoutACopy) {
  std::mt19937 random(3);
  const NamedTensor outputs[] = {{"a", RandomTensor(DType::kFloat32, {10000}, random)},
                                 {"b", RandomTensor(DType::kFloat64, {10000}, random)}};
  const ByteChain chain = *WritePredictResponse(outputs, {"m", core::VersionNumber{1}, ""});
  ASSERT_EQ(chain.slices().size(), 5u);
  EXPECT_EQ(chain.slices()[1].data, outputs[0].tensor.data());
  EXPECT_EQ(chain.slices()[3].data, outputs[1].tensor.data());
  // What is left of the message shares one buffer.
  EXPECT_EQ(chain.slices()[0].owner.get(), chain.slices()[4].owner.get());
}

TEST(PredictWriter, SendsBigStringsWithoutACopy) {
  Tensor tensor = *Tensor::Allocate(DType::kString, {2});
  const BufferRef characters = CopyToBuffer(std::string(5000, 'c'));
  const char* data = reinterpret_cast<const char*>(characters->data());
  tensor.mutable_as<StringElement>()[0] = {data, 5000};
  tensor.mutable_as<StringElement>()[1] = {data, 5};
  tensor.set_string_owner(characters);
  const NamedTensor output{"s", tensor};
  const ByteChain chain = *WritePredictResponse({&output, 1}, {"m", core::VersionNumber{1}, ""});
  ASSERT_EQ(chain.slices().size(), 3u);
  EXPECT_EQ(chain.slices()[1].view().data(), data);
  EXPECT_EQ(Parse(chain).outputs().at("s").string_val(1), "ccccc");
}

TEST(PredictWriter, WritesBoolsAsZeroOrOne) {
  Tensor tensor = *Tensor::Allocate(DType::kBool, {2});
  tensor.mutable_as<uint8_t>()[0] = 0xff;
  tensor.mutable_as<uint8_t>()[1] = 0;
  const NamedTensor output{"b", tensor};
  const auto response =
      Parse(*WritePredictResponse({&output, 1}, {"m", core::VersionNumber{1}, ""}));
  EXPECT_EQ(response.outputs().at("b").bool_val_size(), 2);
  EXPECT_TRUE(response.outputs().at("b").bool_val(0));
}

TEST(PredictWriter, RefusesTypesWithoutAWireForm) {
  const NamedTensor output{"none", Tensor()};
  const auto chain = WritePredictResponse({&output, 1}, {"m", core::VersionNumber{1}, ""});
  EXPECT_EQ(chain.status(),
            Error(StatusCode::kInternal, "output none: a tensor of type invalid cannot be sent"));
}

// Address space is enough: nothing is read before the size is known to fit.
TEST(PredictWriter, RefusesMoreThanAMessageHolds) {
  class Nothing final : public Buffer {
   public:
    Nothing() : Buffer(nullptr, 0) {}
  };
  const uint64_t bytes = uint64_t{3} << 30;
  const BufferRef owner(new Nothing);
  alignas(8) static std::byte start[8];
  const NamedTensor output{"big",
                           *Tensor::FromBytes(DType::kFloat32, {static_cast<int64_t>(bytes / 4)},
                                              {start, bytes, owner})};
  const auto chain = WritePredictResponse({&output, 1}, {"m", core::VersionNumber{1}, ""});
  EXPECT_EQ(chain.status().code(), StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace penstock::tfs
