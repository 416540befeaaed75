// SPDX-License-Identifier: Apache-2.0
#include "core/demand_queue.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/background_fake.h"

namespace penstock::core {
namespace {

using std::chrono::seconds;
using AnswerLines = std::vector<std::string>;

// A queue for at most 3 requests a model. Records the answers as "REQUEST CODE". One thread.
class DemandQueueTest : public ::testing::Test {
 protected:
  bool Add(const std::string& request, std::optional<VersionNumber> version = std::nullopt,
           Duration timeout = Duration::max(), bool is_wanted = true) {
    const SteadyTime deadline =
        timeout == Duration::max() ? kNoDeadline : background_.Now() + timeout;
    return queue_.Add(version, {.model = "m",
                                .deadline = deadline,
                                .done =
                                    [this, request](const Status& status) {
                                      answers_.push_back(fmt::format(
                                          "{} {}", request, StatusCodeName(status.code())));
                                    },
                                .is_wanted = [is_wanted] { return is_wanted; }});
  }
  // Settles with the same answer for all requests for `version`, and none for the others.
  void Settle(std::optional<VersionNumber> version, const Status& status) {
    queue_.Settle("m", [&](std::optional<VersionNumber> asked, const std::string&) {
      ++questions_;
      return asked == version ? std::optional(status) : std::nullopt;
    });
  }
  // Runs the answers, and returns those that came since the last call.
  AnswerLines Answers() {
    for (Task& call : queue_.TakeCalls()) call();
    return std::exchange(answers_, {});
  }
  // Runs the timers that are due after `time`.
  void Pass(Duration time) {
    background_.Advance(time);
    while (background_.RunDueTimer()) continue;
  }

  VirtualBackground background_;
  std::shared_ptr<int> answering_;  // of the last on_answered
  DemandQueue queue_{
      background_,
      3,
      {.on_deadline = [this](const std::string& model) { queue_.TimeOut(model); },
       .on_answered = [this](const std::shared_ptr<int>& answering) { answering_ = answering; }}};
  AnswerLines answers_;
  int questions_ = 0;
};

TEST_F(DemandQueueTest, SettleAnswersOnlyRequestsThatHaveAnAnswer) {
  Add("first", VersionNumber{1});
  Add("any");
  Add("other", VersionNumber{1});
  Settle(VersionNumber{1}, OkStatus());
  EXPECT_EQ(Answers(), (AnswerLines{"first OK", "other OK"}));
  EXPECT_EQ(questions_, 2);  // one for each version
  EXPECT_TRUE(queue_.HasWaiters("m"));
  Settle(std::nullopt, absl::NotFoundError("no"));
  EXPECT_EQ(Answers(), AnswerLines{"any NOT_FOUND"});
  EXPECT_FALSE(queue_.HasWaiters("m"));
}

TEST_F(DemandQueueTest, RefuseAnswersAllRequests) {
  Add("a");
  Add("b", VersionNumber{1}, seconds(1));
  queue_.Refuse("m", absl::UnavailableError("gone"));
  EXPECT_EQ(Answers(), (AnswerLines{"a UNAVAILABLE", "b UNAVAILABLE"}));
  EXPECT_EQ(background_.timer_count(), 0U);
  queue_.Refuse("unknown", absl::UnavailableError("gone"));
  EXPECT_EQ(Answers(), AnswerLines{});
}

TEST_F(DemandQueueTest, FullQueueRefusesUnlessAClientHasGone) {
  EXPECT_TRUE(Add("a"));
  EXPECT_TRUE(Add("b", std::nullopt, seconds(1), /*is_wanted=*/false));
  EXPECT_TRUE(Add("c"));
  EXPECT_TRUE(Add("d"));  // takes the position of b
  EXPECT_EQ(Answers(), AnswerLines{"b CANCELLED"});
  EXPECT_FALSE(Add("e"));
  EXPECT_EQ(Answers(), AnswerLines{"e UNAVAILABLE"});
}

TEST_F(DemandQueueTest, OneTimerServesAllDeadlinesOfAModel) {
  struct Case {
    Duration passed;
    AnswerLines answers;
    size_t timers;
  };
  Add("late", std::nullopt, seconds(30));
  Add("early", std::nullopt, seconds(10));
  Add("never");
  EXPECT_EQ(background_.timer_count(), 1U);
  const Case cases[] = {{seconds(9), {}, 1},
                        {seconds(1), {"early DEADLINE_EXCEEDED"}, 1},
                        {seconds(19), {}, 1},
                        {seconds(1), {"late DEADLINE_EXCEEDED"}, 0},
                        {seconds(100), {}, 0}};
  for (const Case& expected : cases) {
    Pass(expected.passed);
    EXPECT_EQ(Answers(), expected.answers);
    EXPECT_EQ(background_.timer_count(), expected.timers);
  }
  EXPECT_TRUE(queue_.HasWaiters("m"));
}

TEST_F(DemandQueueTest, ModelIsAnsweringUntilItsAnswersEnd) {
  Add("a");
  Settle(std::nullopt, OkStatus());
  EXPECT_TRUE(queue_.IsAnswering("m"));
  EXPECT_EQ(Answers(), AnswerLines{"a OK"});
  ASSERT_NE(answering_, nullptr);
  EXPECT_TRUE(queue_.IsAnswering("m"));
  DemandQueue::EndAnswers(answering_);
  EXPECT_FALSE(queue_.IsAnswering("m"));
}

TEST_F(DemandQueueTest, ErrorsDoNotMakeTheModelAnswering) {
  Add("a");
  Settle(std::nullopt, absl::NotFoundError("no"));
  EXPECT_FALSE(queue_.IsAnswering("m"));
}

TEST_F(DemandQueueTest, AnswersOfAForgottenModelDoNotCountForItsReplacement) {
  Add("a");
  Settle(std::nullopt, OkStatus());
  queue_.Forget("m");
  EXPECT_FALSE(queue_.IsAnswering("m"));
  Add("b");
  Settle(std::nullopt, OkStatus());
  std::vector<Task> calls = queue_.TakeCalls();
  for (Task& call : calls) call();
  DemandQueue::EndAnswers(answering_);  // those of b
  EXPECT_FALSE(queue_.IsAnswering("m"));
}

}  // namespace
}  // namespace penstock::core
