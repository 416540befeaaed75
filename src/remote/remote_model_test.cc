// SPDX-License-Identifier: Apache-2.0
// A remote model and its targets, which are servers on loopback whose answers a test chooses.
#include "remote/remote_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <functional>
#include <future>
#include <mutex>

#include "base/os/test_folder.h"
#include "infer/model_fake.h"
#include "infer/served_model.h"
#include "net/client/dns_fake.h"
#include "net/socket/server.h"
#include "remote/asking_loop.h"
#include "remote/messages.h"
#include "remote/remote_loader.h"
#include "serving/get_model_metadata.pb.h"
#include "serving/predict.pb.h"

namespace penstock::remote {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

std::string Metadata() {
  tensorflow::serving::SignatureDefMap map;
  auto& signature = (*map.mutable_signature_def())["serving_default"];
  for (auto* infos : {signature.mutable_inputs(), signature.mutable_outputs()}) {
    auto& info = (*infos)[infos == signature.mutable_inputs() ? "x" : "y"];
    info.set_dtype(tensorflow::DT_FLOAT);
    info.mutable_tensor_shape()->add_dim()->set_size(-1);
  }
  tensorflow::serving::GetModelMetadataResponse response;
  (*response.mutable_metadata())["signature_def"].PackFrom(map);
  return response.SerializeAsString();
}

ByteChain BytesOf(const std::string& text) { return ByteChain(WholeSlice(CopyToBuffer(text))); }

// Answers with the input.
void Echo(const net::GrpcCallRef& call) {
  tensorflow::serving::PredictRequest request;
  request.ParseFromArray(call->message().data, static_cast<int>(call->message().size));
  tensorflow::serving::PredictResponse response;
  (*response.mutable_outputs())["y"] = request.inputs().at("x");
  call->Respond(BytesOf(response.SerializeAsString()));
}

// Calls that nobody answers. Thread-safe: servers add them, and the test drops them.
class KeptCalls {
 public:
  ~KeptCalls() {
    const std::lock_guard lock(mutex_);
    calls_.clear();
  }
  void push_back(net::GrpcCallRef call) {
    const std::lock_guard lock(mutex_);
    calls_.push_back(std::move(call));
  }
  size_t size() const {
    const std::lock_guard lock(mutex_);
    return calls_.size();
  }
  void EchoAll() {
    const std::lock_guard lock(mutex_);
    for (const net::GrpcCallRef& call : calls_) Echo(call);
    calls_.clear();
  }

 private:
  mutable std::mutex mutex_;
  std::vector<net::GrpcCallRef> calls_;
};

// A server with the model. `predict` answers; by default with its input. Its handlers run on the
// server's loop.
class FakeTarget final {
 public:
  explicit FakeTarget(bool describes = true, const std::string& address = "127.0.0.1",
                      int port = 0) {
    router_.AddGrpc({.method = kMetadataMethod, .handler = [describes](net::GrpcCallRef call) {
                       if (describes) return call->Respond(BytesOf(Metadata()));
                       call->Finish(absl::NotFoundError("no such model"));
                     }});
    router_.AddGrpc({.method = kPredictMethod, .handler = [this](net::GrpcCallRef call) {
                       ++calls;
                       predict(std::move(call));
                     }});
    net::ServerOptions options;
    options.loops = 1;
    options.listen = {{.address = address, .port = port}};
    auto server = net::Server::Start(options, router_, metrics_);
    server_ = *std::move(server);
  }

  RemoteTarget where() const { return {"127.0.0.1", static_cast<uint16_t>(server_->ports()[0])}; }
  void End() { server_.reset(); }
  ServerLoops Loops() const { return server_->IoLoops(); }

  // Set them before the first request.
  std::function<void(net::GrpcCallRef)> predict = Echo;
  std::atomic<int> calls{0};

 private:
  net::Router router_;
  MetricsRegistry metrics_;
  std::unique_ptr<net::Server> server_;
};

// Loads remote models, and runs requests on them. One thread.
class RemoteModelTest : public testing::Test {
 protected:
  RemoteModelTest() { settings_.health_interval = Duration::zero(); }

