// SPDX-License-Identifier: Apache-2.0
#include "penstock_client/tensor.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "element_count.h"

namespace penstock_client {
namespace {

TEST(InputTest, ViewsTheCallersMemory) {
  const std::vector<float> values = {1, 2, 3, 4, 5, 6};
  const Input list(values);
  EXPECT_EQ(list.dtype(), DType::kFloat32);
  EXPECT_EQ(list.shape(), Shape{6});
  EXPECT_EQ(static_cast<const void*>(list.bytes().data()), values.data());
  EXPECT_EQ(list.bytes().size(), 24u);
  const Input matrix("x", values, {2, 3});
  EXPECT_EQ(matrix.shape(), (Shape{2, 3}));
  EXPECT_EQ(matrix.name(), "x");
  const double scalar = 1.5;
  EXPECT_EQ(Input(std::span(&scalar, 1), {}).shape(), Shape{});
}

TEST(InputTest, EveryNumberHasItsType) {
  EXPECT_EQ(Input(std::array<bool, 2>{true, false}).dtype(), DType::kUint8);
  EXPECT_EQ(Input(std::vector<std::byte>(2)).dtype(), DType::kUint8);
  EXPECT_EQ(Input(std::vector<uint8_t>(2)).dtype(), DType::kUint8);
  EXPECT_EQ(Input(std::vector<int8_t>(2)).dtype(), DType::kInt8);
  EXPECT_EQ(Input(std::vector<uint16_t>(2)).dtype(), DType::kUint16);
  EXPECT_EQ(Input(std::vector<int16_t>(2)).dtype(), DType::kInt16);
  EXPECT_EQ(Input(std::vector<uint32_t>(2)).dtype(), DType::kUint32);
  EXPECT_EQ(Input(std::vector<int>(2)).dtype(), DType::kInt32);
  EXPECT_EQ(Input(std::vector<unsigned long>(2)).dtype(), DType::kUint64);
  EXPECT_EQ(Input(std::vector<long long>(2)).dtype(), DType::kInt64);
  EXPECT_EQ(Input(std::vector<Float16>(2)).dtype(), DType::kFloat16);
  EXPECT_EQ(Input(std::vector<double>(2)).dtype(), DType::kFloat64);
  static_assert(!std::is_constructible_v<Input, std::string>, "a text is no list of numbers");
  static_assert(!std::is_constructible_v<Input, std::vector<bool>>, "its bits are packed");
}

TEST(InputTest, StringsOfAnyKind) {
  const std::vector<std::string> texts = {"one", std::string("a\0", 2), ""};
  EXPECT_EQ(Input(texts).strings()[1].size(), 2u);
  EXPECT_EQ(Input(texts, {3, 1}).shape(), (Shape{3, 1}));
  const std::string_view views[] = {"a", "b"};
  EXPECT_EQ(Input(views).strings()[1], "b");
  EXPECT_EQ(Input(std::vector<const char*>{"a", "b"}).dtype(), DType::kString);
}

TEST(InputTest, ShapesThatDoNotFit) {
  const std::vector<float> values(6);
  for (const Shape& shape :
       {Shape{5}, Shape{}, Shape{-2, -3}, Shape{int64_t{1} << 62, 6}, Shape{0, 6}, Shape{7}})
    EXPECT_THROW(Input(values, shape), std::invalid_argument) << TextOf(shape);
  EXPECT_THROW(Input(std::vector<std::string>(2), {3}), std::invalid_argument);
  EXPECT_THROW(Input(DType::kInt32, std::as_bytes(std::span(values)).first(7), {2}),
               std::invalid_argument);
  EXPECT_THROW(Input(DType::kString, {}, {0}), std::invalid_argument);
}

TEST(InputsTest, HasThreeForms) {
  const std::vector<float> x(6);
  const std::vector<int64_t> y(2);
  EXPECT_EQ(Inputs(x).list().size(), 1u);
  EXPECT_EQ(Inputs({x, y}).list().size(), 2u);
  const Inputs named = {{"x", x, {2, 3}}, {"y", y}};
  EXPECT_EQ(named.list()[0].name(), "x");
  EXPECT_EQ(named.list()[1].shape(), Shape{2});
  EXPECT_EQ(Inputs(std::vector<Input>(3, Input(x))).list().size(), 3u);
}

TEST(ElementCountTest, BoundsTheProduct) {
  EXPECT_EQ(ElementsOf({}), 1u);
  EXPECT_EQ(ElementsOf({2, 3}), 6u);
  EXPECT_EQ(ElementsOf({int64_t{1} << 62, int64_t{1} << 62, 0}), 0u);
  EXPECT_EQ(ElementsOf({int64_t{1} << 62, 8}), std::nullopt);
  EXPECT_EQ(ElementsOf({2, -1}), std::nullopt);
}

TEST(Float16Test, RoundsToTheNearest) {
  for (const auto& [value, bits] :
       std::vector<std::pair<float, uint16_t>>{{0.0f, 0x0000},
                                               {-0.0f, 0x8000},
                                               {1.0f, 0x3c00},
                                               {-2.0f, 0xc000},
                                               {65504.0f, 0x7bff},
                                               {65519.0f, 0x7bff},
                                               {65520.0f, 0x7c00},
                                               {1e30f, 0x7c00},
                                               {-INFINITY, 0xfc00},
                                               {0x1p-14f, 0x0400},
                                               {0x1p-24f, 0x0001},
                                               {0x1.8p-25f, 0x0001},
                                               {0x1p-25f, 0x0000},
                                               {0x1p-26f, 0x0000},
                                               {0x1.ff8p-15f, 0x03ff},
                                               {0x1.ffep-15f, 0x0400},
                                               {1.0f + 0x1p-11f, 0x3c00},
                                               {1.0f + 0x1.8p-11f, 0x3c01},
                                               {1.0f + 0x1.8p-10f, 0x3c02},
                                               {0.333251953125f, 0x3555}})
    EXPECT_EQ(Float16(value).bits, bits) << value;
  EXPECT_TRUE(std::isnan(static_cast<float>(Float16(NAN))));
}

TEST(Float16Test, EveryNumberSurvives) {
  for (uint32_t bits = 0; bits < 1 << 16; ++bits) {
    Float16 number;
    number.bits = static_cast<uint16_t>(bits);
    const auto wide = static_cast<float>(number);
    if (!std::isnan(wide)) {
      ASSERT_EQ(Float16(wide), number) << bits;
    }
  }
}

}  // namespace
}  // namespace penstock_client
