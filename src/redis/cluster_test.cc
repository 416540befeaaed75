// SPDX-License-Identifier: Apache-2.0
#include "redis/cluster.h"

#include <gtest/gtest.h>

#include <future>

#include "redis/redis_fake.h"

namespace penstock::redis {
namespace {

using Command = RedisFake::Command;

// GETs of some keys. An empty value is no answer. One thread at a time.
class Gets final : public Batch {
 public:
  explicit Gets(const std::vector<std::string>& keys) : keys_(keys), values(keys.size()) {
    for (const std::string& key : keys) {
      const std::array<std::string_view, 2> arguments = {"GET", key};
      const std::string command = MakeCommand(arguments);
      reads.push_back({.slot = SlotOf(key),
                       .begin = static_cast<uint32_t>(commands.size()),
                       .bytes = static_cast<uint32_t>(command.size())});
      commands += command;
    }
  }
  bool Take(size_t read, size_t, const Token& token) override {
    if (token.kind != TokenKind::kBulk || token.text.empty()) return false;
    values[read] = token.text;
    return true;
  }
  std::string NameOf(size_t read) const override { return "the key " + keys_[read]; }
  void Done(Status status) override { done.set_value(std::move(status)); }

 private:
  const std::vector<std::string> keys_;

 public:
  std::vector<std::string> values;
  std::promise<Status> done;
};

// A master and its replica, which have all slots. Each answers GET with its own name and the key.
class ClusterTest : public testing::Test {
 protected:
  ClusterTest()
      : master_([this](const Command& command) { return Answer("m", command); }),
        replica_([this](const Command& command) { return Answer("r", command); }) {}
  // The client ends first.
  ~ClusterTest() override {
    cluster_.reset();
    master_.Stop();
    replica_.Stop();
  }

  FakeAnswer Answer(const std::string& name, const Command& command) {
    if (command[0] == "CLUSTER")
      return {Slots({{0, 16383}}, {{master_.address(), replica_.address()}})};
    if (command[0] == "GET") return {Bulk(name + command[1])};
    return {std::string(kOk)};
  }
  // The master answers GET with `bytes`.
  void MasterAnswers(std::string bytes, bool closes = false) {
    master_.SetHandler([=, this](const Command& command) {
      return command[0] == "GET" ? FakeAnswer{bytes, closes} : Answer("m", command);
    });
  }
  void ReplicaAnswers(std::string bytes, bool closes = false) {
    replica_.SetHandler([=, this](const Command& command) {
      return command[0] == "GET" ? FakeAnswer{bytes, closes} : Answer("r", command);
    });
  }
  ClusterOptions Defaults() {
    ClusterOptions options;
    options.seeds = {master_.address()};
    // The machine of a test may be slow. Tests of failures have shorter times.
    options.connect_timeout = std::chrono::seconds(5);
    options.stall_time = options.silence_max = std::chrono::seconds(20);
    options.hedge_after_min = std::chrono::seconds(20);
    options.answer_timeout = std::chrono::seconds(30);
    return options;
  }
  void Open(ClusterOptions options) {
    cluster_.reset();
    cluster_ = Cluster::Open(std::move(options)).value();
  }
  Status Get(const std::shared_ptr<Gets>& gets) {
    std::future<Status> done = gets->done.get_future();
    if (!cluster_->Submit(gets)) return Error(StatusCode::kResourceExhausted, "refused");
    return done.get();
  }
  // Returns the value, or the message of the error.
  std::string Get(const std::string& key) {
    const auto gets = std::make_shared<Gets>(std::vector<std::string>{key});
    const Status status = Get(gets);
    return status.ok() ? gets->values[0] : std::string(MessageOf(status));
  }
  // Waits until the replica is connected, too.
  void WaitForReplica() {
    while (replica_.CountOf("READONLY") == 0) std::this_thread::yield();
    while (cluster_->CallEach(MakeCommand(std::array<std::string_view, 1>{"PING"})).size() < 2)
      std::this_thread::yield();
  }

