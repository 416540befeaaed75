// SPDX-License-Identifier: Apache-2.0
// tests/e2e/test_traces.py decodes the spans of a server with the public package. This tests the
// cases that a server seldom shows.
#include "observe/spans.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "observe/call_fake.h"
#include "observe/span_exporter.h"

namespace penstock {
namespace {

using std::chrono::microseconds;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// One thread.
struct TracedCall final : FakeEndedCall {
  TracedCall() : FakeEndedCall("[::1]:77") { record_.MakeTrace(); }
};

struct Spans {
  size_t count;
  std::string bytes;
};
Spans SpansOf(const TracedCall& call) {
  Spans spans{};
  spans.count = AppendSpans(spans.bytes, call, UnixTimes{});
  return spans;
}

TEST(SpansTest, ACallWithoutAnInferenceIsOneSpan) {
  const TracedCall call;
  const Spans spans = SpansOf(call);
  EXPECT_EQ(spans.count, 1u);
  EXPECT_THAT(spans.bytes, HasSubstr("t.T/Do"));
  EXPECT_THAT(spans.bytes, HasSubstr("[::1]"));
}

TEST(SpansTest, StagesThatTheCallDidNotReachHaveNoSpan) {
  TracedCall call;
  StageTimes& times = call.record().MakeDetails().times;
  times.begun = call.start() + microseconds(10);
  times.queued = microseconds(5);
  times.answered = call.start() + microseconds(50);
  EXPECT_EQ(SpansOf(call).count, 3u) << "the call, receive and write";
  times.run_start = call.start() + microseconds(20);
  times.run_end = call.start() + microseconds(30);
  EXPECT_EQ(SpansOf(call).count, 7u);
}

TEST(SpansTest, ACallTellsTheBatchThatItRanIn) {
  TracedCall call;
  StageTimes& times = call.record().MakeDetails().times;
  EXPECT_THAT(SpansOf(call).bytes, Not(HasSubstr("penstock.batch")));
  times.batch_requests = 3;
  EXPECT_THAT(SpansOf(call).bytes,
              AllOf(HasSubstr("penstock.batch_requests"), HasSubstr("penstock.batch_rows")));
}

TEST(SpansTest, TheStepsOfAnEnsembleAreBelowItsRun) {
  TracedCall call;
  CallDetails& details = call.record().MakeDetails();
  details.times.run_start = call.start() + microseconds(20);
  details.times.run_end = call.start() + microseconds(90);
  const size_t without = SpansOf(call).count;
  const StageTimes times = {.begun = {},
                            .run_start = call.start() + microseconds(40),
                            .run_end = call.start() + microseconds(50),
                            .answered = {},
                            .queued = microseconds(7),
                            .batch_requests = 2,
                            .batch_rows = 3,
                            .batch = 0xabc};
  details.steps = {{.name = "rank", .model = "ranker", .version = 4, .depth = 0, .times = times},
                   {.name = "inner", .model = "small", .version = 1, .depth = 1, .times = times},
                   {.name = "last", .model = "ranker", .version = 4, .depth = 0, .times = times}};
  const Spans spans = SpansOf(call);
  EXPECT_EQ(spans.count, without + 3);
  EXPECT_THAT(spans.bytes, AllOf(HasSubstr("step"), HasSubstr("ranker"), HasSubstr("inner"),
                                 HasSubstr("penstock.queue_us"), HasSubstr("abc")));
}

TEST(SpansTest, ACollectorGetsOnlyUtf8) {
  TracedCall call;
  call.head().path = "/t.T/\xFF";
  call.record().MakeDetails().model = "\xC3";
  const Spans spans = SpansOf(call);
  EXPECT_THAT(spans.bytes, Not(HasSubstr("/t.T/\xFF")));
  EXPECT_THAT(spans.bytes, HasSubstr("\xEF\xBF\xBD"));
}

TEST(SpansTest, NamesOfSpansHaveNoNamesOfModels) {
  TracedCall call;
  call.record().http_status = 200;
  call.head().path = "/v1/models/secret:predict";
  EXPECT_THAT(SpansOf(call).bytes, HasSubstr("POST /v1/models/{model}:predict"));
  call.head().path = "/v1/models/secret:%00";
  EXPECT_THAT(SpansOf(call).bytes, Not(HasSubstr("{model}")));
}

TEST(TraceEndpointTest, HasAPathOfItsOwnOrTheUsualOne) {
  SpanExporterOptions options;
  ASSERT_TRUE(ParseTraceEndpoint("http://localhost:4318", options).ok());
  EXPECT_EQ(options.endpoint.host, "localhost");
  EXPECT_EQ(options.endpoint.port, "4318");
  EXPECT_FALSE(options.endpoint.tls);
  EXPECT_EQ(options.target, "/v1/traces");
  ASSERT_TRUE(ParseTraceEndpoint("https://collector/otlp/v1/traces", options).ok());
  EXPECT_TRUE(options.endpoint.tls);
  EXPECT_EQ(options.target, "/otlp/v1/traces");
  for (const char* wrong : {"localhost:4318", "http://", "http://a:x", "ftp://a", "http://a/b c"})
    EXPECT_FALSE(ParseTraceEndpoint(wrong, options).ok()) << wrong;
}

}  // namespace
}  // namespace penstock
