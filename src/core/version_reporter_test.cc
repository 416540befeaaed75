// SPDX-License-Identifier: Apache-2.0
#include "core/version_reporter.h"

#include <gtest/gtest.h>

namespace penstock::core {
namespace {

// Records reports as text: "m:1,2R of 3" is the main version 1 and the reserve 2, for generation 3.
// One thread at a time.
class RecordingTarget final : public AspiredTarget {
 public:
  void Report(std::string_view model, SourceReport report, uint64_t generation) override {
    ++count_;
    if (report.incomplete) AddIncomplete(model, *report.incomplete, generation);
    if (report.versions) AddVersions(model, *report.versions, generation);
    if (!report.status) return;
    Add(fmt::format("{} {}", model, report.status->ok() ? "ok" : MessageOf(*report.status)),
        generation);
  }
  // Returns all reports since the last call.
  std::string Take() { return std::exchange(reports_, ""); }
  // How many reports there were since the last call.
  int TakeCount() { return std::exchange(count_, 0); }

 private:
  void AddVersions(std::string_view model, const std::vector<AspiredVersion>& versions,
                   uint64_t generation) {
    std::string text = fmt::format("{}:", model);
    for (const AspiredVersion& version : versions) {
      text += fmt::format("{}{}{}{}", text.ends_with(':') ? "" : ",", version.version.value,
                          version.role == VersionRole::kReserve ? "R" : "",
                          version.loader.ok() ? "" : "!");
    }
    Add(text, generation);
  }
  void AddIncomplete(std::string_view model, const IncompleteVersions& versions,
                     uint64_t generation) {
    std::string text = fmt::format("{} lacks", model);
    for (const auto& [version, reason] : versions)
      text += fmt::format(" {} ({})", version.value, reason);
    Add(text, generation);
  }
  void Add(const std::string& text, uint64_t generation) {
    reports_ += (reports_.empty() ? "" : "; ") + text +
                (generation == 0 ? "" : fmt::format(" of {}", generation));
  }
  std::string reports_;
  int count_ = 0;
};

class VersionReporterTest : public testing::Test {
 protected:
  static SourceModel Model(std::string name, uint64_t generation = 0, std::string path = "/p") {
    return {std::move(name), std::move(path), {}, generation, {}};
  }
  static ScanResult Found(std::initializer_list<int64_t> versions, uint64_t revision = 1) {
    ScanResult result;
    for (const int64_t version : versions)
      result.wanted[{version}] = {.path = fmt::format("/p/{}", version), .revision = revision};
    return result;
  }
  static ScanResult Failed(std::string message) {
    return {.can_list = false,
            .wanted = {},
            .incomplete = {},
            .status = absl::NotFoundError(std::move(message))};
  }
  std::string Report(const ScanResult& result) {
    return ReportFor(reporter_.BeginScan("m"), result);
  }
  std::string ReportFor(const VersionReporter::Ticket& ticket, const ScanResult& result) {
    reporter_.Report(
        "m", ticket, result,
        [this](VersionNumber, const FoundVersion&) -> StatusOr<std::unique_ptr<Loader>> {
          return loader_error_;
        });
    return target_.Take();
  }

