// SPDX-License-Identifier: Apache-2.0
// Requests of a model with a cache, through the engine and its queues.
#include "cache/row_cache.h"

#include <gmock/gmock.h>

#include <chrono>

#include "cache/row_cache_fixture.h"

namespace penstock::cache {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST_F(RowCacheTest, AHitNeitherRunsNorWaits) {
  Serve();
  const Answered& first = Ask(Request({{1, 2}}));
  EXPECT_EQ(first.cache, CacheOutcome::kMiss);
  const Answered& second = Send(Request({{1, 2}}));
  EXPECT_EQ(second.answers, 1) << "it waits";
  EXPECT_EQ(second.cache, CacheOutcome::kHit);
  EXPECT_THAT(seen_, ElementsAre(1));
  EXPECT_THAT(second.Floats("a"), ElementsAre(6));
  EXPECT_EQ(second.Find("b")->strings()[0].view(), first.Find("b")->strings()[0].view());
  EXPECT_EQ(second.Find("c")->shape(), (Shape{1, 2}));
}

TEST_F(RowCacheTest, OnlyMissingRowsRun) {
  Serve();
  Ask(Request({{1}, {2}}));
  const Answered& some = Ask(Request({{3}, {2}, {4}, {1}}));
  EXPECT_EQ(some.cache, CacheOutcome::kPartial);
  EXPECT_THAT(seen_, ElementsAre(2, 2));
  EXPECT_THAT(some.Floats("a"), ElementsAre(6, 4, 8, 2));
  EXPECT_EQ(some.Find("b")->strings()[2].view(), "4.000000,");
}

TEST_F(RowCacheTest, MissesOfDifferentRequestsRunTogether) {
  Serve();
  Ask(Request({{1}, {2}}));
  seen_.clear();
  const Answered& a = Send(Request({{1}, {3}}));
  const Answered& b = Send(Request({{4}, {2}, {5}}));
  scheduler_.RunQueued();
  EXPECT_THAT(seen_, ElementsAre(3));
  EXPECT_THAT(a.Floats("a"), ElementsAre(2, 6));
  EXPECT_THAT(b.Floats("a"), ElementsAre(8, 4, 10));
}

TEST_F(RowCacheTest, EqualMissesRunOnce) {
  Serve();
  Answered& leader = Send(Request({{1}, {2}}));
  const Answered& follower = Send(Request({{2}}));
  const Answered& both = Send(Request({{2}, {3}}));
  EXPECT_EQ(follower.answers, 0);
  scheduler_.RunQueued();
  EXPECT_THAT(seen_, ElementsAre(3)) << "1 and 2 of the first one, and 3";
  EXPECT_THAT(leader.Floats("a"), ElementsAre(2, 4));
  EXPECT_THAT(follower.Floats("a"), ElementsAre(4));
  EXPECT_THAT(both.Floats("a"), ElementsAre(4, 6));
}

TEST_F(RowCacheTest, EqualRowsOfOneRequestRunOnce) {
  Serve();
  const Answered& answered = Ask(Request({{1}, {2}, {1}, {1}}));
  EXPECT_THAT(seen_, ElementsAre(2));
  EXPECT_THAT(answered.Floats("a"), ElementsAre(2, 4, 2, 2));
}

TEST_F(RowCacheTest, AFailureOfTheLeaderDoesNotHarmTheFollowers) {
  int runs = 0;
  run_ = [&](const InferRequest& request, ResponseCallback done) {
    if (++runs == 1) return AnswerError(done, absl::InternalError("broken"));
    done(Compute(request));
  };
  Serve({}, /*batches=*/false);
  const Answered& leader = Send(Request({{1}}));
  const Answered& follower = Send(Request({{1}}));
  const Answered& other = Send(Request({{1}}));
  scheduler_.RunQueued();
  EXPECT_EQ(leader.status.message(), "broken");
  EXPECT_TRUE(follower.status.ok());
  EXPECT_TRUE(other.status.ok());
  EXPECT_THAT(follower.Floats("a"), ElementsAre(2));
  EXPECT_EQ(follower.answers + other.answers + leader.answers, 3);
}

TEST_F(RowCacheTest, ACancelOfTheLeaderDoesNotHarmTheFollowers) {
  Serve();
  Answered& leader = Send(Request({{1}}));
  const Answered& follower = Send(Request({{1}}));
  const Answered& other = Send(Request({{1}}));
  leader.cancel.Cancel();
  EXPECT_EQ(leader.status.code(), StatusCode::kCancelled);
  EXPECT_EQ(follower.answers, 0);
  scheduler_.RunQueued();
  EXPECT_THAT(seen_, ElementsAre(1)) << "they try once more together";
  EXPECT_THAT(follower.Floats("a"), ElementsAre(2));
  EXPECT_THAT(other.Floats("a"), ElementsAre(2));
}

TEST_F(RowCacheTest, ACancelledFollowerDoesNotWait) {
  Serve();
  const Answered& leader = Send(Request({{1}}));
  Answered& follower = Send(Request({{1}}));
  follower.cancel.Cancel();
  EXPECT_EQ(follower.answers, 1);
  EXPECT_EQ(follower.status.code(), StatusCode::kCancelled);
  scheduler_.RunQueued();
  EXPECT_EQ(follower.answers, 1);
  EXPECT_THAT(leader.Floats("a"), ElementsAre(2));
}

TEST_F(RowCacheTest, AFollowerWhoseDeadlinePassesSaysSo) {
  Serve();
  Send(Request({{1}}));
  Answered& follower = Send(Request({{1}}));
  follower.cancel.Cancel(CancelReason::kDeadline);
  EXPECT_EQ(follower.status.code(), StatusCode::kDeadlineExceeded);
  scheduler_.RunQueued();
}

TEST_F(RowCacheTest, ErrorsAreNotKept) {
  bool fails = true;
  run_ = [&](const InferRequest& request, ResponseCallback done) {
    if (fails) return AnswerError(done, absl::InvalidArgumentError("not now"));
    done(Compute(request));
  };
  Serve();
  EXPECT_EQ(Ask(Request({{1}})).status.message(), "not now");
  fails = false;
  EXPECT_THAT(Ask(Request({{1}})).Floats("a"), ElementsAre(2));
}

// GraphPipe's cache: a was cached and b was not, so the answer for a was stored and returned as b.
TEST_F(RowCacheTest, GraphPipeMergedOutputsByTheWrongIndex) {
  Serve();
  Ask(Request({{1}}, {"a"}));
  const Answered& both = Ask(Request({{1}}, {"a", "b"}));
  EXPECT_EQ(both.cache, CacheOutcome::kPartial);
  EXPECT_THAT(both.Floats("a"), ElementsAre(2));
  EXPECT_EQ(both.Find("b")->strings()[0].view(), "1.000000,");
  const Answered& second = Ask(Request({{1}}, {"b"}));
  EXPECT_EQ(second.cache, CacheOutcome::kHit);
  EXPECT_EQ(second.Find("b")->strings()[0].view(), "1.000000,");
  EXPECT_EQ(second.Find("a"), nullptr);
  const Answered& turned = Ask(Request({{1}}, {"b", "a"}));
  EXPECT_EQ(turned.outputs[0].name, "b") << "in the order of the request";
  EXPECT_EQ(turned.outputs[1].name, "a");
}

TEST_F(RowCacheTest, GraphPipeIgnoredTheConfig) {
  Serve();
  InferRequest one = Request({{1}}), two = Request({{1}});
  one.options = {{"config", "1"}};
  two.options = {{"config", "2"}};
  EXPECT_EQ(Ask(one).Find("b")->strings()[0].view(), "config=1;1.000000,");
  const Answered& other = Ask(two);
  EXPECT_EQ(other.cache, CacheOutcome::kMiss);
  EXPECT_EQ(other.Find("b")->strings()[0].view(), "config=2;1.000000,");
  EXPECT_EQ(Ask(one).cache, CacheOutcome::kHit);
}

// And the first type and row shape of an output was that of all later answers.
TEST_F(RowCacheTest, GraphPipeKeptTheFirstShapeOfAnOutput) {
  Serve();
  EXPECT_EQ(Ask(Request({{1}})).Find("c")->shape(), (Shape{1, 1}));
  EXPECT_EQ(Ask(Request({{1, 2, 3}})).Find("c")->shape(), (Shape{1, 3}));
  const Answered& hit = Ask(Request({{1, 2, 3}}));
  EXPECT_EQ(hit.cache, CacheOutcome::kHit);
  EXPECT_EQ(hit.Find("c")->shape(), (Shape{1, 3}));
  EXPECT_EQ(hit.Find("c")->dtype(), DType::kFloat64);
}

TEST_F(RowCacheTest, GraphPipeMissedEachRowOfOtherStrings) {
  Serve();
  const auto request = [](const std::vector<std::vector<float>>& x,
                          const std::vector<std::string>& s) {
    InferRequest made = Request(x);
    made.inputs.push_back({"s", Texts(s)});
    return made;
  };
  Ask(request({{1}, {2}}, {"one", "two"}));
  const Answered& hit = Ask(request({{2}}, {"two"}));
  EXPECT_EQ(hit.cache, CacheOutcome::kHit);
  EXPECT_EQ(hit.Find("b")->strings()[0].view(), "2.000000,two");
  EXPECT_EQ(Ask(request({{2}}, {"one"})).Find("b")->strings()[0].view(), "2.000000,one");
}

TEST_F(RowCacheTest, SignaturesHaveRowsOfTheirOwn) {
  Serve();
  Ask(Request({{1}}));
  InferRequest other = Request({{1}});
  other.signature_name = "other";
  EXPECT_EQ(Ask(other).Find("b")->strings()[0].view(), "other1.000000,");
  InferRequest named = Request({{1}});
  named.signature_name = "serving_default";
  EXPECT_EQ(Ask(named).cache, CacheOutcome::kHit) << "the default signature has a name too";
}

TEST_F(RowCacheTest, ARowMayBeEmpty) {
  Serve();
  const std::vector<std::vector<float>> rows = {{}, {}};
  InferRequest request;
  request.inputs.push_back({"x", Rows(rows)});
  const Answered& answered = Ask(std::move(request));
  EXPECT_THAT(answered.Floats("a"), ElementsAre(0, 0));
  EXPECT_THAT(seen_, ElementsAre(1));
}

TEST_F(RowCacheTest, BypassLeavesTheCacheAlone) {
  Serve();
  const auto bypass = [] {
    InferRequest request = Request({{1}});
    request.cache_use = CacheUse::kBypass;
    return request;
  };
  EXPECT_EQ(Ask(bypass()).cache, CacheOutcome::kNone);
  EXPECT_EQ(Ask(Request({{1}})).cache, CacheOutcome::kMiss) << "nothing was kept";
  Ask(bypass());
  EXPECT_THAT(seen_, ElementsAre(1, 1, 1));
}

TEST_F(RowCacheTest, RefreshRunsAndReplaces) {
  float added = 0;
  run_ = [&](const InferRequest& request, ResponseCallback done) {
    InferResponse response = Compute(request);
    response.outputs[0].tensor.mutable_as<float>()[0] += added;
    done(std::move(response));
  };
  Serve();
  Ask(Request({{1}}));
  added = 100;
  EXPECT_THAT(Ask(Request({{1}})).Floats("a"), ElementsAre(2));
  InferRequest refresh = Request({{1}});
  refresh.cache_use = CacheUse::kRefresh;
  const Answered& refreshed = Ask(std::move(refresh));
  EXPECT_EQ(refreshed.cache, CacheOutcome::kMiss);
  EXPECT_THAT(refreshed.Floats("a"), ElementsAre(102));
  EXPECT_THAT(Ask(Request({{1}})).Floats("a"), ElementsAre(102));
}

TEST_F(RowCacheTest, RowsGetTooOld) {
  Serve({.ttl = std::chrono::seconds(10)});
  Ask(Request({{1}}));
  clock_.Advance(std::chrono::seconds(9));
  EXPECT_EQ(Ask(Request({{1}})).cache, CacheOutcome::kHit);
  clock_.Advance(std::chrono::seconds(1));
  EXPECT_EQ(Ask(Request({{1}})).cache, CacheOutcome::kMiss);
}

TEST_F(RowCacheTest, OnlyTheConfiguredOutputsAreKept) {
  Serve({.outputs = {"a", "c"}});
  Ask(Request({{1}}, {"a"}));
  EXPECT_EQ(Ask(Request({{1}}, {"a"})).cache, CacheOutcome::kHit);
  EXPECT_EQ(Ask(Request({{1}}, {"a", "b"})).cache, CacheOutcome::kNone);
  EXPECT_EQ(Ask(Request({{1}})).cache, CacheOutcome::kNone);
}

TEST_F(RowCacheTest, LargeRequestsAreHashedInASlot) {
  Serve();
  const std::vector<float> wide(20'000, 1);
  const Answered& first = Ask(Request({wide}));
  EXPECT_EQ(first.cache, CacheOutcome::kMiss);
  const Answered& second = Send(Request({wide}));
  EXPECT_EQ(second.answers, 0) << "an event loop must not hash so much";
  scheduler_.RunQueued();
  EXPECT_EQ(second.cache, CacheOutcome::kHit);
  EXPECT_THAT(second.Floats("a"), ElementsAre(40'000));
  EXPECT_THAT(seen_, ElementsAre(1));
}

TEST_F(RowCacheTest, LargeMissesJoinTheBatchThatTakesThemAlong) {
  Serve();
  const std::vector<float> wide(20'000, 1), other(20'000, 2);
  const Answered& a = Send(Request({wide}));
  const Answered& b = Send(Request({other}));
  scheduler_.RunQueued();
  EXPECT_THAT(seen_, ElementsAre(2));
  EXPECT_THAT(a.Floats("a"), ElementsAre(40'000));
  EXPECT_THAT(b.Floats("a"), ElementsAre(80'000));
}

TEST_F(RowCacheTest, ALargeRequestThatIsCancelledLeavesTheQueue) {
  Serve();
  Answered& answered = Send(Request({std::vector<float>(20'000, 1)}));
  answered.cancel.Cancel();
  EXPECT_EQ(answered.status.code(), StatusCode::kCancelled);
  scheduler_.RunQueued();
  EXPECT_EQ(answered.answers, 1);
  EXPECT_THAT(seen_, IsEmpty());
}

TEST_F(RowCacheTest, AModelWithOtherRowsThanPromisedIsLeftAlone) {
  run_ = [](const InferRequest& request, ResponseCallback done) {
    InferResponse response = Compute(request);
    response.outputs[0].tensor = *Tensor::Allocate(DType::kFloat32, {7});
    done(std::move(response));
  };
  Serve({}, /*batches=*/false);
  const Answered& first = Send(Request({{1}}));
  const Answered& follower = Send(Request({{1}}));
  scheduler_.RunQueued();
  EXPECT_TRUE(first.status.ok());
  EXPECT_EQ(first.Find("a")->shape(), (Shape{7})) << "the client gets what the model says";
  EXPECT_EQ(follower.Find("a")->shape(), (Shape{7}));
  EXPECT_EQ(Ask(Request({{1}})).cache, CacheOutcome::kNone);
}

TEST_F(RowCacheTest, RowsOfDifferentShapesAreLeftToTheModel) {
  // c has as many columns as the largest element of the request says.
  run_ = [](const InferRequest& request, ResponseCallback done) {
    InferResponse response = Compute(request);
    const auto x = request.inputs.front().tensor.as<float>();
    const auto width = static_cast<int64_t>(*std::ranges::max_element(x));
    const Shape shape{request.inputs.front().tensor.shape().dim(0), width};
    response.outputs[2].tensor = *Tensor::Allocate(DType::kFloat64, shape);
    std::ranges::fill(response.outputs[2].tensor.mutable_as<double>(), 1.0);
    done(std::move(response));
  };
  Serve({}, /*batches=*/false);
  Ask(Request({{2}}));
  Ask(Request({{3}}));
  const Answered& both = Ask(Request({{2}, {3}}));
  EXPECT_EQ(both.Find("c")->shape(), (Shape{2, 3}));
  Ask(Request({{5}}));
  const Answered& partly = Ask(Request({{5}, {4}}));
  EXPECT_EQ(partly.Find("c")->shape(), (Shape{2, 5}));
}

TEST_F(RowCacheTest, MetricsAndStateShowWhatHappened) {
  Serve();
  Ask(Request({{1}, {2}}, {"a"}));
  Ask(Request({{1}, {3}}, {"a"}));
  Ask(Request({{1}}, {"a"}));
  const std::string text = metrics_.Text();
  const std::string labels = R"({model_name="m",model_version="1")";
  EXPECT_THAT(text, HasSubstr("penstock_row_cache_rows_total" + labels + R"(,result="hit"} 2)"));
  EXPECT_THAT(text, HasSubstr("penstock_row_cache_rows_total" + labels + R"(,result="miss"} 3)"));
  for (const char* result : {"hit", "partial", "miss"}) {
    EXPECT_THAT(text, HasSubstr("penstock_row_cache_requests_total" + labels + ",result=\"" +
                                result + "\"} 1"));
  }
  EXPECT_THAT(text, HasSubstr("penstock_row_cache_memory_entries" + labels + "} 3"));
  EXPECT_THAT(text, HasSubstr("penstock_row_cache_lookup_us_count" + labels + "} 3"));
  EXPECT_THAT(cache_->StateJson(),
              HasSubstr(R"("memory_entries":3,"row_hits":2,"row_disk_hits":0,"row_misses":3)"));
}

}  // namespace
}  // namespace penstock::cache
