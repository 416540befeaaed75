// SPDX-License-Identifier: Apache-2.0
#include "protocols/tfs_json/predict_encoder.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "protocols/tfs_json/json_number.h"
#include "protocols/tfs_json/json_writer.h"
#include "tensor/half.h"

namespace penstock::tfs_json {
namespace {

using ::testing::HasSubstr;

template <typename T>
Tensor Make(DType dtype, Shape shape, const std::vector<T>& values) {
  Tensor tensor = Tensor::Allocate(dtype, std::move(shape)).value();
  std::copy(values.begin(), values.end(), tensor.mutable_as<T>().begin());
  return tensor;
}

Tensor Floats(Shape shape, const std::vector<float>& values) {
  return Make(DType::kFloat32, std::move(shape), values);
}

// `values` must outlive the tensor.
Tensor Strings(Shape shape, const std::vector<std::string>& values) {
  Tensor tensor = Tensor::Allocate(DType::kString, std::move(shape)).value();
  for (size_t i = 0; i < values.size(); ++i) {
    tensor.mutable_as<StringElement>()[i] = {values[i].data(), values[i].size()};
  }
  return tensor;
}

std::string Encode(PredictFormat format, const NamedTensors& outputs) {
  const StatusOr<ByteChain> body = EncodePredictResponse(format, outputs);
  if (!body.ok()) return std::string(MessageOf(body.status()));
  std::string text(Flatten(*body).view());
  EXPECT_EQ(text.back(), '\n');
  text.pop_back();
  return text;
}

TEST(PredictEncoder, OneOutputStandsAlone) {
  const NamedTensors outputs = {{"y", Floats({2, 2}, {1, 2.5, -3, 0.1F})}};
  EXPECT_EQ(Encode(PredictFormat::kRow, outputs), R"({"predictions":[[1.0,2.5],[-3.0,0.1]]})");
  EXPECT_EQ(Encode(PredictFormat::kColumn, outputs), R"({"outputs":[[1.0,2.5],[-3.0,0.1]]})");
}

TEST(PredictEncoder, SeveralOutputsAreNamed) {
  const NamedTensors outputs = {{"a", Floats({2, 1}, {1, 2})},
                                {"b", Make<int64_t>(DType::kInt64, {2}, {3, -4})}};
  EXPECT_EQ(Encode(PredictFormat::kRow, outputs),
            R"({"predictions":[{"a":[1.0],"b":3},{"a":[2.0],"b":-4}]})");
  EXPECT_EQ(Encode(PredictFormat::kColumn, outputs),
            R"({"outputs":{"a":[[1.0],[2.0]],"b":[3,-4]}})");
}

TEST(PredictEncoder, ScalarsAndEmptyTensors) {
  const NamedTensors scalar = {{"y", Floats({}, {7})}};
  EXPECT_EQ(Encode(PredictFormat::kColumn, scalar), R"({"outputs":7.0})");
  EXPECT_THAT(Encode(PredictFormat::kRow, scalar), HasSubstr("no shape information"));
  EXPECT_EQ(Encode(PredictFormat::kRow, {{"y", Floats({0, 3}, {})}}), R"({"predictions":[]})");
  EXPECT_EQ(Encode(PredictFormat::kRow, {{"y", Floats({2, 0, 3}, {})}}),
            R"({"predictions":[[],[]]})");
  EXPECT_EQ(Encode(PredictFormat::kRow, {{"y", Floats({0}, {})}, {"z", Floats({0, 1}, {})}}),
            R"({"predictions":[]})");
  EXPECT_EQ(Encode(PredictFormat::kColumn, {{"y", Floats({2, 1, 2}, {1, 2, 3, 4})}}),
            R"({"outputs":[[[1.0,2.0]],[[3.0,4.0]]]})");
  EXPECT_EQ(Encode(PredictFormat::kRow, {{"y", Floats({2, 2, 0}, {})}, {"z", Floats({2}, {1, 2})}}),
            R"({"predictions":[{"y":[[],[]],"z":1.0},{"y":[[],[]],"z":2.0}]})");
}

TEST(PredictEncoder, RowsMustAgree) {
  EXPECT_THAT(Encode(PredictFormat::kRow, {{"a", Floats({2}, {1, 2})}, {"b", Floats({1}, {1})}}),
              HasSubstr("b has inconsistent batch size: 1 expecting: 2"));
}

TEST(PredictEncoder, EveryType) {
  const auto encode = [](Tensor tensor) {
    return Encode(PredictFormat::kColumn, {{"y", std::move(tensor)}});
  };
  EXPECT_EQ(encode(Make<int8_t>(DType::kInt8, {2}, {-128, 127})), R"({"outputs":[-128,127]})");
  EXPECT_EQ(encode(Make<uint8_t>(DType::kUint8, {1}, {255})), R"({"outputs":[255]})");
  EXPECT_EQ(encode(Make<int16_t>(DType::kInt16, {1}, {-32768})), R"({"outputs":[-32768]})");
  EXPECT_EQ(encode(Make<uint16_t>(DType::kUint16, {1}, {65535})), R"({"outputs":[65535]})");
  EXPECT_EQ(encode(Make<int32_t>(DType::kInt32, {1}, {-5})), R"({"outputs":[-5]})");
  EXPECT_EQ(encode(Make<uint32_t>(DType::kUint32, {1}, {4294967295})),
            R"({"outputs":[4294967295]})");
  EXPECT_EQ(encode(Make<int64_t>(DType::kInt64, {1}, {INT64_MIN})),
            R"({"outputs":[-9223372036854775808]})");
  EXPECT_EQ(encode(Make<uint64_t>(DType::kUint64, {1}, {UINT64_MAX})),
            R"({"outputs":[18446744073709551615]})");
  EXPECT_EQ(encode(Make<bool>(DType::kBool, {2}, {true, false})), R"({"outputs":[true,false]})");
  EXPECT_EQ(encode(Make<double>(DType::kFloat64, {1}, {0.1})), R"({"outputs":[0.1]})");
  EXPECT_EQ(encode(Make<uint16_t>(DType::kFloat16, {2}, {0x3C00, 0xC100})),
            R"({"outputs":[1.0,-2.5]})");
  EXPECT_EQ(encode(Make<uint16_t>(DType::kBfloat16, {1}, {0x3F80})), R"({"outputs":[1.0]})");
}

TEST(PredictEncoder, ComplexElementsArePairs) {
  const auto pairs = [](DType dtype, auto... values) {
    Tensor tensor = *Tensor::Allocate(dtype, {1, static_cast<int64_t>(sizeof...(values)) / 2});
    size_t i = 0;
    ((std::memcpy(tensor.mutable_data() + i++ * sizeof(values), &values, sizeof(values))), ...);
    return tensor;
  };
  EXPECT_EQ(
      Encode(PredictFormat::kColumn, {{"y", pairs(DType::kComplex64, 1.0f, -2.5f, 0.f, 3.f)}}),
      R"({"outputs":[[[1.0,-2.5],[0.0,3.0]]]})");
  EXPECT_EQ(Encode(PredictFormat::kRow, {{"y", pairs(DType::kComplex128, 0.1, 1e300)}}),
            R"({"predictions":[[[0.1,1e+300]]]})");
}

TEST(PredictEncoder, Strings) {
  const std::vector<std::string> texts = {"a\"\\\n\x01\x1f/", "ä", std::string("\0", 1), ""};
  EXPECT_EQ(Encode(PredictFormat::kColumn, {{"y", Strings({4}, texts)}}),
            R"({"outputs":["a\"\\\n\u0001\u001f/","ä","\u0000",""]})");
  const std::vector<std::string> bytes = {"", "f", "fo", "foo", "\xff\xfe"};
  EXPECT_EQ(Encode(PredictFormat::kRow, {{"y_bytes", Strings({5}, bytes)}}),
            R"({"predictions":[{"b64":""},{"b64":"Zg=="},{"b64":"Zm8="},)"
            R"({"b64":"Zm9v"},{"b64":"//4="}]})");
  const std::string error = Encode(PredictFormat::kRow, {{"y", Strings({5}, bytes)}});
  EXPECT_THAT(error, HasSubstr("not UTF-8"));
  const std::vector<std::string> large = {std::string(300'000, 'x')};
  EXPECT_EQ(Encode(PredictFormat::kColumn, {{"y", Strings({}, large)}}),
            "{\"outputs\":\"" + large[0] + "\"}");
}

std::string Text(double value) {
  char text[kNumberBytesMax];
  return {text, WriteFloat(text, value)};
}
std::string Text(float value) {
  char text[kNumberBytesMax];
  return {text, WriteFloat(text, value)};
}

TEST(WriteFloat, Forms) {
  EXPECT_EQ(Text(0.0F), "0.0");
  EXPECT_EQ(Text(-0.0), "-0.0");
  EXPECT_EQ(Text(1.0), "1.0");
  EXPECT_EQ(Text(-120.0F), "-120.0");
  EXPECT_EQ(Text(0.1F), "0.1");
  EXPECT_EQ(Text(0.00001), "0.00001");
  EXPECT_EQ(Text(0.000001), "1e-06");
  EXPECT_EQ(Text(1.5e-7F), "1.5e-07");
  EXPECT_EQ(Text(12345.678), "12345.678");
  EXPECT_EQ(Text(1e16), "10000000000000000.0");
  EXPECT_EQ(Text(1e17), "1e+17");
  EXPECT_EQ(Text(1.7976931348623157e308), "1.7976931348623157e+308");
  EXPECT_EQ(Text(-2.2250738585072014e-308), "-2.2250738585072014e-308");
  EXPECT_EQ(Text(1234567890123456.7), "1234567890123456.8");
  EXPECT_EQ(Text(16777216.0F), "16777216.0");
  EXPECT_EQ(Text(3.4028235e38F), "3.4028235e+38");
  EXPECT_EQ(Text(std::numeric_limits<float>::infinity()), "Infinity");
  EXPECT_EQ(Text(-std::numeric_limits<double>::infinity()), "-Infinity");
  EXPECT_EQ(Text(NAN), "NaN");
}

std::string Text16(uint16_t bits) {
  char text[kNumberBytesMax];
  return {text, WriteFloat16(text, bits)};
}
std::string TextB16(uint16_t bits) {
  char text[kNumberBytesMax];
  return {text, WriteBfloat16(text, bits)};
}

TEST(WriteFloat, SixteenBitFloatsHaveTheDigitsOfTheirOwnType) {
  EXPECT_EQ(Text16(0x2E66), "0.1");  // 0.09997559 as float32
  EXPECT_EQ(Text16(0xC248), "-3.14");
  EXPECT_EQ(Text16(0x3C00), "1.0");
  EXPECT_EQ(Text16(0x7BFF), "65500.0");
  EXPECT_EQ(Text16(0x0001), "6e-08");
  EXPECT_EQ(Text16(0x8000), "-0.0");
  EXPECT_EQ(Text16(0xFC00), "-Infinity");
  EXPECT_EQ(Text16(0x7E00), "NaN");
  EXPECT_EQ(TextB16(0x3DCD), "0.1");  // 0.10009766 as float32
  EXPECT_EQ(TextB16(0x4049), "3.14");
  EXPECT_EQ(TextB16(0x7F7F), "3.39e+38");
  EXPECT_EQ(TextB16(0x0001), "9e-41");
}

// The digits of a text without its point, its zeros at both ends and its exponent.
size_t DigitsOf(std::string text) {
  text = text.substr(0, text.find('e'));
  std::erase_if(text, [](char c) { return c == '.' || c == '-'; });
  const size_t first = text.find_first_not_of('0');
  return first == text.npos ? 0 : text.find_last_not_of('0') - first + 1;
}

TEST(WriteFloat, AllSixteenBitFloatsReadBackAndHaveTheFewestDigits) {
  const auto check = [](uint16_t bits, double value, const std::string& text, auto from_double) {
    EXPECT_EQ(from_double(std::strtod(text.c_str(), nullptr)), bits) << text;
    // The number of digits for which printf finds a text that reads back.
    int digits = 1;
    while (from_double(std::strtod(fmt::format("{:.{}e}", value, digits - 1).c_str(), nullptr)) !=
           bits)
      ++digits;
    EXPECT_LE(DigitsOf(text), static_cast<size_t>(digits)) << text;
  };
  for (uint32_t i = 0; i < 0x10000; i += 3) {  // a third of them, of all exponents
    const auto bits = static_cast<uint16_t>(i);
    if (const float value = Float16ToFloat(bits); std::isfinite(value))
      check(bits, value, Text16(bits), Float16FromDouble);
    if (const float value = Bfloat16ToFloat(bits); std::isfinite(value))
      check(bits, value, TextB16(bits), Bfloat16FromDouble);
  }
}

TEST(WriteFloat, ReadsBackAsTheSameValue) {
  std::mt19937_64 random(20);
  for (int i = 0; i < 50'000; ++i) {
    const float value32 = std::bit_cast<float>(static_cast<uint32_t>(random()));
    if (std::isfinite(value32)) {
      EXPECT_EQ(std::strtof(Text(value32).c_str(), nullptr), value32);
    }
    const double value64 = std::bit_cast<double>(random());
    if (std::isfinite(value64)) {
      EXPECT_EQ(std::strtod(Text(value64).c_str(), nullptr), value64);
    }
    const double unit = std::ldexp(static_cast<double>(random()), -(i % 80));
    EXPECT_EQ(std::strtod(Text(unit).c_str(), nullptr), unit);
    EXPECT_LE(Text(unit).size(), 25u);
  }
}

}  // namespace
}  // namespace penstock::tfs_json
