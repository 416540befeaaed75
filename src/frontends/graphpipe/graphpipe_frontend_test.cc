// SPDX-License-Identifier: Apache-2.0
#include "frontends/graphpipe/graphpipe_frontend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends/builtin/builtin_models.h"
#include "infer/model_fake.h"
#include "net/http1/session_fake.h"
#include "protocols/graphpipe/message_fake.h"

namespace penstock::graphpipe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// What a call was answered; lives longer than the call.
struct Answer {
  int count = 0;
  net::HttpResponse response;

  std::string body() const { return std::string(Flatten(response.body).view()); }
  std::string header(std::string_view name) const {
    for (const auto& [field, value] : response.headers)
      if (field == name) return value;
    return {};
  }
};

// One thread at a time.
class FakeCall final : public net::HttpCall {
 public:
  FakeCall(Answer& answer, std::string_view method, std::string_view path, std::string_view query,
           const Slice& body)
      : answer_(answer), method_(method), path_(path), query_(query) {
    head_.method = method_;
    head_.path = path_;
    head_.query = query_;
    start_ = Clock::Real().Now();
    body_ = body;
  }
  void Respond(net::HttpResponse&& response) override {
    ++answer_.count;
    answer_.response = std::move(response);
  }
  void RespondInParts(net::HttpResponse, const net::PartsEnding&) override {}
  void Write(ByteChain, absl::AnyInvocable<void(bool)>) override {}
  void EndBody() override {}
  void CancelFromRun() override { cancel_.Cancel(); }

 private:
  void Destroy() override { delete this; }

  Answer& answer_;
  const std::string method_, path_, query_;
};

// The message of an answer, which the generated verifier accepts.
template <typename Table>
const Table& Root(const Answer& answer, BufferRef& aligned) {
  aligned = CopyToBuffer(answer.body());
  const auto* const data = reinterpret_cast<const uint8_t*>(aligned->data());
  flatbuffers::Verifier verifier(data, answer.body().size());
  if (!verifier.VerifyBuffer<Table>(nullptr))
    throw std::runtime_error("no message: " + answer.body());
  return *flatbuffers::GetRoot<Table>(data);
}

std::vector<float> FloatsIn(const ::graphpipe::Tensor& tensor) {
  std::vector<float> floats(tensor.data()->size() / sizeof(float));
  std::memcpy(floats.data(), tensor.data()->data(), floats.size() * sizeof(float));
  return floats;
}

// The floats of all tensors of the answer.
std::vector<std::vector<float>> FloatsOf(const Answer& answer) {
  BufferRef aligned;
  const auto& response = Root<::graphpipe::InferResponse>(answer, aligned);
  std::vector<std::vector<float>> all;
  for (const auto* const tensor : *response.output_tensors()) all.push_back(FloatsIn(*tensor));
  return all;
}

FakeTensor Floats(const std::vector<float>& values) {
  return {Type::kFloat32, {static_cast<int64_t>(values.size())}, BytesOf(values)};
}

Tensor FloatTensor(float value) {
  Tensor tensor = *Tensor::Allocate(DType::kFloat32, {1});
  tensor.mutable_as<float>()[0] = value;
  return tensor;
}

// Has the outputs "a" and "b", and gives them in the wrong order.
ModelInfo TwoOutputs() {
  ModelInfo info;
  Signature signature;
  signature.name = kDefaultSignatureName;
  TensorSpec spec;
  spec.dtype = DType::kFloat32;
  spec.unknown_rank = true;
  for (const char* name : {"a", "b"}) {
    spec.name = name;
    signature.outputs.push_back(spec);
  }
  info.signatures.push_back(signature);
  return info;
}

void AnswerBackwards(const InferRequest&, ResponseCallback done) {
  InferResponse response;
  response.outputs.push_back({"b", FloatTensor(2)});
  response.outputs.push_back({"a", FloatTensor(1)});
  done(std::move(response));
}

