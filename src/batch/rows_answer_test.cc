// SPDX-License-Identifier: Apache-2.0
#include "batch/rows_answer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "base/metrics/metrics.h"
#include "infer/model_fake.h"

namespace penstock::batch {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Signature TwoOutputs() {
  return {
      .name = "s",
      .method_name = "",
      .inputs = {},
      .outputs = {FakeSpec("y", DType::kFloat32, {-1, 2}), FakeSpec("z", DType::kString, {-1})}};
}

// Rows of y and z that start with these numbers.
NamedTensors Part(const std::vector<float>& rows, int64_t width = 2) {
  const auto count = static_cast<int64_t>(rows.size());
  Tensor y = *Tensor::Allocate(DType::kFloat32, {count, width});
  Tensor z = *Tensor::Allocate(DType::kString, {count});
  BufferRef characters = AllocateBuffer(rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    for (size_t j = 0; j < static_cast<size_t>(width); ++j)
      y.mutable_as<float>()[i * static_cast<size_t>(width) + j] = rows[i];
    auto* const place = reinterpret_cast<char*>(characters->data()) + i;
    *place = static_cast<char>('a' + static_cast<int>(rows[i]));
    z.mutable_as<StringElement>()[i] = {place, 1};
  }
  z.set_string_owner(std::move(characters));
  NamedTensors part;
  part.push_back({"z", std::move(z)});
  part.push_back({"y", std::move(y)});
  return part;
}

class RowsAnswerTest : public ::testing::Test {
 protected:
  const Signature signature_ = TwoOutputs();
  RowsAnswer answer_{signature_, 3};
  RequestMemory memory_;
};

TEST_F(RowsAnswerTest, PartsMayComeInAnyOrder) {
  ASSERT_TRUE(answer_.Add(2, 1, Part({3}), memory_).ok());
  NamedTensors other = Part({1, 2});
  std::swap(other[0], other[1]);
  ASSERT_TRUE(answer_.Add(0, 2, other, memory_).ok());
  other.clear();
  const NamedTensors all = answer_.Take();
  ASSERT_EQ(all.size(), 2U);
  std::vector<std::string_view> texts;
  for (const StringElement& each : all[0].tensor.strings()) texts.push_back(each.view());
  EXPECT_THAT(texts, ElementsAre("b", "c", "d")) << "the parts that had them are gone";
  EXPECT_EQ(all[1].name.data(), signature_.outputs[0].name.data());
  EXPECT_THAT(all[1].tensor.as<float>(), ElementsAre(1, 1, 2, 2, 3, 3));
}

TEST_F(RowsAnswerTest, PartsThatDoNotFitAreRefused) {
  EXPECT_THAT(answer_.Add(0, 2, Part({1}), memory_).message(),
              HasSubstr("the output 'z' of 2 rows"));
  NamedTensors unknown = Part({1});
  unknown[0].name = "w";
  EXPECT_EQ(answer_.Add(0, 1, unknown, memory_),
            absl::InternalError("the signature has no output 'w'"));
  ASSERT_TRUE(answer_.Add(0, 1, Part({1}), memory_).ok());
  EXPECT_EQ(answer_.Add(1, 1, Part({1}, /*width=*/3), memory_),
            absl::InternalError("the output 'y' of 1 rows has the shape [1,3], which does not fit "
                                "the other parts of the request"));
  NamedTensors few = Part({1});
  few.resize(1);
  EXPECT_EQ(answer_.Add(1, 1, few, memory_),
            absl::InternalError("the parts of a request have different outputs"));
  EXPECT_EQ(answer_.Add(1, 1, unknown, memory_).code(), StatusCode::kInternal);
}

TEST_F(RowsAnswerTest, CharactersCountInTheMemoryOfTheAnswer) {
  MetricsRegistry metrics;
  const RequestBudget budget =
      std::make_shared<RequestAllowance>(20'000, metrics.AddCounter("refusals", ""));
  RequestMemory memory(UINT64_MAX, &budget);
  const std::string text(8000, 'x');
  NamedTensors part = Part({1});
  part[0].tensor.mutable_as<StringElement>()[0] = {text.data(), text.size()};
  ASSERT_TRUE(answer_.Add(0, 1, part, memory).ok());
  EXPECT_EQ(budget->left(), 12'000U);
  ASSERT_TRUE(answer_.Add(1, 1, part, memory).ok());
  EXPECT_EQ(answer_.Add(2, 1, part, memory).code(), StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace penstock::batch