  const Status loader_error_ = absl::NotFoundError("none");  // so each version is shown with "!"
  RecordingTarget target_;
  VersionReporter reporter_{target_, /*keeps_last_versions=*/false};
};

TEST_F(VersionReporterTest, ReportsOnlyChanges) {
  reporter_.SetModels({Model("m")});
  EXPECT_EQ(Report(Found({1, 2})), "m:1!,2!");
  EXPECT_EQ(Report(Found({1, 2})), "");
  EXPECT_EQ(Report(Found({1, 2}, /*revision=*/2)), "m:1!,2!");
  ScanResult reserve = Found({1, 2}, 2);
  reserve.wanted.at({2}).role = VersionRole::kReserve;
  EXPECT_EQ(Report(reserve), "m:1!,2R!");
  EXPECT_EQ(Report(Found({})), "m:");
  EXPECT_EQ(Report(Found({})), "");
}

TEST_F(VersionReporterTest, OneReportHasAllThatAScanHasFound) {
  reporter_.SetModels({Model("m")});
  ScanResult incomplete = Found({1});
  incomplete.incomplete = {{{2}, "no files"}};
  incomplete.status = absl::FailedPreconditionError("2 waits");
  EXPECT_EQ(Report(incomplete), "m lacks 2 (no files); m:1!; m 2 waits");
  EXPECT_EQ(target_.TakeCount(), 1);
  EXPECT_EQ(Report(incomplete), "");
  EXPECT_EQ(target_.TakeCount(), 0);
  EXPECT_EQ(Report(Found({2})), "m lacks; m:2!; m ok");
  EXPECT_EQ(target_.TakeCount(), 1);
}

TEST_F(VersionReporterTest, ErrorKeepsTheVersions) {
  reporter_.SetModels({Model("m")});
  EXPECT_EQ(Report(Failed("gone")), "m gone");
  EXPECT_FALSE(reporter_.HasListed("m"));
  EXPECT_EQ(Report(Found({1})), "m:1!; m ok");
  EXPECT_TRUE(reporter_.HasListed("m"));
  EXPECT_EQ(Report(Failed("gone")), "m gone");
  EXPECT_EQ(reporter_.versions("m").size(), 1U);
  EXPECT_EQ(Report(Found({1})), "m ok");
}

TEST_F(VersionReporterTest, EmptyListIsWithheldWhileVersionsAreIncomplete) {
  reporter_.SetModels({Model("m")});
  EXPECT_EQ(Report(Found({1})), "m:1!");
  ScanResult waiting = Found({});
  waiting.incomplete = {{{2}, "no files"}};
  EXPECT_EQ(Report(waiting), "m lacks 2 (no files)");
  EXPECT_EQ(reporter_.versions("m").size(), 1U);
  EXPECT_EQ(Report(Found({})), "m lacks; m:");
}

TEST_F(VersionReporterTest, IncompleteVersionsAreReportedFirstAndOnce) {
  reporter_.SetModels({Model("m", 1)});
  ScanResult result = Found({1});
  result.incomplete = {{{2}, "no files"}};
  EXPECT_EQ(Report(result), "m lacks 2 (no files) of 1; m:1! of 1");
  EXPECT_EQ(Report(result), "");
  result.incomplete = {{{2}, "no files"}, {{3}, "no files"}};
  EXPECT_EQ(Report(result), "m lacks 2 (no files) 3 (no files) of 1");
  EXPECT_EQ(Report(Failed("gone")), "m gone of 1");  // nothing is known of the versions
  reporter_.SetModels({Model("m", 2)});              // the target forgets what it knew
  EXPECT_EQ(Report(result), "m lacks 2 (no files) 3 (no files) of 2; m:1! of 2; m ok of 2");
  EXPECT_EQ(Report(Found({1, 2, 3})), "m lacks of 2; m:1!,2!,3! of 2");
}

TEST_F(VersionReporterTest, LastVersionsAreKeptIfAsked) {
  VersionReporter keeping(target_, /*keeps_last_versions=*/true);
  keeping.SetModels({Model("m")});
  const auto report = [&](const ScanResult& result) {
    keeping.Report("m", keeping.BeginScan("m"), result,
                   [this](VersionNumber, const FoundVersion&) -> StatusOr<std::unique_ptr<Loader>> {
                     return loader_error_;
                   });
    return target_.Take();
  };
  EXPECT_EQ(report(Found({})), "m:");  // there is nothing to keep yet
  EXPECT_EQ(report(Found({1})), "m:1!");
  EXPECT_EQ(report(Found({})), "");
  EXPECT_EQ(report(Found({2})), "m:2!");
}

TEST_F(VersionReporterTest, NewConfigurationIsAnsweredAgain) {
  reporter_.SetModels({Model("m", 1)});
  ScanResult broken = Found({1});
  broken.status = absl::NotFoundError("broken");
  EXPECT_EQ(Report(broken), "m:1! of 1; m broken of 1");
  reporter_.SetModels({Model("m", 2)});
  EXPECT_EQ(Report(broken), "m:1! of 2; m broken of 2");
  EXPECT_EQ(Report(broken), "");
}

TEST_F(VersionReporterTest, ScanForAnEarlierConfigurationIsReportedButIsNoAnswer) {
  reporter_.SetModels({Model("m", 1)});
  const VersionReporter::Ticket ticket = reporter_.BeginScan("m");
  reporter_.SetModels({Model("m", 2)});
  EXPECT_EQ(ReportFor(ticket, Found({1})), "m:1! of 1");
  EXPECT_EQ(Report(Found({1})), "m:1! of 2");
  EXPECT_EQ(Report(Found({1})), "");
}

TEST_F(VersionReporterTest, RemovedModelsAreReportedAsEmpty) {
  reporter_.SetModels({Model("m", 1), Model("n", 1)});
  EXPECT_EQ(Report(Found({1})), "m:1! of 1");
  const VersionReporter::Ticket ticket = reporter_.BeginScan("m");
  EXPECT_EQ(reporter_.SetModels({Model("n", 2)}), std::vector<std::string>{"m"});
  EXPECT_EQ(target_.Take(), "m: of 1");
  EXPECT_EQ(ReportFor(ticket, Found({1})), "");
  EXPECT_TRUE(reporter_.versions("m").empty());
}

TEST_F(VersionReporterTest, MovedModelStartsFromNothingButItsErrorIsCleared) {
  reporter_.SetModels({Model("m")});
  EXPECT_EQ(Report(Found({1})), "m:1!");
  EXPECT_EQ(Report(Failed("gone")), "m gone");
  EXPECT_EQ(reporter_.SetModels({Model("m", 0, "/other")}), std::vector<std::string>{"m"});
  EXPECT_TRUE(reporter_.versions("m").empty());
  EXPECT_FALSE(reporter_.HasListed("m"));
  EXPECT_EQ(Report(Found({1})), "m:1!; m ok");
}

TEST_F(VersionReporterTest, ListIsKnownBeforeItsLoadersAreMade) {
  reporter_.SetModels({Model("m")});
  std::string order;
  reporter_.Report(
      "m", reporter_.BeginScan("m"), Found({1}),
      [&](VersionNumber, const FoundVersion&) -> StatusOr<std::unique_ptr<Loader>> {
        order += "loader ";
        return loader_error_;
      },
      [&] { order += fmt::format("{} version; ", reporter_.versions("m").size()); });
  EXPECT_EQ(order, "1 version; loader ");
}

TEST(SourceModelsTest, ListsWithMistakesAreRefused) {
  const auto problem = [](std::vector<SourceModel> models) {
    return std::string(MessageOf(CheckSourceModels(models)));
  };
  EXPECT_EQ(problem({{.name = "m", .base_path = "/p", .selection = {}}}), "");
  EXPECT_EQ(problem({{.name = "", .base_path = "/p", .selection = {}}}),
            "the model with base path \"/p\" has no name");
  EXPECT_EQ(problem({{.name = "m", .base_path = "", .selection = {}}}),
            "the model \"m\" has no base path");
  EXPECT_EQ(problem({{.name = "m", .base_path = "/p", .selection = {}},
                     {.name = "m", .base_path = "/q", .selection = {}}}),
            "the model \"m\" is configured twice");
  EXPECT_NE(problem({{.name = "m", .base_path = "/p", .selection = LatestVersions{0}}}), "");
}

}  // namespace
}  // namespace penstock::core
