// SPDX-License-Identifier: Apache-2.0
// A remote model whose versions are those of its targets, which are servers on loopback.
#include "remote/remote_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <mutex>

#include "core/manager.h"
#include "infer/engine.h"
#include "infer/served_model.h"
#include "net/socket/server.h"
#include "remote/messages.h"
#include "remote/remote_loader.h"
#include "serving/get_model_metadata.pb.h"
#include "serving/get_model_status.pb.h"
#include "serving/predict.pb.h"

namespace penstock::remote {
namespace {

using core::VersionNumber;
using std::chrono::milliseconds;
using tensorflow::serving::ModelVersionStatus;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

// A target with some versions of a model, which all answer with their number. Thread-safe.
class VersionServer final {
 public:
  using States = std::map<int64_t, int>;

  explicit VersionServer(States versions) : versions_(std::move(versions)) {
    router_.AddGrpc({.method = kStatusMethod,
                     .handler = [this](net::GrpcCallRef call) { OnStatus(std::move(call)); }});
    router_.AddGrpc({.method = kMetadataMethod,
                     .handler = [](net::GrpcCallRef call) { Respond(call, Metadata()); }});
    router_.AddGrpc({.method = kPredictMethod,
                     .handler = [this](net::GrpcCallRef call) { OnPredict(std::move(call)); }});
    net::ServerOptions options;
    options.loops = 1;
    options.listen = {{.address = "127.0.0.1", .port = 0}};
    server_ = *net::Server::Start(options, router_, metrics_);
  }

  RemoteTarget where() const { return {"127.0.0.1", static_cast<uint16_t>(server_->ports()[0])}; }
  // The states by version; a negative one: it is available, and leaving.
  void Set(std::map<int64_t, int> versions) {
    const std::lock_guard lock(mutex_);
    versions_ = std::move(versions);
  }
  void SayNothing() {
    const std::lock_guard lock(mutex_);
    says_nothing_ = true;
  }
  // What it was asked to keep, last.
  std::string lease() const {
    const std::lock_guard lock(mutex_);
    return lease_;
  }
  // The versions that requests have named; 0: none.
  std::vector<int64_t> TakeAsked() {
    const std::lock_guard lock(mutex_);
    return std::exchange(asked_, {});
  }

 private:
  static void Respond(const net::GrpcCallRef& call, const google::protobuf::Message& message) {
    call->Respond(ByteChain(WholeSlice(CopyToBuffer(message.SerializeAsString()))));
  }
  static tensorflow::serving::GetModelMetadataResponse Metadata() {
    tensorflow::serving::SignatureDefMap map;
    auto& output =
        (*(*map.mutable_signature_def())["serving_default"].mutable_outputs())["version"];
    output.set_dtype(tensorflow::DT_INT64);
    output.mutable_tensor_shape()->set_unknown_rank(true);
    tensorflow::serving::GetModelMetadataResponse response;
    (*response.mutable_metadata())["signature_def"].PackFrom(map);
    return response;
  }
  void OnStatus(net::GrpcCallRef call) {
    tensorflow::serving::GetModelStatusResponse response;
    {
      const std::lock_guard lock(mutex_);
      lease_ = net::FindHeader(call->head().headers, "x-penstock-lease");
      for (const auto& [version, state] : versions_) {
        auto& added = *response.add_model_version_status();
        added.set_version(version);
        added.set_state(static_cast<ModelVersionStatus::State>(std::abs(state)));
        added.set_is_leaving(state < 0);
      }
      if (says_nothing_) return call->Finish(absl::UnimplementedError("no such method"));
    }
    Respond(call, response);
  }
  void OnPredict(net::GrpcCallRef call) {
    tensorflow::serving::PredictRequest request;
    request.ParseFromArray(call->message().data, static_cast<int>(call->message().size));
    const int64_t version = request.model_spec().version().value();
    tensorflow::serving::PredictResponse response;
    auto& output = (*response.mutable_outputs())["version"];
    output.set_dtype(tensorflow::DT_INT64);
    output.add_int64_val(version);
    {
      const std::lock_guard lock(mutex_);
      asked_.push_back(version);
      if (!says_nothing_ && !versions_.contains(version))
        return call->Finish(absl::NotFoundError("Servable not found for request: Specific(m, 1)"));
    }
    Respond(call, response);
  }

