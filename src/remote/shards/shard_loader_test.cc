// SPDX-License-Identifier: Apache-2.0
// A table in shards, and its targets, which are servers on loopback whose answers a test chooses.
#include "remote/shards/shard_loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <future>
#include <mutex>
#include <set>

#include "infer/served_model.h"
#include "net/socket/server.h"
#include "remote/asking_loop.h"
#include "remote/messages.h"
#include "serving/predict.pb.h"
#include "tables/description.h"

namespace penstock::remote {
namespace {

using std::chrono::milliseconds;
using tables::KeyType;
using testing::ElementsAre;
using testing::HasSubstr;

ByteChain BytesOf(const std::string& text) { return ByteChain(WholeSlice(CopyToBuffer(text))); }

// A server with one shard of a table: the row of a key is its number, and twice that. Keys whose
// last digit is 9 are missing. String keys are "k" and a number. Its handlers run on its loop.
class FakeShard final {
 public:
  FakeShard(uint32_t index, uint32_t count, KeyType type = KeyType::kInt64) : type_(type) {
    table.key_type = type;
    table.dimension = 2;
    table.rows = 10;
    table.shard = {index, count};
    router_.AddGrpc({.method = kPredictMethod,
                     .handler = [this](net::GrpcCallRef call) { Answer(std::move(call)); }});
    net::ServerOptions options;
    options.loops = 1;
    options.listen = {{.address = "127.0.0.1", .port = 0}};
    auto server = net::Server::Start(options, router_, metrics_);
    server_ = *std::move(server);
    where_ = {"127.0.0.1", static_cast<uint16_t>(server_->ports()[0])};
  }

  const RemoteTarget& where() const { return where_; }
  void End() { server_.reset(); }
  ServerLoops Loops() const { return server_->IoLoops(); }

  // Set them before the first request.
  tables::TableDescription table;
  int64_t version = 1;
  // Answers a call for rows, and returns true; or leaves it to the server.
  std::function<bool(net::GrpcCallRef&)> handle = [](net::GrpcCallRef&) { return false; };
  std::atomic<int> calls{0};

 private:
  void Answer(net::GrpcCallRef call) {
    tensorflow::serving::PredictRequest request;
    request.ParseFromArray(call->message().data, static_cast<int>(call->message().size));
    const bool describes = request.model_spec().signature_name() == tables::kTableSignature;
    if (!describes) {
      ++calls;
      if (handle(call)) return;
    }
    tensorflow::serving::PredictResponse response;
    response.mutable_model_spec()->mutable_version()->set_value(version);
    if (describes) {
      Describe(response);
    } else {
      GiveRows(request.inputs().at("keys"), response);
    }
    call->Respond(BytesOf(response.SerializeAsString()));
  }

  void Describe(tensorflow::serving::PredictResponse& response) {
    auto& outputs = *response.mutable_outputs();
    const auto number = [&](const char* name, int64_t value) {
      outputs[name].set_dtype(tensorflow::DT_INT64);
      outputs[name].add_int64_val(value);
    };
    const auto text = [&](const char* name, std::string_view value) {
      outputs[name].set_dtype(tensorflow::DT_STRING);
      outputs[name].add_string_val(std::string(value));
    };
    number("dimension", static_cast<int64_t>(table.dimension));
    number("row_count", static_cast<int64_t>(table.rows));
    text("key_type", tables::KeyTypeName(table.key_type));
    text("hash", table.key_type == KeyType::kDense ? "modulo" : "mix64");
    auto& shard = outputs["shard"];
    shard.set_dtype(tensorflow::DT_INT64);
    shard.add_int64_val(table.shard.index);
    shard.add_int64_val(table.shard.count);
    shard.mutable_tensor_shape()->add_dim()->set_size(2);
    auto& row = outputs["default_row"];
    row.set_dtype(tensorflow::DT_FLOAT);
    row.mutable_tensor_shape()->add_dim()->set_size(
        table.default_row.empty() ? 0 : static_cast<int64_t>(table.dimension));
    row.set_tensor_content(table.default_row);
  }