  RedisFake master_;
  RedisFake replica_;
  std::unique_ptr<Cluster> cluster_;
};

TEST_F(ClusterTest, AsksTheMaster) {
  Open(Defaults());
  const auto gets = std::make_shared<Gets>(std::vector<std::string>{"a", "b", "c"});
  EXPECT_EQ(Get(gets), OkStatus());
  EXPECT_EQ(gets->values, (std::vector<std::string>{"ma", "mb", "mc"}));
  EXPECT_EQ(replica_.CountOf("GET"), 0);
}

TEST_F(ClusterTest, ABatchThatWritesGoesToTheMasterOnly) {
  ClusterOptions options = Defaults();
  options.hedge_after_min = options.stall_time = std::chrono::milliseconds(1);
  Open(options);
  WaitForReplica();
  std::atomic<int> count = 0;
  master_.SetHandler([&, this](const Command& command) {
    if (command[0] != "GET") return Answer("m", command);
    // It is late, too, so a batch that reads would ask the replica.
    if (++count == 1) return FakeAnswer{"-CLUSTERDOWN The cluster is down\r\n"};
    if (count == 2) return FakeAnswer{"", /*closes=*/true};
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    return Answer("m", command);
  });
  const auto gets = std::make_shared<Gets>(std::vector<std::string>{"a"});
  gets->writes = true;
  EXPECT_EQ(Get(gets), OkStatus());
  EXPECT_EQ(gets->values[0], "ma");
  EXPECT_EQ(replica_.CountOf("GET"), 0);
}

TEST_F(ClusterTest, AnswersABatchWithoutReads) {
  Open(Defaults());
  EXPECT_EQ(Get(std::make_shared<Gets>(std::vector<std::string>{})), OkStatus());
}

TEST_F(ClusterTest, GivesThePassword) {
  ClusterOptions options = Defaults();
  options.user = "reader";
  options.password = "secret";
  Command auth;
  master_.SetHandler([&](const Command& command) {
    if (command[0] == "AUTH") auth = command;
    return Answer("m", command);
  });
  Open(options);
  EXPECT_EQ(Get("a"), "ma");
  EXPECT_EQ(auth, (Command{"AUTH", "reader", "secret"}));
}

TEST_F(ClusterTest, SaysWhyNobodyAnswers) {
  ClusterOptions options = Defaults();
  options.answer_timeout = std::chrono::milliseconds(300);
  master_.SetHandler([&](const Command& command) {
    return command[0] == "READONLY" ? FakeAnswer{"-NOAUTH Authentication required.\r\n"}
                                    : Answer("m", command);
  });
  Open(options);
  EXPECT_NE(Get("a").find("NOAUTH Authentication required."), std::string::npos);
}

TEST_F(ClusterTest, AsksTheReplicaIfTheMasterDies) {
  Open(Defaults());
  EXPECT_EQ(Get("a"), "ma");
  WaitForReplica();
  MasterAnswers("", /*closes=*/true);
  EXPECT_EQ(Get("a"), "ra");
  master_.Stop();
  EXPECT_EQ(Get("b"), "rb");
}

TEST_F(ClusterTest, AsksTheReplicaIfTheMasterIsSilent) {
  ClusterOptions options = Defaults();
  options.hedge_after_min = std::chrono::milliseconds(1);
  Open(options);
  WaitForReplica();
  MasterAnswers("");
  EXPECT_EQ(Get("a"), "ra");
}

// The bound of hedges does not hold for a node that sends nothing.
TEST_F(ClusterTest, LeavesAStalledMaster) {
  ClusterOptions options = Defaults();
  options.stall_time = std::chrono::milliseconds(1);
  Open(options);
  WaitForReplica();
  MasterAnswers("");
  for (int i = 0; i < 50; ++i) EXPECT_EQ(Get("a"), "ra");
}

TEST_F(ClusterTest, AsksTheOtherNodeIfAnAnswerIsNone) {
  Open(Defaults());
  WaitForReplica();
  MasterAnswers("$-1\r\n");
  EXPECT_EQ(Get("a"), "ra");
}

TEST_F(ClusterTest, NamesTheKeyThatNobodyHas) {
  ClusterOptions options = Defaults();
  options.answer_timeout = std::chrono::milliseconds(200);
  Open(options);
  MasterAnswers("$-1\r\n");
  ReplicaAnswers("$-1\r\n");
  EXPECT_NE(Get("a").find("does not have the key a"), std::string::npos);
  EXPECT_GE(master_.CountOf("GET"), 2);
}

TEST_F(ClusterTest, FollowsMovedAndAsk) {
  RedisFake other([&](const Command& command) { return Answer("o", command); });
  Open(Defaults());
  // As the replica of a master that has given the slot away. It is asked while the other node is
  // not connected yet.
  const std::string moved = "-MOVED 1 " + other.address().ToString() + "\r\n";
  MasterAnswers(moved);
  ReplicaAnswers(moved);
  EXPECT_EQ(Get("a"), "oa");
  EXPECT_EQ(other.CountOf("ASKING"), 0);
  MasterAnswers("-ASK 1 " + other.address().ToString() + "\r\n");
  EXPECT_EQ(Get("b"), "ob");
  cluster_.reset();
  other.Stop();
}

// A new master may be missing in the slot map, which is read after each redirect to it.
TEST_F(ClusterTest, KeepsTheConnectionToANodeThatOnlyRedirectsName) {
  RedisFake other([&](const Command& command) { return Answer("o", command); });
  Open(Defaults());
  const RedisFake::Handler handler = [&](const Command& command) {
    if (command[0] != "GET") return Answer("m", command);
    if (command[1] == "never") return FakeAnswer{"-CLUSTERDOWN The cluster is down\r\n"};
    return FakeAnswer{"-MOVED 1 " + other.address().ToString() + "\r\n"};
  };
  master_.SetHandler(handler);
  replica_.SetHandler(handler);
  // While a batch is open, the client checks its connections each millisecond.
  const auto open = std::make_shared<Gets>(std::vector<std::string>{"never"});
  ASSERT_TRUE(cluster_->Submit(open));
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(Get("a"), "oa");
    std::this_thread::sleep_for(std::chrono::milliseconds(25));
  }
  EXPECT_EQ(other.CountOf("READONLY"), 1) << "one for each connection";
  cluster_.reset();
  other.Stop();
}

TEST_F(ClusterTest, TriesAgainWhatMayPass) {
  Open(Defaults());
  std::atomic<int> count{0};
  const RedisFake::Handler busy = [&](const Command& command) {
    if (command[0] == "GET" && ++count < 5)
      return FakeAnswer{"-CLUSTERDOWN The cluster is down\r\n"};
    return Answer("x", command);
  };
  master_.SetHandler(busy);
  replica_.SetHandler(busy);
  EXPECT_EQ(Get("a"), "xa");
}

TEST_F(ClusterTest, GivesOtherErrorsToTheCaller) {
  Open(Defaults());
  MasterAnswers("-WRONGTYPE it is a list\r\n");
  const auto gets = std::make_shared<Gets>(std::vector<std::string>{"a", "b"});
  const Status status = Get(gets);
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(MessageOf(status).find("WRONGTYPE"), std::string::npos);
}

TEST_F(ClusterTest, RefusesMoreBatchesThanItsLimit) {
  ClusterOptions options = Defaults();
  options.batches_max = 1;
  Open(options);
  MasterAnswers("");
  ReplicaAnswers("");
  const auto first = std::make_shared<Gets>(std::vector<std::string>{"a"});
  CancelToken cancel;
  first->cancel = &cancel;
  std::future<Status> done = first->done.get_future();
  ASSERT_TRUE(cluster_->Submit(first));
  EXPECT_EQ(Get("b"), "refused");
  cancel.Cancel();
  EXPECT_EQ(done.get().code(), StatusCode::kCancelled);
}

TEST_F(ClusterTest, EndsAtTheDeadline) {
  Open(Defaults());
  MasterAnswers("");
  ReplicaAnswers("");
  const auto gets = std::make_shared<Gets>(std::vector<std::string>{"a"});
  gets->deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(30);
  EXPECT_EQ(Get(gets).code(), StatusCode::kDeadlineExceeded);
}

TEST_F(ClusterTest, AnswersWhatWaitsWhenItEnds) {
  Open(Defaults());
  MasterAnswers("");
  ReplicaAnswers("");
  const auto gets = std::make_shared<Gets>(std::vector<std::string>{"a"});
  std::future<Status> done = gets->done.get_future();
  ASSERT_TRUE(cluster_->Submit(gets));
  cluster_.reset();
  EXPECT_EQ(done.get().code(), StatusCode::kUnavailable);
}

// Whatever the master sends, the replica has the answer.
class HostileNodeTest : public ClusterTest, public testing::WithParamInterface<std::string> {};

TEST_P(HostileNodeTest, CannotDoHarm) {
  ClusterOptions options = Defaults();
  options.bulk_bytes_max = 1000;
  options.stall_time = std::chrono::milliseconds(1);
  Open(options);
  WaitForReplica();
  MasterAnswers(GetParam());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Get("a"), "ra");
}