  mutable std::mutex mutex_;
  std::map<int64_t, int> versions_;
  bool says_nothing_ = false;
  std::string lease_;
  std::vector<int64_t> asked_;
  net::Router router_;
  MetricsRegistry metrics_;
  std::unique_ptr<net::Server> server_;
};

constexpr int kServed = ModelVersionStatus::AVAILABLE;
constexpr int kLoaded = ModelVersionStatus::LOADING;

// A manager with the remote model "m". One thread.
class RemoteSourceTest : public testing::Test {
 protected:
  RemoteSourceTest() { EXPECT_TRUE(manager_.SetModel({.name = "m"}).ok()); }
  ~RemoteSourceTest() override {
    source_.Stop();
    manager_.Stop();
  }

  void Serve(std::vector<RemoteTarget> targets, int min_replicas = 1) {
    Follow(std::move(targets), min_replicas);
    source_.Start(manager_);
    ASSERT_TRUE(source_.SetModels({AsSourceModel()}).ok());
  }
  static core::SourceModel AsSourceModel() {
    core::SourceModel model;
    model.name = "m";
    model.base_path = kRemotePath;
    return model;
  }
  void Follow(std::vector<RemoteTarget> targets, int min_replicas = 1) {
    RemoteVersion remote{.is_followed = true,
                         .min_replicas = min_replicas,
                         .targets = std::move(targets),
                         .model = "m"};
    watches_.Set({{"m", remote}});
  }
  std::unique_ptr<core::Loader> MakeLoader(const core::ServableId& id) {
    RemoteVersion remote{.is_followed = true, .targets = {}, .model = "m"};
    return std::make_unique<RemoteLoader>(id, std::move(remote), settings_, loops_, engine_,
                                          metrics_, InlineOptions{}, watches_.Find("m"));
  }
  // Until these are the only versions here.
  void WaitFor(const std::vector<int64_t>& versions) {
    const bool is_reached = manager_.WaitFor(
        [&] {
          std::vector<int64_t> found;
          for (const core::VersionStatus& each : manager_.VersionStatuses("m")) {
            if (each.state == core::VersionState::kAvailable)
              found.insert(found.begin(), each.id.version.value);
          }
          return found == versions;
        },
        std::chrono::steady_clock::now() + std::chrono::seconds(60));
    ASSERT_TRUE(is_reached) << manager_.SourceStatus("m");
  }
  // The version whose answer a request for the newest one gets; or the error.
  StatusOr<int64_t> Ask() {
    const auto handle = manager_.GetHandle("m");
    if (!handle.ok()) return handle.status();
    InferRequest request;
    std::promise<InferResponse> promise;
    static_cast<ServedModel&>(handle->servable())
        .model()
        .Run(request, [&](InferResponse&& response) { promise.set_value(std::move(response)); });
    InferResponse response = promise.get_future().get();
    if (!response.status.ok()) return response.status;
    return response.outputs.at(0).tensor.as<int64_t>()[0];
  }