const std::string kMetadataRequest = [] {
  flatbuffers::FlatBufferBuilder builder;
  const auto request = ::graphpipe::CreateMetadataRequest(builder);
  builder.Finish(
      ::graphpipe::CreateRequest(builder, ::graphpipe::Req::MetadataRequest, request.Union()));
  return std::string(reinterpret_cast<const char*>(builder.GetBufferPointer()), builder.GetSize());
}();

class GraphPipeFrontendTest : public testing::Test {
 protected:
  GraphPipeFrontendTest() { Start({.server_version = "1.2", .own_paths = "own:"}); }

  // Begins with another front end.
  void Start(GraphPipeOptions options) {
    router_ = std::make_unique<net::Router>();
    frontend_ =
        std::make_unique<GraphPipeFrontend>(std::move(options), engine_, readiness_, metrics_);
    frontend_->Register(*router_);
  }
  void SetUp() override {
    core::ModelConfig config;
    config.name = "half";
    config.labels = {{"stable", {2}}};
    ASSERT_TRUE(manager_.SetModel(config).ok());
    Aspire("half", "builtin:half_plus_two", {2, 3});
    ASSERT_TRUE(manager_.WaitUntilIdle());
  }
  void TearDown() override { scheduler_.RunQueued(); }

  void AddOthers() {
    core::ModelConfig config;
    config.name = "identity";
    ASSERT_TRUE(manager_.SetModel(config).ok());
    Aspire("identity", "builtin:identity", {1});
    ASSERT_TRUE(ServeFakeModel(manager_, metrics_, "two", [] {
                  return std::make_unique<FakeModel>(TwoOutputs(), AnswerBackwards);
                }).ok());
    ASSERT_TRUE(manager_.WaitUntilIdle());
  }
  void Aspire(std::string_view model, std::string_view path, std::vector<int64_t> numbers) {
    std::vector<core::AspiredVersion> versions;
    for (const int64_t number : numbers) {
      const core::ServableId id{std::string(model), {number}};
      versions.push_back({{number}, MakeBuiltinLoader(id, path, metrics_)});
    }
    manager_.SetAspired(model, std::move(versions));
  }

  Answer Send(std::string_view method, std::string_view path, const Slice& body = {},
              std::string_view query = {}) {
    Answer answer;
    const net::HttpRoute* const route = router_->FindHttp(path);
    EXPECT_NE(route, nullptr) << path;
    if (path.starts_with("own:")) path.remove_prefix(4);
    route->handler(net::HttpCallRef(new FakeCall(answer, method, path, query, body)));
    scheduler_.RunQueued();
    EXPECT_EQ(answer.count, 1) << path;
    return answer;
  }
  Answer Post(std::string_view path, std::string_view body) {
    return Send("POST", path, AsSlice(body));
  }
  uint64_t Copied(std::string_view direction) const {
    const std::string name =
        fmt::format("penstock_graphpipe_copied_bytes_total{{direction=\"{}\"}} ", direction);
    const std::string text = metrics_.Text();
    return std::stoull(text.substr(text.find(name) + name.size()));
  }

  MetricsRegistry metrics_;
  schedule::Scheduler scheduler_{
      {.queue_requests_max = 4, .threads = schedule::PoolThreads::kNone}};
  core::Manager manager_;
  Readiness readiness_{manager_};
  Engine engine_{{}, manager_, scheduler_};
  std::unique_ptr<net::Router> router_;
  std::unique_ptr<GraphPipeFrontend> frontend_;
};

TEST_F(GraphPipeFrontendTest, Infers) {
  const std::string message = MakeRequest({.tensors = {Floats({1, 2, 5})}});
  for (const char* path : {"/graphpipe/half", "/graphpipe/half/", "/graphpipe/half/versions/2",
                           "/graphpipe/half/labels/stable", "/graphpipe/h%61lf", "own:/"}) {
    const Answer answer = Post(path, message);
    EXPECT_EQ(answer.response.status, 200) << answer.body();
    EXPECT_EQ(answer.response.content_type, "application/octet-stream");
    EXPECT_FALSE(answer.response.compress);
    EXPECT_THAT(FloatsOf(answer), ElementsAre(ElementsAre(2.5F, 3.0F, 4.5F)));
  }
  EXPECT_EQ(Post("/graphpipe/half/versions/2", message).header("x-penstock-version"), "2");
  const std::string text = metrics_.Text();
  EXPECT_THAT(text, HasSubstr("request_count{model_name=\"half\",status=\"OK\"} 7\n"));
  EXPECT_THAT(text, HasSubstr("API=\"predict\",entrypoint=\"GraphPipe\""));
}

