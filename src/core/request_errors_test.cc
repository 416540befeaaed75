// SPDX-License-Identifier: Apache-2.0
#include "core/request_errors.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/model_record_fake.h"

namespace penstock::core {
namespace {

// A model "m", whose source has reported versions 1 and 2. One thread.
class RequestErrorsTest : public ::testing::Test {
 protected:
  RequestErrorsTest() {
    model_.config.name = "m";
    model_.has_report = true;
    model_.versions.SetAspired(Aspire(FakeVersion(1, plan_), FakeVersion(2, plan_)));
  }
  void Load(int64_t version) {
    LoadFakeVersion(model_, version, plan_);
    model_.has_served = true;
  }
  void Fail(int64_t version) {
    const auto job = model_.versions.StartLoad({version}, 1);
    model_.versions.FailLoad(*job, absl::DataLossError("broken file"));
  }
  Status Why(int64_t version, std::string_view label = "") const {
    return WhyNotReady(model_, VersionNumber{version}, label, /*is_draining=*/false);
  }
  Status WhyAny() const { return WhyNotReady(model_, std::nullopt, "", /*is_draining=*/false); }
  std::optional<Status> Answer(std::optional<VersionNumber> version,
                               bool is_draining = false) const {
    return AnswerFor(model_, version, "", is_draining);
  }

  std::shared_ptr<FakePlan> plan_ = std::make_shared<FakePlan>();
  std::vector<ManagerEvent> events_;
  ModelRecord model_{"m", events_, /*retries_max=*/0};
};

TEST_F(RequestErrorsTest, RequestWaitsUntilItsVersionIsLoadedOrHasFailed) {
  EXPECT_EQ(Answer(std::nullopt), std::nullopt);
  EXPECT_EQ(WhyAny(), absl::UnavailableError("model m is being loaded: try again later"));
  Load(1);
  EXPECT_EQ(Answer(std::nullopt), OkStatus());
  EXPECT_EQ(Answer(VersionNumber{1}), OkStatus());
  EXPECT_EQ(Answer(VersionNumber{2}), std::nullopt);
  Fail(2);
  EXPECT_EQ(Answer(VersionNumber{2}),
            absl::UnavailableError("model m cannot be loaded: broken file"));
}

TEST_F(RequestErrorsTest, RequestWaitsForTheSource) {
  model_.versions.SetAspired({});
  model_.has_report = false;
  EXPECT_EQ(Answer(std::nullopt), std::nullopt);
  model_.has_report = true;
  EXPECT_EQ(Answer(std::nullopt),
            absl::UnavailableError("model m cannot be loaded: it has no version"));
  model_.source_status = absl::FailedPreconditionError("version 3 is not complete");
  EXPECT_EQ(Answer(std::nullopt), std::nullopt);
  EXPECT_EQ(WhyAny(), absl::UnavailableError("model m is being loaded: version 3 is not complete"));
  model_.source_status = absl::NotFoundError("no folder");
  EXPECT_EQ(Answer(std::nullopt), absl::UnavailableError("model m cannot be loaded: no folder"));
}

TEST_F(RequestErrorsTest, DrainingServerAnswersUnlessALoadRuns) {
  EXPECT_EQ(Answer(std::nullopt, /*is_draining=*/true),
            absl::UnavailableError("the server is shutting down"));
  const auto job = model_.versions.StartLoad({1}, 1);
  EXPECT_EQ(Answer(std::nullopt, /*is_draining=*/true), std::nullopt);
}

TEST_F(RequestErrorsTest, ErrorNamesTheVersionsOfTheModel) {
  Load(2);
  model_.is_first_load_over = true;
  EXPECT_EQ(Why(7), absl::NotFoundError("Servable not found for request: Specific(m, 7): the "
                                        "model has versions 1, 2"));
  EXPECT_EQ(Why(7, "stable"), absl::UnavailableError("label \"stable\" of model m waits for "
                                                     "version 7: the model has versions 1, 2"));
  EXPECT_EQ(Why(1), absl::NotFoundError(
                        "Servable not found for request: Specific(m, 1): it is being loaded"));
  model_.source_status = absl::UnavailableError("disk is gone");
  EXPECT_EQ(Why(7), absl::NotFoundError("Servable not found for request: Specific(m, 7): the "
                                        "model has versions 1, 2; disk is gone"));
}

TEST_F(RequestErrorsTest, ErrorForAnIncompleteVersionSaysWhatItLacks) {
  Load(2);
  model_.is_first_load_over = true;
  model_.incomplete = {{{3}, "it has no files"}};
  EXPECT_EQ(Why(3), absl::NotFoundError(
                        "Servable not found for request: Specific(m, 3): the model has versions "
                        "1, 2; version 3 is there, but it is not complete: it has no files"));
  EXPECT_EQ(Why(3, "stable"),
            absl::UnavailableError(
                "label \"stable\" of model m waits for version 3: the model has versions 1, 2; "
                "version 3 is there, but it is not complete: it has no files"));
  EXPECT_EQ(Why(4), absl::NotFoundError("Servable not found for request: Specific(m, 4): the "
                                        "model has versions 1, 2"));
}

TEST_F(RequestErrorsTest, UnknownLabelNamesTheLabelsOfTheModel) {
  EXPECT_EQ(UnknownLabelError("x", {}, /*is_configured=*/false),
            absl::InvalidArgumentError("Unrecognized servable version label: x"));
  EXPECT_EQ(
      UnknownLabelError("x", {}, /*is_configured=*/true),
      absl::InvalidArgumentError("Unrecognized servable version label: x: the model has no label"));
  EXPECT_EQ(UnknownLabelError("x", {{"stable", {}}}, /*is_configured=*/true),
            absl::InvalidArgumentError(
                "Unrecognized servable version label: x: the model has label \"stable\""));
}

}  // namespace
}  // namespace penstock::core