INSTANTIATE_TEST_SUITE_P(
    Answers, HostileNodeTest,
    testing::Values("garbage\r\n", "$5000\r\n", "$5\r\nab", "*1000000\r\n", "*1048577\r\n",
                    "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
                    std::string(10'000, 'x'), "+", ":1\r\n", "*2\r\n$1\r\na\r\n",
                    "$-1\r\n$1\r\na\r\n", "$0\r\n\r\n", "-MOVED 0 127.0.0.1:1\r\n",
                    "-MOVED 99999 x\r\n", "-ASK 0 127.0.0.1:1\r\n", "-TRYAGAIN\r\n", "-MOVED\r\n"));

TEST_F(ClusterTest, DoesNotUseASlotMapThatIsWrong) {
  for (const std::string_view slots : {"*0\r\n", ":1\r\n", "*1\r\n*1\r\n:0\r\n",
                                       "-ERR This instance has cluster support disabled\r\n",
                                       "*1\r\n*3\r\n:0\r\n:99999\r\n*2\r\n$1\r\na\r\n:1\r\n"}) {
    ClusterOptions options = Defaults();
    options.answer_timeout = std::chrono::milliseconds(100);
    master_.SetHandler([=, this](const Command& command) {
      return command[0] == "CLUSTER" ? FakeAnswer{std::string(slots)} : Answer("m", command);
    });
    Open(options);
    EXPECT_NE(Get("a").find("no slot map: "), std::string::npos) << slots;
  }
}

}  // namespace
}  // namespace penstock::redis