TEST_F(GraphPipeFrontendTest, OutputsComeInTheOrderAskedFor) {
  AddOthers();
  EXPECT_THAT(FloatsOf(Post("/graphpipe/two", MakeRequest({}))),
              ElementsAre(ElementsAre(1), ElementsAre(2)));
  EXPECT_THAT(FloatsOf(Post("/graphpipe/two", MakeRequest({.output_names = {"b", "a"}}))),
              ElementsAre(ElementsAre(2), ElementsAre(1)));
  const FakeRequest echo{.tensors = {Floats({1}), Floats({2}), Floats({3})},
                         .input_names = {"x", "y", "z"},
                         .output_names = {"z", "x"}};
  EXPECT_THAT(FloatsOf(Post("/graphpipe/identity", MakeRequest(echo))),
              ElementsAre(ElementsAre(3), ElementsAre(1)));
}

TEST_F(GraphPipeFrontendTest, SomeOutputsComeOnlyIfTheyAreNamed) {
  Start({.named_outputs = "b,of another model"});
  AddOthers();
  EXPECT_THAT(FloatsOf(Post("/graphpipe/two", MakeRequest({}))), ElementsAre(ElementsAre(1)));
  EXPECT_THAT(FloatsOf(Post("/graphpipe/two", MakeRequest({.output_names = {"b", "a"}}))),
              ElementsAre(ElementsAre(2), ElementsAre(1)));
  // An answer without outputs would be of no use.
  Start({.named_outputs = "b,a"});
  EXPECT_THAT(FloatsOf(Post("/graphpipe/two", MakeRequest({}))),
              ElementsAre(ElementsAre(1), ElementsAre(2)));
}

TEST_F(GraphPipeFrontendTest, TheOthersComeInTheOrderOfTheModel) {
  Start({.named_outputs = "of another model"});
  ASSERT_TRUE(ServeFakeModel(manager_, metrics_, "turned", [] {
                ModelInfo info = TwoOutputs();
                info.signatures[0].outputs[0].place = 1;
                return std::make_unique<FakeModel>(std::move(info), AnswerBackwards);
              }).ok());
  EXPECT_THAT(FloatsOf(Post("/graphpipe/turned", MakeRequest({}))),
              ElementsAre(ElementsAre(2), ElementsAre(1)));
}

