// SPDX-License-Identifier: Apache-2.0
#include "frontends/tfs_rest/rest_frontend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

#include "backends/builtin/builtin_models.h"
#include "infer/model_fake.h"

namespace penstock::tfs_rest {
namespace {

using ::testing::HasSubstr;

// What a call was answered; lives longer than the call.
struct Answer {
  int count = 0;
  net::HttpResponse response;

  std::string body() const { return std::string(Flatten(response.body).view()); }
  std::string header(std::string_view name) const {
    for (const auto& [field, value] : response.headers) {
      if (field == name) return value;
    }
    return {};
  }
};

// One thread at a time.
class FakeCall final : public net::HttpCall {
 public:
  FakeCall(Answer& answer, std::string_view method, std::string_view path, std::string_view body,
           std::vector<net::Header> headers)
      : answer_(answer), method_(method), path_(path), headers_(std::move(headers)) {
    head_.method = method_;
    head_.path = path_;
    head_.headers = headers_;
    start_ = Clock::Real().Now();
    request_id_ = 0x2A;
    body_ = WholeSlice(CopyToBuffer(body));
  }
  void Respond(net::HttpResponse&& response) override {
    ++answer_.count;
    answer_.response = std::move(response);
  }
  void RespondInParts(net::HttpResponse response, const net::PartsEnding&) override {
    answer_.response = std::move(response);
  }
  void Write(ByteChain part, absl::AnyInvocable<void(bool)> on_accepted) override {
    answer_.response.body.Append(std::move(part));
    on_accepted(true);
  }
  void EndBody() override { ++answer_.count; }
  void CancelFromRun() override { cancel_.Cancel(); }
  void set_deadline(SteadyTime deadline) { deadline_ = deadline; }

 private:
  void Destroy() override { delete this; }

  Answer& answer_;
  const std::string method_, path_;
  const std::vector<net::Header> headers_;
};

void AnswerInTwoParts(const InferRequest&, ResponseCallback done) {
  InferResponse part;
  part.is_last = false;
  done(std::move(part));
  done({});
}

class RestFrontendTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"half", "identity", "empty", "stream"}) {
      core::ModelConfig config;
      config.name = name;
      if (config.name == "half") config.labels = {{"stable", {2}}};
      ASSERT_TRUE(manager_.SetModel(config).ok());
    }
    Aspire("half", "builtin:half_plus_two", {2, 3});
    Aspire("identity", "builtin:identity", {1});
    ASSERT_TRUE(ServeFakeModel(manager_, metrics_, "parts", [] {
                  return std::make_unique<FakeModel>(FakeInfoOfAny(), AnswerInTwoParts);
                }).ok());
    manager_.SetAspired("empty", {});
    ASSERT_TRUE(manager_.WaitUntilIdle());
    frontend_.Register(router_);
  }
  void TearDown() override { scheduler_.RunQueued(); }

  void Aspire(std::string_view model, std::string_view path, std::vector<int64_t> numbers) {
    std::vector<core::AspiredVersion> versions;
    for (const int64_t number : numbers) {
      const core::ServableId id{std::string(model), {number}};
      versions.push_back({{number}, MakeBuiltinLoader(id, path, metrics_)});
    }
    manager_.SetAspired(model, std::move(versions));
  }

  Answer Send(std::string_view method, std::string_view path, std::string_view body = {},
              std::vector<net::Header> headers = {}, SteadyTime deadline = kNoDeadline,
              bool cancelled = false) {
    Answer answer;
    auto* call = new FakeCall(answer, method, path, body, std::move(headers));
    call->set_deadline(deadline);
    if (cancelled) call->cancel().Cancel();
    const net::HttpRoute* const route = router_.FindHttp(path);
    EXPECT_NE(route, nullptr) << path;
    route->handler(net::HttpCallRef(call));
    scheduler_.RunQueued();
    EXPECT_EQ(answer.count, 1) << path;
    return answer;
  }
  Answer Post(std::string_view path, std::string_view body) { return Send("POST", path, body); }

  MetricsRegistry metrics_;
  schedule::Scheduler scheduler_{
      {.queue_requests_max = 4, .threads = schedule::PoolThreads::kNone}};
  core::Manager manager_;
  Engine engine_{{}, manager_, scheduler_};
  RestFrontend frontend_{{}, engine_, metrics_};
  net::Router router_;
};