  StatusOr<std::unique_ptr<core::Servable>> Load(std::vector<RemoteTarget> targets,
                                                 bool is_idempotent = false) {
    remote_.targets = std::move(targets);
    remote_.model = "m";
    remote_.is_idempotent = is_idempotent;
    RemoteLoader loader({"m", {1}}, remote_, settings_, loops_, engine_, metrics_, {});
    return loader.Load();
  }
  void Serve(std::vector<RemoteTarget> targets, bool is_idempotent = false) {
    auto loaded = Load(std::move(targets), is_idempotent);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    served_ = *std::move(loaded);
  }
  Model& model() { return static_cast<ServedModel&>(*served_).model(); }
  InferResponse Ask(SteadyTime deadline = kNoDeadline, uint32_t hops = 0) {
    InferRequest request;
    Tensor tensor = *Tensor::Allocate(DType::kFloat32, {2});
    tensor.mutable_as<float>()[0] = 1;
    tensor.mutable_as<float>()[1] = 2;
    request.inputs.push_back({"x", std::move(tensor)});
    request.deadline = deadline;
    request.cancel = &cancel_;
    request.hops = hops;
    return asking_.Run(model(), request);
  }
  uint64_t Counted(const std::string& name) {
    const std::string text = metrics_.Text();
    const std::string line =
        "penstock_remote_" + name + "_total{model_name=\"m\",model_version=\"1\"} ";
    return std::stoull(text.substr(text.find(line) + line.size()));
  }

  MetricsRegistry metrics_;
  core::Manager manager_{{}};
  schedule::Scheduler scheduler_{{.compute_slots = 1, .threads = schedule::PoolThreads::kNone}};
  Engine engine_{{}, manager_, scheduler_};
  RemoteSettings settings_;
  RemoteLoopsOwner loops_{1, std::chrono::seconds(5)};
  RemoteVersion remote_;
  CancelToken cancel_;
  AskingLoop asking_;
  std::unique_ptr<core::Servable> served_;
};

TEST_F(RemoteModelTest, AnswersAsItsTarget) {
  FakeTarget target;
  Serve({target.where()});
  const Signature& signature = *model().info().FindSignature("");
  EXPECT_EQ(signature.FindInput("x")->dtype, DType::kFloat32);
  EXPECT_EQ(signature.FindOutput("y")->shape, Shape({-1}));
  const InferResponse response = Ask();
  ASSERT_TRUE(response.status.ok()) << response.status;
  ASSERT_EQ(response.outputs.size(), 1U);
  EXPECT_EQ(response.outputs[0].name, "y");
  EXPECT_EQ(response.outputs[0].tensor.as<float>()[1], 2);
}

TEST_F(RemoteModelTest, LoadsWhenOneTargetDescribesTheModel) {
  FakeTarget silent(/*describes=*/false), good;
  Serve({silent.where(), good.where()});
  served_ = nullptr;
  const auto failed = Load({silent.where()});
  ASSERT_FALSE(failed.ok());
  EXPECT_THAT(std::string(MessageOf(failed.status())), HasSubstr("no such model"));
}

TEST_F(RemoteModelTest, FailsToLoadWithoutAToken) {
  const TestFolder folder;
  remote_.token_file = folder / "token";
  EXPECT_THAT(std::string(MessageOf(Load({{"127.0.0.1", 1}}).status())),
              HasSubstr("cannot be read"));
  std::ofstream(remote_.token_file) << "two words";
  const Status status = Load({{"127.0.0.1", 1}}).status();
  EXPECT_THAT(std::string(MessageOf(status)), HasSubstr("must hold one token"));
  EXPECT_THAT(std::string(MessageOf(status)), testing::Not(HasSubstr("words\"")));
}

TEST_F(RemoteModelTest, TriesAgainOnlyWhatMayRunTwice) {
  for (const bool is_idempotent : {false, true}) {
    FakeTarget bad, good;
    bad.predict = [](const net::GrpcCallRef& call) {
      call->Finish(absl::UnavailableError("too busy"));
    };
    Serve({bad.where(), good.where()}, is_idempotent);
    int failures = 0;
    for (int i = 0; i < 30; ++i) failures += Ask().status.ok() ? 0 : 1;
    // Until it is taken out, or is known to be worse than the other one.
    EXPECT_GE(bad.calls, 1);
    EXPECT_LE(bad.calls, kFailuresToEject);
    EXPECT_EQ(failures, is_idempotent ? 0 : bad.calls.load());
    EXPECT_EQ(Counted("retries"), is_idempotent ? static_cast<uint64_t>(bad.calls) : 0U);
    served_ = nullptr;
  }
}

TEST_F(RemoteModelTest, TriesAgainWhatNoTargetHasBegun) {
  FakeTarget gone, good;
  Serve({gone.where(), good.where()});
  gone.End();
  for (int i = 0; i < 30; ++i) EXPECT_EQ(Ask().status, OkStatus());
  good.End();
  EXPECT_EQ(Ask().status.code(), StatusCode::kUnavailable);
}

TEST_F(RemoteModelTest, OtherErrorsAreTheModels) {
  FakeTarget one, two;
  const auto fail = [](const net::GrpcCallRef& call) {
    call->Finish(absl::InvalidArgumentError("bad x"));
  };
  one.predict = two.predict = fail;
  Serve({one.where(), two.where()}, /*is_idempotent=*/true);
  for (int i = 0; i < 10; ++i) {
    const Status status = Ask().status;
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(MessageOf(status)), HasSubstr("bad x"));
  }
  EXPECT_EQ(one.calls + two.calls, 10);
  EXPECT_EQ(Counted("failures"), 0U);
}