TEST_F(GraphPipeFrontendTest, BigTensorsAreNeverCopied) {
  AddOthers();
  const std::string elements(100'000, 'e');
  const std::string message =
      MakeRequest({.tensors = {{Type::kUint8, {100, 1000}, elements}, Floats({1})}});
  const Slice body = AsSlice(message);
  const Answer answer = Send("POST", "/graphpipe/identity", body);
  EXPECT_EQ(answer.response.status, 200);
  ASSERT_EQ(answer.response.body.slices().size(), 2u);
  EXPECT_EQ(answer.response.body.slices()[1].data, body.data + message.find("eeee"));
  EXPECT_EQ(Copied("in"), 0u);
  EXPECT_EQ(Copied("out"), 4u);  // the float
}

// Over HTTP/1.1, from the connection's bytes to the model: the elements are received where
// TensorFlow needs them, and are not copied afterwards. In pieces of each size, as a network
// delivers them.
TEST_F(GraphPipeFrontendTest, TheLargestTensorIsReceivedAligned) {
  const std::byte* seen = nullptr;
  ASSERT_TRUE(ServeFakeModel(manager_, metrics_, "look", [&seen] {
                return std::make_unique<FakeModel>(
                    FakeInfoOfAny(), [&seen](const InferRequest& request, ResponseCallback done) {
                      InferResponse response;
                      for (const NamedTensor& input : request.inputs)
                        if (input.tensor.bytes() > 1000) seen = input.tensor.data();
                      response.outputs = request.inputs;
                      done(std::move(response));
                    });
              }).ok());
  const FakeTensor small = Floats({1});
  const std::string elements(602'112, 'e');
  const FakeTensor large{Type::kFloat32, {1, 224, 224, 3}, elements};
  for (const auto& tensors :
       std::vector<std::vector<FakeTensor>>{{large}, {large, small}, {small, large}}) {
    const std::string message = MakeRequest({.tensors = tensors, .config = "c"});
    for (const size_t piece :
         {message.size() + 1000, size_t{100'000}, size_t{5'000}, size_t{333}}) {
      net::ServerOptions options = net::FakeHttp1Server::DefaultOptions();
      options.http_request_timeout = Duration(0);  // the engine has another clock
      net::FakeHttp1Server server(*router_, options);
      seen = nullptr;
      const std::string request =
          fmt::format("POST /graphpipe/look HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n",
                      message.size()) +
          message;
      size_t at = 0;
      while (at < request.size()) {
        // As the connection does: straight into the body, if the session says where.
        const std::span<std::byte> target = server.session().ReadTarget();
        const size_t count =
            std::min({piece, request.size() - at, target.empty() ? piece : target.size()});
        if (target.empty()) {
          ASSERT_TRUE(server.Receive(std::string_view(request).substr(at, count)));
        } else {
          std::memcpy(target.data(), request.data() + at, count);
          ASSERT_TRUE(server.session().OnBytes(target.first(count)));
        }
        at += count;
      }
      scheduler_.RunQueued();
      server.RunPosted();
      const std::string answer = server.Send(1 << 20);
      EXPECT_EQ(answer.substr(0, 15), "HTTP/1.1 200 OK");
      EXPECT_NE(answer.find(elements), std::string::npos);
      EXPECT_NE(seen, nullptr);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(seen) % kBufferAlignment, 0u);
    }
  }
  EXPECT_EQ(Copied("in"), 0u);
  EXPECT_EQ(Copied("out"), 2 * 4 * 4u);  // the small floats
}

TEST_F(GraphPipeFrontendTest, APortOfItsOwnHasItsOwnPaths) {
  net::FakeHttp1Server server(*router_);
  constexpr std::string_view kRequest = "GET /control/is_alive HTTP/1.1\r\nhost: h\r\n\r\n";
  EXPECT_THAT(server.Ask(kRequest), HasSubstr("404"));
  server.host.where.own_paths = "own:";
  EXPECT_THAT(server.Ask(kRequest), HasSubstr("ok"));
  EXPECT_THAT(server.Ask("GET /graphpipe/half HTTP/1.1\r\nhost: h\r\n\r\n"), HasSubstr("half"));
}

TEST_F(GraphPipeFrontendTest, DescribesModels) {
  BufferRef aligned;
  const Answer answer = Post("/graphpipe/half", kMetadataRequest);
  const auto& metadata = Root<::graphpipe::MetadataResponse>(answer, aligned);
  EXPECT_EQ(metadata.name()->string_view(), "half");
  EXPECT_EQ(metadata.version()->string_view(), "1.2");
  EXPECT_EQ(metadata.inputs()->Get(0)->name()->string_view(), "x");
  const Answer page = Send("GET", "/graphpipe/half/versions/3");
  EXPECT_EQ(page.response.content_type, "application/json");
  EXPECT_THAT(page.body(), HasSubstr("\"Description\": \"version 3, signature serving_default, "));
  EXPECT_EQ(Send("GET", "own:/").body(), page.body());
  EXPECT_EQ(Send("GET", "/graphpipe/half", {}, "signature_name=none").response.status, 400);
}

TEST_F(GraphPipeFrontendTest, ErrorsAreTexts) {
  AddOthers();
  const std::string message = MakeRequest({.tensors = {Floats({1})}});
  const auto expect = [](const Answer& answer, int status, std::string_view text) {
    EXPECT_EQ(answer.response.status, status);
    EXPECT_EQ(answer.response.content_type, "text/plain; charset=utf-8");
    EXPECT_THAT(answer.body(), HasSubstr(text));
    EXPECT_THAT(answer.response.error, HasSubstr(text));
  };
  expect(Post("/graphpipe/none", message), 404, "none");
  expect(Post("/graphpipe/half/versions/x", message), 400, "a version is a number");
  expect(Post("/graphpipe/half/versions/-1", message), 400, "a version is a number");
  expect(Post("/graphpipe/half/labels/none", message), 400, "none");
  expect(Post("/graphpipe/half:predict/x", message), 404, "known are /graphpipe/NAME");
  expect(Post("/graphpipe/", message), 404, "known are /graphpipe/NAME");
  expect(Post("/graphpipe/half", ""), 400, "malformed");
  expect(Post("/graphpipe/half", "not a flatbuffer at all"), 400, "malformed");
  expect(Post("/graphpipe/half", MakeRequest({.tensors = {Floats({1})}, .input_names = {"q"}})),
         400, "input_names[0] is 'q'; the inputs are: x");
  expect(Post("/graphpipe/half", MakeRequest({})), 400, "x");
  expect(Send("PUT", "/graphpipe/half"), 405, "POST a GraphPipe message");
  expect(Post("own:/", message), 404, "--graphpipe_default_model");
  expect(Send("POST", "/graphpipe/half", AsSlice(message), "q=1"), 400, "signature_name=NAME");
  expect(Send("POST", "/graphpipe/half", AsSlice(message), "signature_name=none"), 400, "none");
  expect(Send("POST", "/graphpipe/half", AsSlice(message), "signature_name=a&signature_name=b"),
         400, "signature_name twice");
}

TEST_F(GraphPipeFrontendTest, ErrorsCanBeMessages) {
  Start({.in_band_errors = true});
  for (const auto& [path, code] : {std::pair("/graphpipe/none", 404), {"/graphpipe/half", 400}}) {
    const Answer answer = Post(path, MakeRequest({.tensors = {Floats({1}), Floats({1})}}));
    EXPECT_EQ(answer.response.status, 200);
    BufferRef aligned;
    const auto& response = Root<::graphpipe::InferResponse>(answer, aligned);
    ASSERT_EQ(response.errors()->size(), 1u);
    EXPECT_EQ(response.errors()->Get(0)->code(), code);
    EXPECT_EQ(response.errors()->Get(0)->message()->string_view(), answer.response.error);
  }
  EXPECT_EQ(router_->FindHttp("own:/"), nullptr);
}

// A message has no field for it, so clients would come back at once.
TEST_F(GraphPipeFrontendTest, ErrorsInMessagesHaveRetryAfter) {
  const FakeTensor large = Floats(std::vector<float>(50'000, 1));
  while (scheduler_.common().Submit([] {})) {
  }
  for (const bool in_band : {false, true}) {
    Start({.in_band_errors = in_band});
    const Answer refused = Post("/graphpipe/half", MakeRequest({.tensors = {large}}));
    EXPECT_EQ(refused.response.status, in_band ? 200 : 503);
    EXPECT_EQ(refused.header("retry-after"), "1");
    while (scheduler_.common().Submit([] {})) {
    }
  }
  EXPECT_EQ(Post("/graphpipe/none", MakeRequest({})).header("retry-after"), "");
}

TEST_F(GraphPipeFrontendTest, TheDefaultModelIsTheOneThatTheFlagNames) {
  AddOthers();
  Start({.default_model = "half", .own_paths = "own:"});
  EXPECT_EQ(Post("own:/", MakeRequest({.tensors = {Floats({1})}})).response.status, 200);
}

TEST_F(GraphPipeFrontendTest, AnswersProbes) {
  EXPECT_EQ(Send("GET", "own:/control/is_alive").body(), "ok\n");
  EXPECT_EQ(Send("GET", "own:/control/is_ready").body(), "ok\n");
  EXPECT_EQ(router_->FindHttp("own:/control/shutdown"), nullptr);
  readiness_.StartDraining();
  EXPECT_EQ(Send("GET", "own:/control/is_ready").response.status, 503);
  EXPECT_EQ(Send("GET", "own:/control/is_alive").response.status, 200);
}

}  // namespace
}  // namespace penstock::graphpipe
