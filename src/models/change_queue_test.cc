// SPDX-License-Identifier: Apache-2.0
#include "models/change_queue.h"

#include <gtest/gtest.h>

#include <utility>

namespace penstock {
namespace {

using Kind = ModelChange::Kind;

// Changes are told apart by their labels, "a1" of the model "a"; "*" is a whole list.
class ChangeQueueTest : public testing::Test {
 protected:
  void Add(const std::string& what, Kind kind = Kind::kPut, SteadyTime deadline = kNoDeadline) {
    const auto done = [this, what](const Status& status) {
      answers_ += what + ":" + std::string(StatusCodeName(status.code())) + " ";
    };
    const auto is_wanted = [this, what] { return what != gone_; };
    ChangeRequest request{
        .change = ModelListChange(), .deadline = deadline, .is_wanted = is_wanted, .done = done};
    if (what != "*") {
      request.change = ModelChange{
          .kind = kind, .model = what.substr(0, 1), .config = "", .label = what, .version = {}};
    }
    queue_.Add(std::move(request));
  }
  // All whose turn it is, while the models in `busy` have changes pending.
  std::string Take(const std::string& busy = "") {
    std::string taken;
    const auto is_busy = [&](const std::string& model) { return busy.find(model) != busy.npos; };
    while (const auto next = queue_.TakeNext(is_busy)) {
      const auto* const change = std::get_if<ModelChange>(&next->change);
      taken += (change == nullptr ? "*" : change->label) + " ";
    }
    return taken;
  }

  ChangeQueue queue_;
  std::string gone_;
  std::string answers_;
};

TEST_F(ChangeQueueTest, OneAfterTheOther) {
  for (const char* what : {"a1", "b1", "*", "a2", "*", "b2"}) Add(what);
  EXPECT_EQ(Take(), "a1 b1 * a2 * b2 ");
  EXPECT_EQ(queue_.size(), 0U);
}

TEST_F(ChangeQueueTest, ABusyModelHoldsUpWhatIsAboutIt) {
  for (const char* what : {"a1", "b1", "a2", "c1", "*", "d1"}) Add(what);
  EXPECT_EQ(Take("a"), "b1 c1 ");  // the list is about "a" too, and "d1" came after the list
  EXPECT_EQ(Take("ad"), "");
  EXPECT_EQ(Take("d"), "a1 a2 * ");
  EXPECT_EQ(Take(), "d1 ");
}

TEST_F(ChangeQueueTest, UnwantedModelsAreToldOf) {
  Add("a1", Kind::kPut);
  Add("b1", Kind::kRemove);
  Add("*");
  Add("c1", Kind::kUnload);
  EXPECT_FALSE(queue_.Unwants("a"));
  EXPECT_TRUE(queue_.Unwants("b"));
  EXPECT_TRUE(queue_.Unwants("c"));
}

TEST_F(ChangeQueueTest, WhoHasGoneOrIsLateIsNotServed) {
  const SteadyTime now = Clock::Real().Now();
  Add("a1");
  Add("a2");
  Add("*", Kind::kPut, now);
  Add("a3", Kind::kPut, now + std::chrono::seconds(1));
  gone_ = "a1";
  queue_.AnswerGone(now);
  EXPECT_EQ(answers_, "a1:CANCELLED *:DEADLINE_EXCEEDED ");
  EXPECT_EQ(Take("a"), "");
  queue_.AnswerAll(absl::UnavailableError(""));
  EXPECT_EQ(answers_, "a1:CANCELLED *:DEADLINE_EXCEEDED a2:UNAVAILABLE a3:UNAVAILABLE ");
}

}  // namespace
}  // namespace penstock
