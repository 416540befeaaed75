// SPDX-License-Identifier: Apache-2.0
#include "request_log/request_logs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/encoding/crc32c.h"
#include "base/os/test_folder.h"
#include "request_log/log_file.h"
#include "serving/predict.pb.h"
#include "serving/prediction_log.pb.h"

namespace penstock {
namespace {

using tensorflow::serving::PredictionLog;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
namespace fs = std::filesystem;

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The records of a TFRecord file, whose checksums must be right.
std::vector<PredictionLog> Records(const std::string& path) {
  const std::string bytes = ReadAll(path);
  std::vector<PredictionLog> records;
  const auto sum_at = [&](size_t at) {
    uint32_t sum = 0;
    std::memcpy(&sum, bytes.data() + at, sizeof(sum));
    return sum;
  };
  for (size_t at = 0; at < bytes.size();) {
    uint64_t size = 0;
    std::memcpy(&size, bytes.data() + at, sizeof(size));
    const std::string_view data = std::string_view(bytes).substr(at + 12, size);
    EXPECT_EQ(sum_at(at + 8), MaskedCrc32c(std::string_view(bytes).substr(at, 8)));
    EXPECT_EQ(sum_at(at + 12 + size), MaskedCrc32c(data));
    EXPECT_TRUE(records.emplace_back().ParseFromString(std::string(data)));
    at += 16 + size;
  }
  return records;
}

class RequestLogsTest : public testing::Test {
 protected:
  RequestLogs& logs() {
    if (logs_ == nullptr) logs_ = std::make_unique<RequestLogs>(options_, metrics_);
    return *logs_;
  }
  void Log(const RequestLogRef& log, std::string_view request, std::string_view response,
           AnsweredRequest::Kind kind = AnsweredRequest::Kind::kPredict, size_t parts = 1) {
    ByteChain request_bytes;
    request_bytes.AppendCopy(request);
    std::vector<ByteChain> responses(parts);
    for (ByteChain& each : responses) each.AppendCopy(response);
    log->Append({kind, id_, "sig", request_bytes, responses});
  }
  // Of the directory, sorted.
  std::vector<std::string> Files() const {
    std::vector<std::string> files;
    for (const auto& entry : fs::directory_iterator(folder_.path()))
      files.push_back(entry.path().string());
    std::ranges::sort(files);
    return files;
  }