  void GiveRows(const tensorflow::TensorProto& keys,
                tensorflow::serving::PredictResponse& response) {
    std::vector<int64_t> numbers;
    if (type_ == KeyType::kString) {
      for (const std::string& key : keys.string_val()) {
        EXPECT_EQ(tables::ShardHash(key) % table.shard.count, table.shard.index);
        numbers.push_back(std::stoll(key.substr(1)));
      }
    } else {
      const auto* const values = reinterpret_cast<const int64_t*>(keys.tensor_content().data());
      numbers.assign(values, values + keys.tensor_content().size() / sizeof(int64_t));
      for (const int64_t key : numbers)
        EXPECT_EQ(tables::ShardHash(type_, key) % table.shard.count, table.shard.index);
    }
    auto& rows = (*response.mutable_outputs())["rows"];
    auto& found = (*response.mutable_outputs())["found"];
    rows.set_dtype(tensorflow::DT_FLOAT);
    found.set_dtype(tensorflow::DT_BOOL);
    for (auto* tensor : {&rows, &found})
      tensor->mutable_tensor_shape()->add_dim()->set_size(static_cast<int64_t>(numbers.size()));
    rows.mutable_tensor_shape()->add_dim()->set_size(2);
    for (const int64_t number : numbers) {
      found.add_bool_val(number % 10 != 9);
      rows.add_float_val(number % 10 == 9 ? -1 : static_cast<float>(number));
      rows.add_float_val(number % 10 == 9 ? -1 : static_cast<float>(2 * number));
    }
  }

  const KeyType type_;
  net::Router router_;
  MetricsRegistry metrics_;
  std::unique_ptr<net::Server> server_;
  RemoteTarget where_;
};

// Loads tables in shards, and looks rows up. One thread.
class ShardLoaderTest : public testing::Test {
 protected:
  ShardLoaderTest() { settings_.health_interval = Duration::zero(); }

  StatusOr<std::unique_ptr<core::Servable>> Load(
      const std::vector<std::vector<FakeShard*>>& shards) {
    remote_.shards.clear();
    remote_.is_idempotent = true;
    for (const auto& targets : shards) {
      RemoteShard& shard = remote_.shards.emplace_back();
      shard.model = "s" + std::to_string(remote_.shards.size() - 1);
      for (const FakeShard* target : targets) shard.targets.push_back(target->where());
    }
    ShardLoader loader({"m", {1}}, remote_, settings_, loops_, engine_, metrics_, {});
    return loader.Load();
  }
  void Serve(const std::vector<std::vector<FakeShard*>>& shards) {
    auto loaded = Load(shards);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    served_ = *std::move(loaded);
  }
  std::string ErrorOfLoad(const std::vector<std::vector<FakeShard*>>& shards, StatusCode code) {
    const Status status = Load(shards).status();
    EXPECT_EQ(status.code(), code) << status;
    return std::string(MessageOf(status));
  }
  Model& model() { return static_cast<ServedModel&>(*served_).model(); }

