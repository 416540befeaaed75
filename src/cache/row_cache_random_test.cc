// SPDX-License-Identifier: Apache-2.0
// Random requests with and without the cache must get the same answers.
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include "cache/row_cache_fixture.h"

namespace penstock::cache {
namespace {

// One thread at a time.
class RandomRequests final {
 public:
  explicit RandomRequests(uint32_t seed) : random_(seed) {}

  int Below(int count) { return std::uniform_int_distribution<int>(0, count - 1)(random_); }

  // Rows, strings, options and output lists are drawn from few, so that they meet often.
  InferRequest Next(const std::function<Tensor(const std::vector<std::vector<float>>&)>& rows_of,
                    const std::function<Tensor(const std::vector<std::string>&)>& texts_of) {
    InferRequest request;
    const int rows = 1 + Below(6), width = Below(3);
    std::vector<std::vector<float>> x;
    std::vector<std::string> s;
    for (int row = 0; row < rows; ++row) {
      std::vector<float>& values = x.emplace_back();
      for (int i = 0; i < width; ++i) values.push_back(static_cast<float>(Below(3)));
      s.push_back(std::string(static_cast<size_t>(Below(3)), static_cast<char>('a' + Below(2))));
    }
    const bool has_text = Below(2) == 0;
    if (has_text && Below(2) == 0) request.inputs.push_back({"s", texts_of(s)});
    request.inputs.push_back({"x", rows_of(x)});
    if (has_text && request.inputs.size() == 1) request.inputs.push_back({"s", texts_of(s)});
    static constexpr std::string_view kSignatures[] = {"", "serving_default", "other"};
    request.signature_name = kSignatures[Below(3)];
    static const OutputFilter kFilters[] = {{},         {"a"},      {"b"},           {"c"},
                                            {"a", "b"}, {"b", "a"}, {"c", "b", "a"}, {"c", "a"}};
    request.output_filter = kFilters[Below(8)];
    if (Below(3) == 0) request.options = {{"config", std::to_string(Below(2))}};
    const int use = Below(20);
    if (use == 0) request.cache_use = CacheUse::kBypass;
    if (use == 1) request.cache_use = CacheUse::kRefresh;
    return request;
  }

 private:
  std::mt19937 random_;
};

void ExpectSame(const Tensor& a, const Tensor& b) {
  ASSERT_EQ(a.dtype(), b.dtype());
  ASSERT_EQ(a.shape(), b.shape());
  if (a.dtype() != DType::kString) {
    ASSERT_EQ(a.bytes(), b.bytes());
    EXPECT_TRUE(a.bytes() == 0 || std::memcmp(a.data(), b.data(), a.bytes()) == 0);
    return;
  }
  for (size_t i = 0; i < a.strings().size(); ++i)
    EXPECT_EQ(a.strings()[i].view(), b.strings()[i].view());
}

class RowCacheRandomTest : public RowCacheTest {
 protected:
  void Compare(const Answered& answered) {
    ASSERT_EQ(answered.answers, 1);
    ASSERT_TRUE(answered.status.ok()) << answered.status;
    const InferResponse expected = Compute(answered.request);
    ASSERT_EQ(answered.outputs.size(), expected.outputs.size());
    for (const NamedTensor& output : expected.outputs) {
      const Tensor* const found = answered.Find(output.name);
      ASSERT_NE(found, nullptr) << output.name;
      ExpectSame(*found, output.tensor);
    }
  }
  void RunSeed(uint32_t seed) {
    SCOPED_TRACE(seed);
    RandomRequests random(seed);
    for (int step = 0; step < 300 && !HasFailure(); ++step) {
      const size_t before = answers_.size();
      for (int i = random.Below(4); i >= 0; --i) {
        Answered& sent = Send(random.Next(Rows, Texts));
        if (random.Below(20) == 0 && sent.answers == 0) sent.cancel.Cancel();
      }
      if (random.Below(2) == 0) scheduler_.RunQueued();
      for (size_t i = before; i < answers_.size(); ++i) {
        if (answers_[i].cancel.IsCancelled()) continue;
        if (answers_[i].answers == 0) scheduler_.RunQueued();
        Compare(answers_[i]);
      }
    }
  }
};

TEST_F(RowCacheRandomTest, AnswersAreThoseOfTheModel) {
  Serve();
  RunSeed(1);
  EXPECT_GT(metrics_.Text().find("result=\"hit\""), 0u);
}

TEST_F(RowCacheRandomTest, AlsoWithAlmostNoMemory) {
  Serve({.memory_bytes = 4000});
  RunSeed(2);
}

TEST_F(RowCacheRandomTest, AlsoWithoutBatches) {
  Serve({}, /*batches=*/false);
  RunSeed(3);
}

TEST_F(RowCacheRandomTest, AlsoIfRunsFailNowAndThen) {
  std::mt19937 random(4);
  run_ = [&](const InferRequest& request, ResponseCallback done) {
    if (random() % 8 == 0) return AnswerError(done, absl::UnavailableError("try again"));
    if (random() % 8 == 0) return AnswerError(done, absl::InternalError("no"));
    done(Compute(request));
  };
  Serve();
  RandomRequests requests(5);
  size_t failed = 0;
  for (int step = 0; step < 500 && !HasFailure(); ++step) {
    const size_t before = answers_.size();
    for (int i = requests.Below(4); i >= 0; --i) Send(requests.Next(Rows, Texts));
    scheduler_.RunQueued();
    for (size_t i = before; i < answers_.size(); ++i) {
      ASSERT_EQ(answers_[i].answers, 1);
      if (answers_[i].status.ok()) {
        Compare(answers_[i]);
      } else {
        ++failed;
      }
    }
  }
  EXPECT_GT(failed, 0u);
  EXPECT_LT(failed, answers_.size() / 2);
}

}  // namespace
}  // namespace penstock::cache
