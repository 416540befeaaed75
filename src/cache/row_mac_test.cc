// SPDX-License-Identifier: Apache-2.0
#include "cache/row_mac.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace penstock::cache {
namespace {

Tensor Floats(Shape shape, const std::vector<float>& values) {
  Tensor tensor = *Tensor::Allocate(DType::kFloat32, std::move(shape));
  std::ranges::copy(values, tensor.mutable_as<float>().begin());
  return tensor;
}

// The characters are those of static texts.
Tensor Strings(Shape shape, const std::vector<std::string_view>& values) {
  Tensor tensor = *Tensor::Allocate(DType::kString, std::move(shape));
  auto element = tensor.mutable_as<StringElement>().begin();
  for (const std::string_view value : values) *element++ = {value.data(), value.size()};
  return tensor;
}

class RowKeysTest : public ::testing::Test {
 protected:
  std::vector<RowKey> Keys(const InferRequest& request, std::string_view signature = "s") const {
    absl::InlinedVector<RowKey, 4> keys;
    keys_.Compute(signature, request, request.inputs.front().tensor.shape().dim(0), keys);
    return {keys.begin(), keys.end()};
  }
  static InferRequest Request(std::vector<std::pair<std::string_view, Tensor>> inputs) {
    InferRequest request;
    for (auto& [name, tensor] : inputs) request.inputs.push_back({name, std::move(tensor)});
    return request;
  }

  const MacKey key_ = RandomMacKey();
  const RowKeys keys_{key_, "m version 1"};
};

TEST_F(RowKeysTest, EqualRowsHaveEqualKeysInAnyRequest) {
  const auto one = Keys(Request({{"x", Floats({1, 2}, {3, 4})}}));
  const auto three = Keys(Request({{"x", Floats({3, 2}, {1, 2, 3, 4, 3, 4})}}));
  EXPECT_EQ(one[0], three[1]);
  EXPECT_EQ(three[1], three[2]);
  EXPECT_NE(three[0], three[1]);
}

// The cache of GraphPipe put the whole tensor of strings into the key of each row.
TEST_F(RowKeysTest, RowsOfStringsAreRows) {
  const auto one = Keys(Request({{"x", Strings({1}, {"b"})}}));
  const auto two = Keys(Request({{"x", Strings({2}, {"a", "b"})}}));
  EXPECT_EQ(one[0], two[1]);
  EXPECT_NE(two[0], two[1]);
}

TEST_F(RowKeysTest, TheOrderOfInputsDoesNotMatter) {
  const Tensor a = Floats({1}, {1}), b = Floats({1}, {2});
  EXPECT_EQ(Keys(Request({{"a", a}, {"b", b}})), Keys(Request({{"b", b}, {"a", a}})));
  EXPECT_NE(Keys(Request({{"a", a}, {"b", b}})), Keys(Request({{"a", b}, {"b", a}})));
}

// GraphPipe's keys joined names, types, sizes and bytes without separators.
TEST_F(RowKeysTest, NoTwoRequestsRunTogether) {
  InferRequest with_option = Request({{"x", Floats({1, 2}, {1, 2})}});
  with_option.options = {{"config", "a"}};
  InferRequest other_option = Request({{"x", Floats({1, 2}, {1, 2})}});
  other_option.options = {{"conf", "iga"}};
  InferRequest two_options = Request({{"x", Floats({1, 2}, {1, 2})}});
  two_options.options = {{"config", "a"}, {"", ""}};
  const std::vector<InferRequest> requests = {
      Request({{"x", Floats({1, 2}, {1, 2})}}),
      Request({{"xx", Floats({1, 2}, {1, 2})}}),
      Request({{"x", Floats({1, 1, 2}, {1, 2})}}),
      Request({{"x", Floats({1, 2, 1}, {1, 2})}}),
      Request({{"x", Floats({1, 1}, {1})}, {"y", Floats({1, 1}, {2})}}),
      Request({{"x", Strings({1, 2}, {"ab", "c"})}}),
      Request({{"x", Strings({1, 2}, {"a", "bc"})}}),
      Request({{"x", Strings({1, 2}, {"abc", ""})}}),
      Request({{"x", Strings({1, 2}, {"", "abc"})}}),
      Request({{"x", Strings({1, 1}, {"abc"})}}),
      Request({{"x", Strings({1}, {"abc"})}}),
      Request({{"x", *Tensor::FromBytes(DType::kInt32, {1, 2}, Floats({2}, {1, 2}).elements())}}),
      with_option,
      other_option,
      two_options,
  };
  std::set<std::pair<uint64_t, uint64_t>> seen;
  for (const InferRequest& request : requests) {
    for (const std::string_view signature : {"s", "t"}) {
      const RowKey key = Keys(request, signature)[0];
      EXPECT_TRUE(seen.emplace(key.high, key.low).second);
    }
  }
  EXPECT_EQ(seen.size(), 2 * requests.size());
}

TEST_F(RowKeysTest, DependOnTheIdentityAndTheSecret) {
  const InferRequest request = Request({{"x", Floats({1}, {1})}});
  const RowKeys next(key_, "m version 2");
  const MacKey other_secret = RandomMacKey();
  const RowKeys other(other_secret, "m version 1");
  absl::InlinedVector<RowKey, 4> a, b;
  next.Compute("s", request, 1, a);
  other.Compute("s", request, 1, b);
  EXPECT_NE(Keys(request)[0], a[0]);
  EXPECT_NE(Keys(request)[0], b[0]);
}

TEST(RowMac, DoesNotDependOnHowTheBytesArrive) {
  const MacKey key = RandomMacKey();
  std::string bytes;
  for (int i = 0; i < 3000; ++i) bytes += static_cast<char>(i * 7);
  RowMac whole(key);
  whole.AddBytes(bytes.data(), bytes.size());
  const RowKey expected = whole.Finish();
  for (const size_t step : {1, 3, 16, 63, 64, 65, 255, 256, 257, 1000}) {
    RowMac parts(key);
    for (size_t at = 0; at < bytes.size(); at += step)
      parts.AddBytes(bytes.data() + at, std::min(step, bytes.size() - at));
    EXPECT_EQ(parts.Finish(), expected) << step;
  }
}

}  // namespace
}  // namespace penstock::cache