  MetricsRegistry metrics_;
  core::Manager manager_{{}};
  schedule::Scheduler scheduler_{{.compute_slots = 1, .threads = schedule::PoolThreads::kNone}};
  Engine engine_{{}, manager_, scheduler_};
  RemoteSettings settings_{.targets = {}, .version_interval = milliseconds(10)};
  RemoteLoopsOwner loops_{1, std::chrono::seconds(5)};
  VersionWatches watches_{settings_, loops_};
  RemoteSource source_{
      &watches_, [this](const core::ServableId& id, const std::string&) { return MakeLoader(id); }};
};

TEST_F(RemoteSourceTest, ServesTheNewestVersionOfItsTargets) {
  VersionServer one(VersionServer::States{{3, kServed}}),
      two(VersionServer::States{{3, kServed}, {4, kLoaded}});
  Serve({one.where(), two.where()});
  WaitFor({3});
  for (int i = 0; i < 20; ++i) EXPECT_EQ(*Ask(), 3);
  EXPECT_THAT(manager_.SourceStatus("m").message(), HasSubstr("0 of 2 targets have it"));
  one.TakeAsked();
  // Only the second one has version 4, so only it gets requests.
  two.Set({{3, kServed}, {4, kServed}});
  WaitFor({4});
  for (int i = 0; i < 20; ++i) EXPECT_EQ(*Ask(), 4);
  EXPECT_THAT(one.TakeAsked(), testing::Not(Contains(4)));
  while (one.lease() != "4") std::this_thread::yield();
  while (two.lease() != "4") std::this_thread::yield();
  // Then the first one, too.
  one.Set({{4, kServed}});
  while (one.TakeAsked().empty()) EXPECT_EQ(*Ask(), 4);
}

TEST_F(RemoteSourceTest, HoldsWhatItUses) {
  VersionServer one(VersionServer::States{{1, kServed}}), two(VersionServer::States{{1, kServed}});
  Serve({one.where(), two.where()}, /*min_replicas=*/2);
  WaitFor({1});
  EXPECT_EQ(one.lease(), "1");
  {
    const core::Handle handle = *manager_.GetHandle("m");
    one.Set({{1, -kServed}, {2, kServed}});
    two.Set({{1, -kServed}, {2, kServed}});
    WaitFor({2});
    // A request still uses version 1.
    EXPECT_TRUE(one.lease() == "1,2" || one.lease() == "2,1") << one.lease();
  }
  while (one.lease() != "2") std::this_thread::yield();
}

TEST_F(RemoteSourceTest, ARequestGoesElsewhereIfATargetHasLostTheVersion) {
  settings_.version_interval = std::chrono::hours(1);
  VersionWatches seldom(settings_, loops_);
  VersionServer one(VersionServer::States{{1, kServed}}), two(VersionServer::States{{1, kServed}});
  RemoteVersion remote{.is_followed = true, .targets = {one.where(), two.where()}, .model = "m"};
  seldom.Set({{"m", remote}});
  RemoteLoader loader({"m", {1}}, remote, settings_, loops_, engine_, metrics_, {},
                      seldom.Find("m"));
  const auto loaded = loader.Load();
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  while (metrics_.FirstValue("penstock_remote_targets") != 2) std::this_thread::yield();
  one.Set({{2, kServed}});
  Model& model = static_cast<ServedModel&>(**loaded).model();
  for (int i = 0; i < 20; ++i) {
    InferRequest request;
    std::promise<InferResponse> promise;
    model.Run(request, [&](InferResponse&& answer) { promise.set_value(std::move(answer)); });
    EXPECT_EQ(promise.get_future().get().status, OkStatus());
  }
  EXPECT_FALSE(one.TakeAsked().empty());
}

TEST_F(RemoteSourceTest, TargetsWithoutVersionsHaveVersionOne) {
  VersionServer one(VersionServer::States{});
  one.SayNothing();
  Serve({one.where()});
  WaitFor({1});
  EXPECT_EQ(*Ask(), 0) << "the request must name no version";
}

TEST_F(RemoteSourceTest, SaysWhyThereIsNoVersion) {
  Serve({{"127.0.0.1", 1}});
  manager_.WaitFor([&] { return !manager_.SourceStatus("m").ok(); },
                   std::chrono::steady_clock::now() + std::chrono::seconds(60));
  const Status status = manager_.SourceStatus("m");
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_THAT(std::string(MessageOf(status)), HasSubstr("127.0.0.1:1"));
  // Other targets count at once.
  VersionServer one(VersionServer::States{{7, kServed}});
  Follow({one.where()});
  WaitFor({7});
  // And if they lose the model, it ends here.
  one.Set({});
  WaitFor({});
  EXPECT_FALSE(Ask().ok());
}

TEST_F(RemoteSourceTest, DeclaredVersionsAreThereAtOnce) {
  source_.Start(manager_);
  core::SourceModel model = AsSourceModel();
  model.composed[VersionNumber{2}].revision = 7;
  EXPECT_EQ(source_.HasVersion("m", "", {2}), std::nullopt);
  ASSERT_TRUE(source_.SetModels({model}).ok());
  EXPECT_EQ(source_.HasVersion("m", "", {2}), true);
  EXPECT_EQ(source_.HasVersion("m", "", {1}), false);
  manager_.WaitFor([&] { return !manager_.VersionStatuses("m").empty(); },
                   std::chrono::steady_clock::now() + std::chrono::seconds(60));
  EXPECT_EQ(manager_.VersionStatuses("m").at(0).id.version, VersionNumber{2});
}

}  // namespace
}  // namespace penstock::remote
