// SPDX-License-Identifier: Apache-2.0
#include "observe/access_line.h"

#include <gtest/gtest.h>

#include <memory>

#include "access/caller.h"
#include "observe/call_fake.h"

namespace penstock {
namespace {

using std::chrono::microseconds;

std::string Line(const FakeEndedCall& call, LogFormat format = LogFormat::kText) {
  std::string line;
  AppendAccessLine(line, format, call, std::chrono::system_clock::time_point());
  return line;
}

TEST(AccessLineTest, AGrpcCallHasItsMethodAndCode) {
  FakeEndedCall call("10.0.0.1:77");
  call.record().code = StatusCode::kNotFound;
  call.record().bytes_in = 12;
  call.record().error = "no such model";
  EXPECT_EQ(Line(call),
            "1970-01-01T00:00:00.000Z access  request_id=1f client=10.0.0.1:77 protocol=grpc "
            "method=/t.T/Do code=NOT_FOUND bytes_in=12 bytes_out=0 total_us=250 "
            "error=\"no such model\"\n");
}

TEST(AccessLineTest, AnHttpCallHasItsPathAndStatus) {
  FakeEndedCall call("10.0.0.1:77");
  call.head().path = "/v1/models/m";
  call.head().method = "GET";
  call.record().http_status = 200;
  call.record().bytes_out = 7;
  call.head().caller = std::make_shared<access::Caller>("ci");
  EXPECT_EQ(Line(call),
            "1970-01-01T00:00:00.000Z access  request_id=1f client=10.0.0.1:77 caller=ci "
            "protocol=http/2 method=GET path=/v1/models/m code=200 bytes_in=0 bytes_out=7 "
            "total_us=250\n");
}

TEST(AccessLineTest, AnInferenceHasItsModelAndStages) {
  FakeEndedCall call("10.0.0.1:77");
  CallDetails& details = call.record().MakeDetails();
  details.model = "m";
  details.version = 3;
  details.label = "stable";
  details.arm = "b";
  const SteadyTime start = call.start();
  details.times = {.begun = start + microseconds(10),
                   .run_start = start + microseconds(60),
                   .run_end = start + microseconds(160),
                   .answered = start + microseconds(180),
                   .queued = microseconds(30),
                   .batch_requests = 3,
                   .batch_rows = 5,
                   .batch = 0x1e,
                   .steps_queued = microseconds(44)};
  EXPECT_EQ(Line(call, LogFormat::kJson),
            R"({"time":"1970-01-01T00:00:00.000Z","level":"access","request_id":"1f",)"
            R"("client":"10.0.0.1:77","protocol":"grpc","method":"/t.T/Do","code":"OK",)"
            R"("model":"m","version":3,"label":"stable","arm":"b","bytes_in":0,"bytes_out":0,)"
            R"("decode_us":20,"queue_us":30,"steps_queue_us":44,"run_us":100,)"
            R"("batch":"1e","batch_requests":3,"batch_rows":5,"encode_us":20,"write_us":70,)"
            "\"total_us\":250}\n");
}

TEST(AccessLineTest, NamesOfClientsCannotForgeALineOrAField) {
  FakeEndedCall call("10.0.0.1:77");
  call.head().path = "/x code=OK\nforged";
  call.record().MakeDetails().model = "a\"b\\ \x7F\xFF";
  const std::string text = Line(call);
  EXPECT_NE(text.find(R"(method="/x code=OK\nforged")"), std::string::npos) << text;
  EXPECT_NE(text.find("model=\"a\\\"b\\\\ \\u007f\xEF\xBF\xBD\""), std::string::npos) << text;
  EXPECT_EQ(text.find('\n'), text.size() - 1);
  const std::string json = Line(call, LogFormat::kJson);
  EXPECT_EQ(json.find('\n'), json.size() - 1);
}

TEST(AccessLineTest, LineSeparatorsAndBidirectionalControlsAreEscaped) {
  FakeEndedCall call("10.0.0.1:77");
  call.record().MakeDetails().model = "a\u0085b\u2028c\u202Ed\u2067e";
  EXPECT_NE(Line(call).find("model=\"a\\u0085b\\u2028c\\u202ed\\u2067e\" "), std::string::npos)
      << Line(call);
}

TEST(AccessLineTest, LongTextIsCut) {
  FakeEndedCall call("10.0.0.1:77");
  const std::string path(100'000, 'p');
  call.head().path = path;
  EXPECT_LT(Line(call).size(), 1000u);
}

TEST(AccessLineTest, ACallWithoutAHeadHasNoTime) {
  FakeEndedCall call("10.0.0.1:77");
  std::string line;
  call.record().ended = {};
  AppendAccessLine(line, LogFormat::kText, call, std::chrono::system_clock::time_point());
  EXPECT_EQ(line.find("total_us"), std::string::npos);
}

}  // namespace
}  // namespace penstock
