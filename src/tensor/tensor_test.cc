// SPDX-License-Identifier: Apache-2.0
#include "tensor/tensor.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace penstock {
namespace {

TEST(DTypeTest, NumbersNamesAndSizes) {
  int known = 0;
  for (int number = -1; number < 200; ++number) {
    const auto type = DTypeFromTensorFlow(number);
    if (!type) continue;
    ++known;
    EXPECT_EQ(static_cast<int>(*type), number);
    EXPECT_NE(DTypeName(*type), "invalid");
    EXPECT_TRUE(TensorFlowTypeName(*type).starts_with("DT_"));
    EXPECT_EQ(DTypeBytes(*type) == 0, *type == DType::kString);
  }
  EXPECT_EQ(known, 21);
  EXPECT_FALSE(DTypeFromTensorFlow(0));
  EXPECT_FALSE(DTypeFromTensorFlow(20));   // DT_RESOURCE
  EXPECT_FALSE(DTypeFromTensorFlow(101));  // DT_FLOAT_REF
  EXPECT_EQ(DTypeName(static_cast<DType>(250)), "invalid");
  EXPECT_EQ(DTypeBytes(DType::kComplex128), 16U);
  EXPECT_EQ(TensorFlowTypeName(DType::kFloat16), "DT_HALF");
}

TEST(ShapeTest, ElementCount) {
  constexpr int64_t kHuge = int64_t{1} << 40;
  EXPECT_EQ(Shape({}).ElementCount(), 1);
  EXPECT_EQ(Shape({2, 3, 4}).ElementCount(), 24);
  EXPECT_EQ(Shape({2, 0, 4}).ElementCount(), 0);
  EXPECT_EQ(Shape({2, -1}).ElementCount(), std::nullopt);
  EXPECT_EQ(Shape({0, -1}).ElementCount(), std::nullopt);
  EXPECT_EQ(Shape({kHuge, kHuge}).ElementCount(), std::nullopt);
  // A zero does not hide an overflow of the others, wherever it stands.
  EXPECT_EQ(Shape({kHuge, kHuge, 0}).ElementCount(), std::nullopt);
  EXPECT_EQ(Shape({0, kHuge, kHuge}).ElementCount(), std::nullopt);
  EXPECT_EQ(Shape({INT64_MAX}).ElementCount(), INT64_MAX);
  EXPECT_EQ(Shape({INT64_MAX, 2}).ElementCount(), std::nullopt);
}

TEST(ShapeTest, TextAndChanges) {
  EXPECT_EQ(Shape({}).ToString(), "[]");
  Shape shape({32, -1});
  shape.Append(3);
  EXPECT_EQ(shape.ToString(), "[32,-1,3]");
  EXPECT_EQ(shape, Shape({32, -1, 3}));
  EXPECT_EQ(shape.rank(), 3U);
}

TEST(TensorTest, FromBytesIsAViewThatKeepsItsOwner) {
  BufferRef buffer = AllocateBuffer(6 * sizeof(float));
  const std::byte* const data = buffer->data();
  Slice slice = WholeSlice(buffer);
  const auto tensor = Tensor::FromBytes(DType::kFloat32, {2, 3}, std::move(slice));
  ASSERT_TRUE(tensor.ok());
  EXPECT_FALSE(buffer->IsUnique());
  EXPECT_EQ(tensor->data(), data);
  EXPECT_EQ(tensor->bytes(), 24U);
  EXPECT_EQ(tensor->element_count(), 6);
  EXPECT_EQ(tensor->as<float>().size(), 6U);
  EXPECT_EQ(tensor->StringBytes(), 0U);
}

TEST(TensorTest, FromBytesRefusesWhatDoesNotFit) {
  const auto message = [](DType type, Shape shape, size_t bytes) {
    const Status status =
        Tensor::FromBytes(type, std::move(shape), WholeSlice(AllocateBuffer(bytes))).status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  EXPECT_EQ(message(DType::kFloat32, {2, 3}, 23),
            "a float32 tensor of shape [2,3] takes 24 bytes, but 23 were given");
  EXPECT_EQ(message(DType::kInvalid, {1}, 1), "the tensor has no valid element type");
  const std::string overflow =
      "the shape {} has a negative dimension or more elements than can be addressed";
  EXPECT_EQ(message(DType::kInt8, {-1}, 1), fmt::format(fmt::runtime(overflow), "[-1]"));
  // The element count fits, the bytes do not.
  EXPECT_EQ(message(DType::kComplex128, {INT64_MAX}, 1),
            fmt::format(fmt::runtime(overflow), "[9223372036854775807]"));
  EXPECT_EQ(message(DType::kInt8, Shape(std::vector<int64_t>(255, 1)), 1),
            "the tensor has 255 dimensions; at most 254 are allowed");
  EXPECT_EQ(Tensor::FromBytes(DType::kString, {0}, {}).status().code(), StatusCode::kInternal);
}

TEST(TensorTest, ScalarsAndZeroRows) {
  EXPECT_EQ(Tensor::Allocate(DType::kInt64, {})->bytes(), 8U);
  const auto empty = Tensor::Allocate(DType::kInt64, {0, 5});
  EXPECT_EQ(empty->bytes(), 0U);
  EXPECT_NE(empty->data(), nullptr);
}

TEST(TensorTest, AllocateChecksBeforeItAllocates) {
  EXPECT_EQ(Tensor::Allocate(DType::kFloat32, {1024}, 4095).status(),
            absl::ResourceExhaustedError(
                "a float32 tensor of shape [1024] takes 4096 bytes; the limit is 4095"));
  EXPECT_TRUE(Tensor::Allocate(DType::kFloat32, {1024}, 4096).ok());
  EXPECT_FALSE(Tensor::Allocate(DType::kFloat32, {INT64_MAX, INT64_MAX}).ok());
}

TEST(TensorTest, Strings) {
  BufferRef characters = CopyToBuffer("helloyou");
  auto owned = std::make_unique<Tensor>(*Tensor::Allocate(DType::kString, {3}));
  Tensor& tensor = *owned;
  EXPECT_EQ(tensor.StringBytes(), 0U);
  EXPECT_TRUE(tensor.strings()[2].view().empty());
  const char* const text = reinterpret_cast<const char*>(characters->data());
  tensor.mutable_as<StringElement>()[0] = {text, 5};
  tensor.mutable_as<StringElement>()[2] = {text + 5, 3};
  tensor.set_string_owner(std::move(characters));
  EXPECT_EQ(tensor.StringBytes(), 8U);
  EXPECT_EQ(tensor.bytes(), 3 * sizeof(StringElement));
  const Tensor copy = tensor;
  owned.reset();
  EXPECT_EQ(copy.strings()[0].view(), "hello");
  EXPECT_EQ(copy.strings()[2].view(), "you");

  BufferRef array = AllocateBuffer(2 * sizeof(StringElement));
  EXPECT_TRUE(Tensor::FromStrings({2}, array, copy.string_owner()).ok());
  EXPECT_EQ(
      Tensor::FromStrings({3}, array, copy.string_owner()).status(),
      absl::InvalidArgumentError("a string tensor of shape [3] has 3 elements, but 2 were given"));
}

TEST(TensorTest, RowsShareTheElements) {
  auto tensor = std::make_unique<Tensor>(*Tensor::Allocate(DType::kInt32, {3, 2}));
  for (int32_t i = 0; i < 6; ++i) tensor->mutable_as<int32_t>()[static_cast<size_t>(i)] = i;
  const std::byte* const data = tensor->data();
  const Tensor last = tensor->Rows(1, 2);
  const Tensor none = tensor->Rows(3, 0);
  tensor.reset();
  EXPECT_EQ(last.shape(), (Shape{2, 2}));
  EXPECT_EQ(last.data(), data + 8);
  EXPECT_EQ(last.bytes(), 16U);
  EXPECT_EQ(std::vector<int32_t>(last.as<int32_t>().begin(), last.as<int32_t>().end()),
            (std::vector<int32_t>{2, 3, 4, 5}));
  EXPECT_EQ(none.shape(), (Shape{0, 2}));
  EXPECT_EQ(none.element_count(), 0);
  EXPECT_EQ(Tensor::Allocate(DType::kFloat32, {0, 5})->Rows(0, 0).bytes(), 0U);
  EXPECT_EQ(Tensor::Allocate(DType::kFloat32, {4, 0})->Rows(1, 2).shape(), (Shape{2, 0}));
}

TEST(TensorTest, RowsOfStrings) {
  Tensor tensor = *Tensor::Allocate(DType::kString, {2});
  BufferRef characters = CopyToBuffer("ab");
  const char* const text = reinterpret_cast<const char*>(characters->data());
  tensor.mutable_as<StringElement>()[0] = {text, 1};
  tensor.mutable_as<StringElement>()[1] = {text + 1, 1};
  tensor.set_string_owner(std::move(characters));
  const Tensor second = tensor.Rows(1, 1);
  tensor = Tensor();
  ASSERT_EQ(second.strings().size(), 1U);
  EXPECT_EQ(second.strings()[0].view(), "b");
}

}  // namespace
}  // namespace penstock