  const TestFolder folder_;
  RequestLogsOptions options_ = {.directory = folder_.path()};
  MetricsRegistry metrics_;
  const core::ServableId id_ = {"m", {3}};
  std::unique_ptr<RequestLogs> logs_;
};

TEST_F(RequestLogsTest, WritesPredictionLogsOfTheModelsThatHaveALog) {
  EXPECT_FALSE(logs().any());
  logs().Set({{"m", {.filename_prefix = "p", .sampling_rate = 1}}});
  EXPECT_TRUE(logs().any());
  EXPECT_EQ(logs().Sample("other"), nullptr);
  const RequestLogRef log = logs().Sample("m");
  ASSERT_NE(log, nullptr);
  const std::string large(100'000, 'x');
  Log(log, "ask", "answer");
  Log(log, "ask", large);
  Log(log, "", "part", AnsweredRequest::Kind::kPredictStreamed, 3);
  logs().Stop();
  ASSERT_THAT(Files(), ElementsAre(testing::AllOf(HasSubstr("/p-"), EndsWith(".tfrecord"))));
  struct stat facts;
  ASSERT_EQ(stat(Files()[0].c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600U);
  const std::vector<PredictionLog> records = Records(Files()[0]);
  ASSERT_THAT(records, SizeIs(3));
  const PredictionLog& first = records[0];
  EXPECT_EQ(first.log_metadata().model_spec().name(), "m");
  EXPECT_EQ(first.log_metadata().model_spec().version().value(), 3);
  EXPECT_EQ(first.log_metadata().model_spec().signature_name(), "sig");
  EXPECT_EQ(first.log_metadata().sampling_config().sampling_rate(), 1);
  EXPECT_GT(first.log_metadata().timestamp_secs(), 1'700'000'000);
  EXPECT_EQ(first.predict_log().request(), "ask");
  EXPECT_EQ(first.predict_log().response(), "answer");
  // Small records come first; their order among the large ones does not matter.
  EXPECT_THAT(records[1].predict_streamed_log().response(), ElementsAre("part", "part", "part"));
  EXPECT_EQ(records[2].predict_log().response(), large);
  EXPECT_THAT(metrics_.Text(),
              HasSubstr("penstock_request_log_records_total{filename_prefix=\"p\"} 3\n"));
}

TEST_F(RequestLogsTest, ALargeRecordOfManyPiecesIsWrittenWhole) {
  logs().Set({{"m", {.filename_prefix = "p", .sampling_rate = 1}}});
  const std::string part(1000, 'x');
  Log(logs().Sample("m"), "ask", part, AnsweredRequest::Kind::kPredictStreamed, 200);
  logs().Stop();
  const std::vector<PredictionLog> records = Records(Files().at(0));
  ASSERT_THAT(records, SizeIs(1));
  EXPECT_THAT(records[0].predict_streamed_log().response(),
              testing::AllOf(SizeIs(200), testing::Each(part)));
  const auto bytes = fs::file_size(Files()[0]);
  EXPECT_THAT(metrics_.Text(),
              HasSubstr("log_bytes_total{filename_prefix=\"p\"} " + std::to_string(bytes) + "\n"));
}

TEST_F(RequestLogsTest, SamplesAPartOfTheRequests) {
  logs().Set({{"half", {.filename_prefix = "p", .sampling_rate = 0.5}},
              {"none", {.filename_prefix = "p", .sampling_rate = 0}}});
  int sampled = 0;
  for (int i = 0; i < 10'000; ++i) {
    if (logs().Sample("half") != nullptr) ++sampled;
    EXPECT_EQ(logs().Sample("none"), nullptr);
  }
  EXPECT_GT(sampled, 4500);
  EXPECT_LT(sampled, 5500);
}

TEST_F(RequestLogsTest, DropsAndCountsWhatDoesNotFit) {
  options_.queue_bytes_max = 4000;
  logs().Set({{"m", {.filename_prefix = "p", .sampling_rate = 1}}});
  const RequestLogRef log = logs().Sample("m");
  Log(log, "", std::string(1001, 'x'));  // over a quarter of the queue
  for (int i = 0; i < 20; ++i) Log(log, "", std::string(900, 'x'));
  logs().Stop();
  const std::string text = metrics_.Text();
  EXPECT_THAT(text, HasSubstr("dropped_total{filename_prefix=\"p\",reason=\"too_large\"} 1\n"));
  EXPECT_THAT(text, testing::Not(HasSubstr("reason=\"queue_full\"} 0\n")));
  EXPECT_FALSE(Files().empty());
}

TEST_F(RequestLogsTest, ADirectoryThatIsGoneCostsOnlyTheRecords) {
  logs().Set({{"m", {.filename_prefix = "p", .sampling_rate = 1}}});
  fs::remove(folder_.path());
  Log(logs().Sample("m"), "ask", "answer");
  logs().Stop();
  EXPECT_THAT(metrics_.Text(),
              HasSubstr("dropped_total{filename_prefix=\"p\",reason=\"write_failed\"} 1\n"));
  fs::create_directory(folder_.path());
}

TEST_F(RequestLogsTest, AModelWithoutItsLogEndsTheFile) {
  logs().Set({{"m", {.filename_prefix = "p", .sampling_rate = 1}}});
  Log(logs().Sample("m"), "ask", "answer");
  logs().Set({});
  EXPECT_FALSE(logs().any());
  EXPECT_EQ(logs().Sample("m"), nullptr);
  logs().Stop();
  ASSERT_THAT(Files(), SizeIs(1));
  EXPECT_THAT(Records(Files()[0]), SizeIs(1));
}

TEST_F(RequestLogsTest, JsonLinesHoldTheMessages) {
  logs().Set(
      {{"m",
        {.filename_prefix = "p", .format = RequestLogFormat::kJsonLines, .sampling_rate = 1}}});
  tensorflow::serving::PredictRequest request;
  request.mutable_model_spec()->set_name("m");
  (*request.mutable_inputs())["x"].add_float_val(1.5);
  tensorflow::serving::PredictResponse response;
  (*response.mutable_outputs())["y"].add_string_val("\xff");
  Log(logs().Sample("m"), request.SerializeAsString(), response.SerializeAsString());
  Log(logs().Sample("m"), "no message", "none");
  logs().Stop();
  ASSERT_THAT(Files(), ElementsAre(EndsWith(".jsonl")));
  const std::string text = ReadAll(Files()[0]);
  EXPECT_EQ(std::ranges::count(text, '\n'), 1);
  EXPECT_THAT(text, HasSubstr("{\"log_metadata\":{\"model_spec\":{\"name\":\"m\""));
  EXPECT_THAT(text, HasSubstr("\"request\":{\"model_spec\":{\"name\":\"m\"},\"inputs\":{\"x\":"
                              "{\"float_val\":[1.5]}}},\"response\":{\"outputs\":{\"y\":"));
  EXPECT_THAT(metrics_.Text(), HasSubstr("reason=\"write_failed\"} 1\n"));
}

TEST_F(RequestLogsTest, FilesEndBySizeAndByTime) {
  FakeClock clock;
  options_.file_bytes_max = 10;
  options_.file_time_max = std::chrono::hours(1);
  LogFile file(options_, "p", RequestLogFormat::kTfRecord, clock);
  const auto write = [&file](std::string_view piece) { return file.Write({&piece, 1}); };
  ASSERT_TRUE(write("12345").ok());
  ASSERT_TRUE(file.RotateIfDue().ok());
  EXPECT_THAT(Files(), ElementsAre(EndsWith(".tfrecord.open")));
  ASSERT_TRUE(write("67890").ok());
  ASSERT_TRUE(file.RotateIfDue().ok());
  EXPECT_THAT(Files(), ElementsAre(EndsWith(".tfrecord")));
  EXPECT_EQ(ReadAll(Files()[0]), "1234567890");
  EXPECT_EQ(file.rotation_due(), kNoDeadline);
  ASSERT_TRUE(write("1").ok());
  EXPECT_EQ(file.rotation_due(), clock.Now() + std::chrono::hours(1));
  clock.Advance(std::chrono::hours(1));
  ASSERT_TRUE(file.RotateIfDue().ok());
  EXPECT_THAT(Files(), testing::Each(EndsWith(".tfrecord")));
  EXPECT_THAT(Files(), SizeIs(2));
}

TEST_F(RequestLogsTest, AFullDiskLeavesNoEmptyFiles) {
  const RequestLogsOptions options{.directory = folder_.path()};
  LogFile file(options, "p", RequestLogFormat::kJsonLines, Clock::Real());
  const std::string_view first[] = {"first\n"};
  const std::string big(10'000, 'x');
  const std::string_view too_big[] = {"second ", big};
  rlimit before;
  getrlimit(RLIMIT_FSIZE, &before);
  const auto ignored = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{1000, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  EXPECT_FALSE(file.Write(too_big).ok());
  EXPECT_FALSE(file.Write(too_big).ok());
  EXPECT_TRUE(file.Write(first).ok());
  EXPECT_FALSE(file.Write(too_big).ok());
  EXPECT_TRUE(file.Write(first).ok());
  EXPECT_TRUE(file.Close().ok());
  EXPECT_FALSE(file.Write(too_big).ok());
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, ignored);
  EXPECT_TRUE(file.Close().ok());
  ASSERT_THAT(Files(), SizeIs(1));
  EXPECT_EQ(ReadAll(Files()[0]), "first\nfirst\n");
}

TEST_F(RequestLogsTest, AFileThatWasRemovedIsMadeAnew) {
  const RequestLogsOptions options{.directory = folder_.path()};
  LogFile file(options, "p", RequestLogFormat::kJsonLines, Clock::Real());
  const std::string_view record[] = {"a\n"};
  EXPECT_TRUE(file.Write(record).ok());
  fs::remove(Files().at(0));
  EXPECT_TRUE(file.Write(record).ok());
  EXPECT_TRUE(file.Close().ok());
  ASSERT_THAT(Files(), SizeIs(1));
  EXPECT_EQ(ReadAll(Files()[0]), "a\n");
}

TEST_F(RequestLogsTest, TheDirectoryIsMadeOrRefused) {
  const std::string inner = std::string(folder_.path()) + "/new";
  EXPECT_TRUE(RequestLogs({.directory = inner}, metrics_).CheckDirectory().ok());
  EXPECT_TRUE(fs::is_directory(inner));
  const Status status = RequestLogs({.directory = inner + "/a/b"}, metrics_).CheckDirectory();
  EXPECT_THAT(std::string(MessageOf(status)), HasSubstr("--request_log_directory="));
  EXPECT_TRUE(RequestLogs({}, metrics_).CheckDirectory().ok());
  const std::string file = inner + "/file";
  std::ofstream(file) << "text";
  EXPECT_THAT(std::string(MessageOf(RequestLogs({.directory = file}, metrics_).CheckDirectory())),
              HasSubstr("it is a file, not a directory"));
}

}  // namespace
}  // namespace penstock