TEST_F(RemoteModelTest, ItsOwnCredentialsAreNotTheClients) {
  FakeTarget target;
  target.predict = [](const net::GrpcCallRef& call) {
    call->Finish(absl::UnauthenticatedError("who are you?"));
  };
  Serve({target.where()});
  const Status status = Ask().status;
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_THAT(std::string(MessageOf(status)), HasSubstr("refuses this server"));
}

TEST_F(RemoteModelTest, ASlowTargetIsHelped) {
  FakeTarget slow, good;
  KeptCalls kept;
  slow.predict = [&](net::GrpcCallRef call) { kept.push_back(std::move(call)); };
  Serve({slow.where(), good.where()}, /*is_idempotent=*/true);
  for (int i = 0; i < 30; ++i) EXPECT_EQ(Ask().status, OkStatus());
  // Its time is known from the first request on, or it is taken out.
  EXPECT_GE(slow.calls, 1);
  EXPECT_LE(slow.calls, kFailuresToEject);
  EXPECT_GE(Counted("hedges"), static_cast<uint64_t>(slow.calls));
  served_ = nullptr;
}

TEST_F(RemoteModelTest, ARequestStaysOnItsLoopUntilThisEnds) {
  FakeTarget target, root;
  std::promise<void> came;
  KeptCalls kept;
  std::atomic<bool> is_silent{false};
  target.predict = [&](net::GrpcCallRef call) {
    if (!is_silent) return Echo(call);
    kept.push_back(std::move(call));
    came.set_value();
  };
  const ServerLoops loops = root.Loops();
  loops_.UseServerLoops(loops);
  Serve({target.where()});
  asking_.loop = loops[0].get();
  std::promise<std::thread::id> thread;
  asking_.loop->Post([&] { thread.set_value(std::this_thread::get_id()); });
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Ask().status, OkStatus());
  EXPECT_EQ(asking_.answered_on, thread.get_future().get());
  // A server that ends does not wait for its targets.
  is_silent = true;
  std::thread end([&] {
    came.get_future().wait();
    root.End();
  });
  EXPECT_EQ(Ask().status.code(), StatusCode::kCancelled);
  end.join();
  // Others still may ask.
  asking_.loop = nullptr;
  is_silent = false;
  EXPECT_EQ(Ask().status, OkStatus());
}

TEST_F(RemoteModelTest, EndsAtTheDeadlineAndWhenTheClientLeaves) {
  FakeTarget target;
  KeptCalls kept;
  target.predict = [&](net::GrpcCallRef call) {
    kept.push_back(std::move(call));
    if (kept.size() == 2) cancel_.Cancel();
  };
  Serve({target.where()});
  EXPECT_EQ(Ask(std::chrono::steady_clock::now() + milliseconds(20)).status.code(),
            StatusCode::kDeadlineExceeded);
  EXPECT_EQ(Ask().status.code(), StatusCode::kCancelled);
  EXPECT_EQ(Ask().status.code(), StatusCode::kCancelled) << "before it is sent";
  served_ = nullptr;
}