  InferResponse Ask(const Tensor& keys, std::string_view signature = {},
                    SteadyTime deadline = kNoDeadline) {
    InferRequest request;
    request.signature_name = signature;
    request.inputs.push_back({"keys", keys});
    request.deadline = deadline;
    request.cancel = &cancel_;
    EXPECT_EQ(CheckRequest(model().info(), request), OkStatus());
    return asking_.Run(model(), request);
  }
  InferResponse AskFor(const std::vector<int64_t>& keys, SteadyTime deadline = kNoDeadline) {
    Tensor tensor = *Tensor::Allocate(DType::kInt64, {static_cast<int64_t>(keys.size())});
    std::ranges::copy(keys, tensor.mutable_as<int64_t>().begin());
    return Ask(tensor, {}, deadline);
  }
  template <typename T>
  static std::vector<T> Values(const InferResponse& response, std::string_view name) {
    EXPECT_TRUE(response.status.ok()) << response.status;
    for (const NamedTensor& output : response.outputs) {
      if (output.name != name) continue;
      const auto values = output.tensor.as<T>();
      return {values.begin(), values.end()};
    }
    ADD_FAILURE() << "no output " << name;
    return {};
  }
  // The rows of many keys are right.
  void CheckRows() {
    std::vector<int64_t> keys;
    for (int64_t key = 0; key < 1000; ++key) keys.push_back(key * 7 % 997);
    const InferResponse response = AskFor(keys);
    const auto rows = Values<float>(response, "rows");
    const auto found = Values<bool>(response, "found");
    ASSERT_EQ(rows.size(), 2000U);
    for (size_t i = 0; i < keys.size(); ++i) {
      const bool is_there = keys[i] % 10 != 9;
      ASSERT_EQ(found[i], is_there);
      ASSERT_EQ(rows[2 * i], is_there ? static_cast<float>(keys[i]) : 0.f);
      ASSERT_EQ(rows[2 * i + 1], is_there ? static_cast<float>(2 * keys[i]) : 0.f);
    }
  }
  // A key of this shard, of two.
  static int64_t KeyOf(uint64_t shard) {
    int64_t key = 0;
    while (tables::ShardHash(KeyType::kInt64, key) % 2 != shard) ++key;
    return key;
  }
  // In the order of ascending shards: one key of each.
  static std::vector<int64_t> KeyOfEach() { return {KeyOf(0), KeyOf(1)}; }

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

TEST_F(ShardLoaderTest, GivesEachKeyItsRow) {
  FakeShard a(0, 3), b(1, 3), c(2, 3);
  Serve({{&a}, {&b}, {&c}});
  CheckRows();
  EXPECT_EQ(a.calls + b.calls + c.calls, 3);
  EXPECT_TRUE(model().info().traits.runs_others);
  EXPECT_THAT(model().info().notes[0], HasSubstr("30 rows of 2 float32 elements"));
  // A shard without keys is not asked.
  EXPECT_THAT(Values<float>(AskFor({4, 4}), "rows"), ElementsAre(4, 8, 4, 8));
  EXPECT_EQ(a.calls + b.calls + c.calls, 4);
  EXPECT_TRUE(Values<float>(AskFor({}), "rows").empty());
  EXPECT_EQ(a.calls + b.calls + c.calls, 4);
}

TEST_F(ShardLoaderTest, ARequestStaysOnItsLoopUntilThisEnds) {
  FakeShard a(0, 2), b(1, 2), root(0, 1);
  const ServerLoops loops = root.Loops();
  loops_.UseServerLoops(loops);
  Serve({{&a}, {&b}});
  asking_.loop = loops[0].get();
  std::promise<std::thread::id> thread;
  asking_.loop->Post([&] { thread.set_value(std::this_thread::get_id()); });
  CheckRows();
  EXPECT_EQ(asking_.answered_on, thread.get_future().get());
  root.End();
  asking_.loop = nullptr;
  CheckRows();
}

TEST_F(ShardLoaderTest, KeysMayBeDenseOrStrings) {
  {
    FakeShard a(0, 2, KeyType::kDense), b(1, 2, KeyType::kDense);
    Serve({{&a}, {&b}});
    EXPECT_THAT(Values<float>(AskFor({5, 0, 3, 2}), "rows"), ElementsAre(5, 10, 0, 0, 3, 6, 2, 4));
    served_ = nullptr;
  }
  FakeShard a(0, 2, KeyType::kString), b(1, 2, KeyType::kString);
  Serve({{&a}, {&b}});
  const std::vector<std::string> texts = {"k5", "k0", "k19", "k123"};
  Tensor keys = *Tensor::Allocate(DType::kString, {2, 2});
  for (size_t i = 0; i < 4; ++i)
    keys.mutable_as<StringElement>()[i] = {texts[i].data(), texts[i].size()};
  const InferResponse response = Ask(keys);
  EXPECT_THAT(Values<float>(response, "rows"), ElementsAre(5, 10, 0, 0, 0, 0, 123, 246));
  EXPECT_THAT(Values<bool>(response, "found"), ElementsAre(true, true, false, true));
}

TEST_F(ShardLoaderTest, PoolsRowsOfSeveralShards) {
  FakeShard a(0, 2), b(1, 2);
  Serve({{&a}, {&b}});
  Tensor keys = *Tensor::Allocate(DType::kInt64, {2, 3});
  std::ranges::copy(std::vector<int64_t>{1, 2, 3, 4, 5, 9}, keys.mutable_as<int64_t>().begin());
  EXPECT_THAT(Values<float>(Ask(keys, "sum"), "pooled"), ElementsAre(6, 12, 9, 18));
}

TEST_F(ShardLoaderTest, OnlyItsOwnShardIsRight) {
  FakeShard a(0, 2), b(1, 2), of_three(1, 3), whole(0, 1), large(1, 2), dense(1, 2), other(1, 2);
  large.table.dimension = 4;
  dense.table.key_type = KeyType::kDense;
  other.table.default_row = std::string(8, '\1');
  const auto error = [&](FakeShard& second) {
    return ErrorOfLoad({{&a}, {&second}}, StatusCode::kInvalidArgument);
  };
  EXPECT_THAT(ErrorOfLoad({{&b}, {&a}}, StatusCode::kInvalidArgument), HasSubstr("2, but shard"));
  EXPECT_THAT(error(a), HasSubstr("its model 's1' is shard 0 of 2, but shard 1 of 2 is wanted"));
  EXPECT_THAT(error(of_three), HasSubstr("is shard 1 of 3, but shard 1 of 2 is wanted"));
  EXPECT_THAT(error(whole), HasSubstr("is the whole table, but shard 1 of 2"));
  EXPECT_THAT(error(large), HasSubstr("elements, but shard"));
  EXPECT_THAT(error(dense), HasSubstr("dense keys"));
  EXPECT_THAT(error(other), HasSubstr("another default row"));
  EXPECT_EQ(Load({{&a}, {&b}}).status(), OkStatus());
}

TEST_F(ShardLoaderTest, EachShardMustBeSomewhere) {
  FakeShard a(0, 2), b(1, 2);
  b.End();
  EXPECT_THAT(ErrorOfLoad({{&a}, {&b}}, StatusCode::kUnavailable),
              HasSubstr("shard 1 (s1) is at none of its targets: 127.0.0.1:"));
}

TEST_F(ShardLoaderTest, ATargetThatHasLostItsShardIsReplaced) {
  FakeShard a(0, 2), b(1, 2), b_too(1, 2);
  b.handle = [](net::GrpcCallRef& call) {
    call->Finish(absl::NotFoundError("Servable not found for request: Latest(s1)"));
    return true;
  };
  Serve({{&a}, {&b, &b_too}});
  for (int i = 0; i < 20; ++i) CheckRows();
  EXPECT_GE(b.calls, 1);
  EXPECT_LE(b.calls, kFailuresToEject);
}

TEST_F(ShardLoaderTest, AShardThatFailsFailsTheRequest) {
  FakeShard a(0, 2), b(1, 2);
  Serve({{&a}, {&b}});
  CheckRows();
  b.End();
  const Status status = AskFor(KeyOfEach()).status;
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_THAT(std::string(MessageOf(status)), HasSubstr("shard 1 (s1): target 127.0.0.1:"));
  // The other shard goes on.
  EXPECT_EQ(Values<bool>(AskFor({KeyOf(0)}), "found").size(), 1U);
}

TEST_F(ShardLoaderTest, OrItsKeysGetDefaultRows) {
  FakeShard a(0, 2), b(1, 2);
  const std::vector<float> row = {7, 8};
  for (FakeShard* each : {&a, &b})
    each->table.default_row.assign(reinterpret_cast<const char*>(row.data()), 8);
  remote_.gives_default_rows = true;
  Serve({{&a}, {&b}});
  EXPECT_THAT(Values<bool>(AskFor(KeyOfEach()), "answered"), ElementsAre(true, true));
  b.End();
  for (int i = 0; i < 5; ++i) {
    const InferResponse response = AskFor(KeyOfEach());
    EXPECT_THAT(Values<bool>(response, "answered"), ElementsAre(true, false));
    EXPECT_THAT(Values<bool>(response, "found"), ElementsAre(true, false));
    const auto rows = Values<float>(response, "rows");
    EXPECT_EQ(rows[0], static_cast<float>(KeyOf(0)));
    EXPECT_EQ(rows[2], 7);
    EXPECT_EQ(rows[3], 8);
  }
  EXPECT_THAT(metrics_.Text(), HasSubstr("penstock_remote_unanswered_total{model_name=\"m\","
                                         "model_version=\"1\"} 5"));
}

TEST_F(ShardLoaderTest, AShardThatIsLateCountsAsOneThatFails) {
  FakeShard a(0, 2), b(1, 2);
  std::mutex mutex;
  std::vector<net::GrpcCallRef> kept;
  b.handle = [&](net::GrpcCallRef& call) {
    const std::lock_guard lock(mutex);
    kept.push_back(std::move(call));
    return true;
  };
  remote_.gives_default_rows = true;
  Serve({{&a}, {&b}});
  const InferResponse response =
      AskFor(KeyOfEach(), std::chrono::steady_clock::now() + milliseconds(200));
  EXPECT_THAT(Values<bool>(response, "answered"), ElementsAre(true, false));
  served_ = nullptr;
  const std::lock_guard lock(mutex);
  kept.clear();
}

TEST_F(ShardLoaderTest, EndsAtTheDeadlineAndWhenTheClientLeaves) {
  FakeShard a(0, 2), b(1, 2);
  std::mutex mutex;
  std::vector<net::GrpcCallRef> kept;
  a.handle = b.handle = [&](net::GrpcCallRef& call) {
    const std::lock_guard lock(mutex);
    kept.push_back(std::move(call));
    if (kept.size() == 4) cancel_.Cancel();
    return true;
  };
  Serve({{&a}, {&b}});
  EXPECT_EQ(AskFor(KeyOfEach(), std::chrono::steady_clock::now() + milliseconds(20)).status.code(),
            StatusCode::kDeadlineExceeded);
  EXPECT_EQ(AskFor(KeyOfEach()).status.code(), StatusCode::kCancelled);
  served_ = nullptr;
  const std::lock_guard lock(mutex);
  kept.clear();
}

TEST_F(ShardLoaderTest, VersionsAreNotMixed) {
  FakeShard a(0, 2), b(1, 2);
  b.version = 2;
  Serve({{&a}, {&b}});
  const Status status = AskFor(KeyOfEach()).status;
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_THAT(std::string(MessageOf(status)), HasSubstr("rows of two versions are not mixed"));
  EXPECT_EQ(AskFor({KeyOf(1)}).status, OkStatus());
}

TEST_F(ShardLoaderTest, AnAnswerMustHaveTheRows) {
  FakeShard a(0, 1);
  std::string answer;
  a.handle = [&](net::GrpcCallRef& call) {
    call->Respond(BytesOf(answer));
    return true;
  };
  Serve({{&a}});
  const auto error = [&] {
    const Status status = AskFor({1, 2}).status;
    EXPECT_EQ(status.code(), StatusCode::kInternal);
    return std::string(MessageOf(status));
  };
  EXPECT_THAT(error(), HasSubstr("has not the rows of 2 float32 elements for 2 keys"));
  tensorflow::serving::PredictResponse response;
  auto& found = (*response.mutable_outputs())["found"];
  found.set_dtype(tensorflow::DT_BOOL);
  found.mutable_tensor_shape()->add_dim()->set_size(2);
  found.add_bool_val(true);
  auto& rows = (*response.mutable_outputs())["rows"];
  rows.set_dtype(tensorflow::DT_FLOAT);
  rows.mutable_tensor_shape()->add_dim()->set_size(3);
  rows.add_float_val(1);
  answer = response.SerializeAsString();
  EXPECT_THAT(error(), HasSubstr("has not the rows"));
  answer = "\x0a\xff";
  EXPECT_THAT(error(), HasSubstr("cannot be read"));
}

TEST_F(ShardLoaderTest, ACircleEnds) {
  FakeShard a(0, 1);
  Serve({{&a}});
  InferRequest request;
  request.inputs.push_back({"keys", *Tensor::Allocate(DType::kInt64, {0})});
  request.hops = 4;
  std::promise<InferResponse> promise;
  model().Run(request, [&](InferResponse&& response) { promise.set_value(std::move(response)); });
  EXPECT_EQ(promise.get_future().get().status.code(), StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace penstock::remote