TEST_F(RestFrontendTest, Predict) {
  for (const char* path :
       {"/v1/models/half:predict", "/V1/models/half:predict", "/v1/models/half/versions/2:predict",
        "/v1/models/half/labels/stable:predict", "/v1/models/h%61lf:predict",
        "/v1/models/half%3Apredict", "/v1/models/half/versions/2%3apredict"}) {
    const Answer answer = Post(path, R"({"instances": [1.0, 2.0, 5.0]})");
    EXPECT_EQ(answer.response.status, 200) << path;
    EXPECT_EQ(answer.response.content_type, "application/json");
    EXPECT_EQ(answer.body(), "{\"predictions\":[2.5,3.0,4.5]}\n");
  }
  EXPECT_EQ(Post("/v1/models/half:predict", R"({"inputs": {"x": 4}})").body(),
            "{\"outputs\":4.0}\n");
  const std::string text = metrics_.Text();
  EXPECT_THAT(text, HasSubstr("request_count{model_name=\"half\",status=\"OK\"} 8\n"));
  EXPECT_THAT(text, HasSubstr("model_name=\"half\",API=\"predict\",entrypoint=\"REST\""));
}

TEST_F(RestFrontendTest, StreamsPartsAsEvents) {
  Aspire("stream", "builtin:stream", {7});
  ASSERT_TRUE(manager_.WaitUntilIdle());
  const auto stream = [this](std::string_view body) {
    return Send("POST", "/v1/models/stream:predict", body, {{"Accept", "text/event-stream"}});
  };
  const Answer answer = stream(R"({"inputs": {"count": 2, "size": 1}})");
  EXPECT_EQ(answer.response.content_type, "text/event-stream");
  EXPECT_EQ(answer.header("cache-control"), "no-cache");
  EXPECT_EQ(answer.header("x-penstock-version"), "7");
  EXPECT_EQ(answer.body(),
            "data: {\"outputs\":{\"data\":[0.0],\"index\":0}}\n\n"
            "data: {\"outputs\":{\"data\":[1.0],\"index\":1}}\n\n"
            "event: end\ndata: {}\n\n");
  EXPECT_EQ(stream(R"({"inputs": {"count": 5, "fail_at": 1}})").body(),
            "data: {\"outputs\":0}\n\n"
            "event: error\ndata: {\"error\": \"the part 1 fails, as the input 'fail_at' asks "
            "for\", \"code\": \"INTERNAL\"}\n\n");
  const Answer refused = stream(R"({"inputs": {"count": 0}})");
  EXPECT_EQ(refused.response.status, 400) << "no event has been sent yet";
  EXPECT_THAT(refused.body(), HasSubstr("the input 'count' is 0"));
}

TEST_F(RestFrontendTest, StreamsAModelThatAnswersOnceAsOneEvent) {
  const Answer answer = Send("POST", "/v1/models/half:predict", R"({"instances": [1.0]})",
                             {{"Accept", "text/event-stream"}});
  EXPECT_EQ(answer.body(), "data: {\"predictions\":[2.5]}\n\nevent: end\ndata: {}\n\n");
}

TEST_F(RestFrontendTest, ModelsWithoutASignature) {
  EXPECT_EQ(
      Post("/v1/models/identity:predict",
           R"({"instances": [{"a": 1, "b_bytes": {"b64": "/w=="}}, {"a": 2, "b_bytes": "x"}]})")
          .body(),
      R"({"predictions":[{"a":1,"b_bytes":{"b64":"/w=="}},{"a":2,"b_bytes":{"b64":"eA=="}}]})"
      "\n");
  const Answer answer = Post("/v1/models/identity:predict", R"({"inputs": {"b64": "/w=="}})");
  EXPECT_EQ(answer.response.status, 400);
  EXPECT_THAT(answer.body(), HasSubstr("not UTF-8"));
}