TEST_F(RemoteModelTest, FollowsANameInTheDns) {
  FakeTarget one;
  const int port = one.where().port;
  FakeTarget two(/*describes=*/true, "127.0.0.2", port);
  net::FakeDns dns;
  settings_.dns_interval = milliseconds(20);
  const RemoteTarget name{.host = "emb.models",
                          .port = static_cast<uint16_t>(port),
                          .is_dns = true,
                          .dns_server = dns.server()};
  EXPECT_THAT(std::string(MessageOf(Load({name}).status())), HasSubstr("cannot be looked up"));
  dns.Set({"127.0.0.1"});
  Serve({name});
  const auto ask_until = [&](const auto& is_reached) {
    while (!is_reached()) ASSERT_EQ(Ask().status, OkStatus());
  };
  EXPECT_EQ(Ask().status, OkStatus());
  EXPECT_EQ(one.calls, 1);
  dns.Set({"127.0.0.1", "127.0.0.2"});
  ask_until([&] { return two.calls >= 1; });
  dns.Set({"127.0.0.2"});
  // A request that has been placed already may still go to the first one.
  const auto targets = [&] {
    const std::string text = metrics_.Text();
    const std::string line = "penstock_remote_targets{model_name=\"m\",model_version=\"1\"} ";
    return std::stoull(text.substr(text.find(line) + line.size()));
  };
  ask_until([&] { return targets() == 1; });
  one.End();
  const int before = two.calls;
  ask_until([&] { return two.calls >= before + 20; });
  // A DNS that knows nothing changes nothing.
  dns.Set({});
  ask_until([&] { return Counted("lookup_failures") >= 2; });
  EXPECT_EQ(targets(), 1U);
  served_ = nullptr;
}

TEST_F(RemoteModelTest, CallsToATargetThatLeavesEnd) {
  FakeTarget one;
  const int port = one.where().port;
  FakeTarget two(/*describes=*/true, "127.0.0.2", port);
  KeptCalls kept;
  one.predict = [&](net::GrpcCallRef call) { kept.push_back(std::move(call)); };
  net::FakeDns dns({"127.0.0.1"});
  settings_.dns_interval = milliseconds(20);
  Serve({{.host = "emb.models",
          .port = static_cast<uint16_t>(port),
          .is_dns = true,
          .dns_server = dns.server()}});
  auto answer = std::async(std::launch::async, [&] { return Ask(); });
  while (kept.size() == 0) std::this_thread::yield();
  dns.Set({"127.0.0.2"});
  while (two.calls == 0) {
    // On another thread than the request above, whose cancel token is the test's.
    InferRequest request;
    request.inputs.push_back({"x", *Tensor::Allocate(DType::kFloat32, {1})});
    CancelToken cancel;
    request.cancel = &cancel;
    request.deadline = std::chrono::steady_clock::now() + milliseconds(20);
    std::promise<void> done;
    model().Run(request, [&](InferResponse&&) { done.set_value(); });
    done.get_future().wait();
  }
  kept.EchoAll();
  EXPECT_EQ(answer.get().status, OkStatus());
  served_ = nullptr;
}

TEST_F(RemoteModelTest, ACircleEnds) {
  FakeTarget target;
  Serve({target.where()});
  EXPECT_EQ(Ask(kNoDeadline, 3).status, OkStatus());
  EXPECT_EQ(Ask(kNoDeadline, 4).status.code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(target.calls, 1);
}

TEST_F(RemoteModelTest, AnAnswerMustBeWhatTheSignatureSays) {
  FakeTarget target;
  std::string answer;
  target.predict = [&](const net::GrpcCallRef& call) { call->Respond(BytesOf(answer)); };
  Serve({target.where()});
  const auto error = [&] {
    const Status status = Ask().status;
    EXPECT_EQ(status.code(), StatusCode::kInternal);
    return std::string(MessageOf(status));
  };
  EXPECT_THAT(error(), HasSubstr("no output 'y'"));
  answer = "\x0a\xff";
  EXPECT_THAT(error(), HasSubstr("PredictResponse is malformed"));
  tensorflow::serving::PredictResponse response;
  (*response.mutable_outputs())["y"].set_dtype(tensorflow::DT_INT32);
  (*response.mutable_outputs())["y"].add_int_val(1);
  answer = response.SerializeAsString();
  EXPECT_THAT(error(), HasSubstr("instead of"));
}

}  // namespace
}  // namespace penstock::remote