TEST_F(RestFrontendTest, LargeBodiesAreReadOnThePool) {
  std::string body = "{\"instances\": [0.5";
  for (int i = 0; i < 50'000; ++i) body += ", 0.5";
  body += "]}";
  Answer answer;
  auto* call = new FakeCall(answer, "POST", "/v1/models/half:predict", body, {});
  router_.FindHttp("/v1/models/half:predict")->handler(net::HttpCallRef(call));
  EXPECT_EQ(answer.count, 0);
  EXPECT_EQ(scheduler_.queue_length(), 1u);
  scheduler_.RunQueued();
  EXPECT_EQ(answer.response.status, 200);
  EXPECT_GT(answer.response.body.slices().size(), 1u);
  EXPECT_EQ(answer.body().size(), std::string("{\"predictions\":[").size() + 50'001 * 5 + 2);

  while (scheduler_.common().Submit([] {})) {
  }
  const Answer refused = Post("/v1/models/half:predict", body);
  EXPECT_EQ(refused.response.status, 503);
  EXPECT_EQ(refused.header("retry-after"), "1");
}

TEST_F(RestFrontendTest, Errors) {
  const auto check = [this](std::string_view path, std::string_view body, int status,
                            std::string_view text) {
    const Answer answer = Post(path, body);
    EXPECT_EQ(answer.response.status, status) << path << body;
    EXPECT_THAT(answer.body(), testing::StartsWith("{\n    \"error\": \"")) << path << body;
    EXPECT_THAT(answer.body(), HasSubstr(text)) << path << body;
  };
  check("/v1/models/half:predict", "", 400, "The document is empty");
  check("/v1/models/half:predict", "{\"instances\": [\"a\\\"b\"]}", 400, "not of expected type");
  check("/v1/models/none:predict", "{}", 404, "Servable not found for request: Latest(none)");
  check("/v1/models/half/versions/9:predict", "{}", 404, "Specific(half, 9)");
  check("/v1/models/half/labels/none:predict", "{}", 400, "Unrecognized servable version label");
  check("/v1/models/half/versions/x:predict", "{}", 400, "must be a number");
  check("/v1/models/half:frobnicate", "{}", 404, "Malformed request: POST /v1/models/half:frob");
  check("/v1/nothing", "{}", 404, "Malformed request: POST /v1/nothing");
  check("/v1/models/half:classify", "{}", 400, "key 'examples' is expected and was not found");
  check("/v1/models/none:regress", "{}", 404, "Servable not found for request: Latest(none)");
  check("/v1/models/identity:regress", R"({"examples": [{}]})", 400, "takes any tensors");
  check("/v1/models/half:regress", R"({"examples": [{}]})", 400, "example 0 has no feature");
  check("/v1/models/parts:predict", R"({"inputs": 1})", 501, "Accept: text/event-stream");
  const std::string text = metrics_.Text();
  EXPECT_THAT(text, HasSubstr("model_name=\"(unknown)\",status=\"NOT_FOUND\"} 3\n"));
}

TEST_F(RestFrontendTest, ClassifyAndRegress) {
  const std::string_view body = R"({"examples": [{"x": 2.0}, {"x": [5]}], "more": null})";
  EXPECT_EQ(Post("/v1/models/half:regress", body).body(), "{\"results\":[3.0,4.5]}\n");
  EXPECT_EQ(Post("/v1/models/half/versions/2:classify", body).body(),
            "{\"results\":[[[\"\",3.0]],[[\"\",4.5]]]}\n");
  const std::string_view with_context =
      R"({"signature_name": "serving_default", "examples": [{}, {"x": 4}], "context": {"x": 6}})";
  EXPECT_EQ(Post("/v1/models/half:regress", with_context).body(), "{\"results\":[5.0,4.0]}\n");
  EXPECT_THAT(metrics_.Text(), HasSubstr("API=\"regress\",entrypoint=\"REST\""));
}

TEST_F(RestFrontendTest, ManyExamplesAreReadOnThePool) {
  // The body is small, and what becomes of it is not.
  std::string body = R"({"examples": [{"x": 2})";
  for (int i = 0; i < 6000; ++i) body += R"(,{"x":2})";
  const Answer answer = Post("/v1/models/half:regress", body + "]}");
  EXPECT_EQ(answer.response.status, 200);
  EXPECT_THAT(answer.body(), testing::EndsWith("3.0,3.0]}\n"));
}

TEST_F(RestFrontendTest, DeadlineAndCancel) {
  const std::string_view path = "/v1/models/half:predict";
  const SteadyTime past = Clock::Real().Now() - std::chrono::seconds(1);
  EXPECT_EQ(Send("POST", path, R"({"instances": [1]})", {}, past).response.status, 504);
  EXPECT_EQ(Send("POST", path, R"({"instances": [1]})", {}, kNoDeadline, true).response.status,
            499);
}

TEST_F(RestFrontendTest, WrongMethods) {
  const Answer post = Post("/v1/models/half", "");
  EXPECT_EQ(post.response.status, 405);
  EXPECT_EQ(post.header("allow"), "GET, HEAD");
  EXPECT_EQ(post.body(),
            "{\n    \"error\": \"Malformed request: POST /v1/models/half; allowed: GET, HEAD; the "
            "verb is missing: to run the model, POST /v1/models/half:predict\"\n}");
  EXPECT_EQ(Post("/v1/models", "").response.status, 405);
  EXPECT_EQ(Post("/v1/models/half/metadata", "").response.status, 405);
  const Answer get = Send("GET", "/v1/models/half:predict");
  EXPECT_EQ(get.response.status, 405);
  EXPECT_EQ(get.header("allow"), "POST");
  EXPECT_THAT(get.body(),
              HasSubstr("Malformed request: GET /v1/models/half:predict; allowed: POST"));
}

TEST_F(RestFrontendTest, StatusMetadataAndList) {
  const Answer status = Send("GET", "/v1/models/half");
  EXPECT_EQ(status.response.status, 200);
  EXPECT_THAT(status.body(), HasSubstr("\"AVAILABLE\""));
  EXPECT_THAT(status.body(), HasSubstr("\"error_code\": \"OK\""));
  const Answer stable = Send("GET", "/v1/models/half/labels/stable");
  EXPECT_THAT(stable.body(), HasSubstr("\"version\": \"2\""));
  EXPECT_THAT(stable.body(), testing::Not(HasSubstr("\"version\": \"3\"")));
  EXPECT_EQ(Send("GET", "/v1/models/half/labels/none").response.status, 400);
  EXPECT_EQ(Send("GET", "/v1/models/half/versions/7").response.status, 404);
  EXPECT_EQ(Send("GET", "/v1/models/none").response.status, 404);

  const Answer metadata = Send("GET", "/v1/models/half/versions/2/metadata");
  EXPECT_EQ(metadata.response.status, 200);
  EXPECT_THAT(metadata.body(), HasSubstr("DT_FLOAT"));
  EXPECT_THAT(metadata.body(), HasSubstr("\"version\": \"2\""));
  EXPECT_EQ(Send("GET", "/v1/models/none/metadata").response.status, 404);

  const Answer list = Send("HEAD", "/v1/models");
  EXPECT_THAT(list.body(),
              HasSubstr(R"({"models":[{"name":"empty","versions":[]},{"name":"half",)"));
  EXPECT_THAT(list.body(), HasSubstr(R"({"version":"2","state":"AVAILABLE"}]})"));
}

TEST_F(RestFrontendTest, StatusByLabelOfAnUnknownModelIsNotFound) {
  const Answer answer = Send("GET", "/v1/models/none/labels/stable");
  EXPECT_EQ(answer.response.status, 404);
  EXPECT_THAT(answer.body(), HasSubstr("Could not find any versions of model none"));
}

}  // namespace
}  // namespace penstock::tfs_rest
