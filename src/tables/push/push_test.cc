// SPDX-License-Identifier: Apache-2.0
#include "tables/push/push.h"

#include <gmock/gmock.h>

#include <map>

#include "redis/redis_fake.h"
#include "tables/key_hash.h"
#include "tables/redis_rows.h"
#include "tables/table_fixture.h"

namespace penstock::tables {
namespace {

using redis::Bulk;
using redis::FakeAnswer;
using redis::RedisFake;
using testing::HasSubstr;

// A node that keeps what it gets.
class PushTest : public TableFixture {
 protected:
  using Command = RedisFake::Command;
  struct Kept {
    std::string text;
    std::map<std::string, std::string> fields;
    std::string ttl;  // empty: none
  };

  // What the node has.
  using KeptKeys = std::map<std::string, Kept>;

  PushTest() : node_([this](const Command& command) { return Answer(command); }) {
    options_.source = folder_.path();
    options_.redis.addresses = {node_.address()};
    options_.redis.prefix = "t";
    options_.timeout = std::chrono::seconds(20);
  }
  ~PushTest() override { node_.Stop(); }

  FakeAnswer Answer(const Command& command) {
    MutexLock lock(mutex_);
    const std::string& name = command[0];
    if (name == "CLUSTER") return {redis::Slots({{0, 16383}}, {{node_.address()}})};
    if (name == "WAIT") return {":" + std::to_string(replicas_) + "\r\n"};
    if (command.size() < 2) return {std::string(redis::kOk)};
    const std::string& key = command[1];
    if (before_command_) before_command_(command, keys_);
    if (!refusal_.empty() && (name == "HSET" || name == "SET") && --writes_left_ < 0)
      return {refusal_};
    if (name == "SET") {
      keys_[key] = {.text = command[2], .fields = {}, .ttl = command.size() > 4 ? command[4] : ""};
      return {std::string(redis::kOk)};
    }
    if (name == "HSET") {
      for (size_t i = 2; i < command.size(); i += 2) keys_[key].fields[command[i]] = command[i + 1];
      return {":1\r\n"};
    }
    const auto found = keys_.find(key);
    const bool is_there = found != keys_.end();
    if (name == "GET") return {is_there ? Bulk(found->second.text) : "$-1\r\n"};
    if (name == "HGET") {
      const bool has = is_there && found->second.fields.contains(command[2]);
      return {has ? Bulk(found->second.fields[command[2]]) : "$-1\r\n"};
    }
    return {fmt::format(":{}\r\n", is_there ? NumberFor(name, command, found) : 0)};
  }
  size_t NumberFor(std::string_view name, const Command& command, KeptKeys::iterator at)
      REQUIRES(mutex_) {
    Kept& kept = at->second;
    if (name == "HLEN") return kept.fields.size();
    if (name == "STRLEN") return kept.text.size();
    if (name == "EXPIRE") kept.ttl = command[2];
    if (name == "PERSIST") return std::exchange(kept.ttl, "").empty() ? 0 : 1;
    if (name == "UNLINK" || name == "DEL") keys_.erase(at);
    return 1;
  }

  StatusOr<PushResult> Push() {
    return PushTable(options_, [](const PushProgress&) {});
  }
  std::string ErrorOfPush() { return std::string(MessageOf(Push().status())); }
  std::string TextOf(const std::string& key) {
    MutexLock lock(mutex_);
    return keys_.contains(key) ? keys_[key].text : "";
  }
  void Set(const std::string& key, std::string text) {
    MutexLock lock(mutex_);
    keys_[key].text = std::move(text);
  }
  std::vector<std::string> KeysWithPrefix(const std::string& prefix, bool with_ttl) {
    MutexLock lock(mutex_);
    std::vector<std::string> names;
    for (const auto& [name, kept] : keys_)
      if (name.starts_with(prefix) && kept.ttl.empty() != with_ttl) names.push_back(name);
    return names;
  }
  // Checks that the current generation has just these int64 keys, with the rows of WriteHps.
  void ExpectRows(const std::vector<int64_t>& keys) {
    const Generation generation = ParseGeneration(TextOf("t:current"), false).value();
    EXPECT_EQ(generation.rows, keys.size());
    MutexLock lock(mutex_);
    size_t fields = 0;
    for (uint32_t i = 0; i < generation.partitions; ++i) {
      const Kept& kept = keys_[fmt::format("t:{}:{}", generation.name, i)];
      EXPECT_TRUE(kept.fields.contains(std::string(kSentinel)));
      EXPECT_EQ(kept.ttl, "");
      fields += kept.fields.size();
    }
    EXPECT_EQ(fields, keys.size() + generation.partitions);
    for (size_t i = 0; i < keys.size(); ++i) {
      const uint64_t part = HashKey(keys[i]) % generation.partitions;
      const auto value = static_cast<float>(10 * i);
      EXPECT_EQ(
          keys_[fmt::format("t:{}:{}", generation.name, part)].fields[std::to_string(keys[i])],
          BytesOf<float>({value, value + 1}));
    }
  }

  PushOptions options_;
  Mutex mutex_;
  KeptKeys keys_ GUARDED_BY(mutex_);
  int replicas_ GUARDED_BY(mutex_) = 0;
  std::string refusal_ GUARDED_BY(mutex_);  // of writes, after so many
  int writes_left_ GUARDED_BY(mutex_) = 0;
  std::function<void(const Command&, KeptKeys&)> before_command_ GUARDED_BY(mutex_);
  RedisFake node_;
};

std::vector<int64_t> Keys(int64_t count) {
  std::vector<int64_t> keys;
  for (int64_t i = 0; i < count; ++i) keys.push_back(i * 7 - 20);
  return keys;
}

TEST_F(PushTest, WritesHashesWithSentinels) {
  WriteHps(Keys(100));
  WriteManifest(R"({"dimension": 2})");
  options_.parts.partitions = 5;
  options_.parts.ordered_rows_max = 30;  // so the keys are read several times
  const StatusOr<PushResult> result = Push();
  ASSERT_EQ(result.status(), OkStatus());
  EXPECT_EQ(result->generation.name, "1");
  EXPECT_EQ(result->before, "");
  EXPECT_EQ(result->rows_kept, 0U);
  EXPECT_EQ(TextOf("t:current"),
            R"({"generation": "1", "rows": 100, "partitions": 5, "key_type": "int64", )"
            R"("dtype": "float32", "dimension": 2})");
  ExpectRows(Keys(100));
  EXPECT_EQ(TextOf("t:push"), "");
}

TEST_F(PushTest, WritesTextsAsFields) {
  folder_.Write("keys.txt", std::string("red\n\n\0x\n", 8));
  folder_.Write("emb_vector", BytesOf<float>({1, 2, 3}));
  WriteManifest(R"({"key_type": "string", "dimension": 1, "dtype": "float32"})");
  ASSERT_EQ(Push().status(), OkStatus());
  MutexLock lock(mutex_);
  const auto& fields = keys_["t:1:0"].fields;
  EXPECT_EQ(fields.size(), 4U);
  EXPECT_EQ(fields.at("red"), BytesOf<float>({1}));
  EXPECT_EQ(fields.at(""), BytesOf<float>({2}));
  EXPECT_EQ(fields.at(std::string("\0\0x", 3)), BytesOf<float>({3}));
}

TEST_F(PushTest, RefusesATableOfAnOnnxModel) {
  folder_.Write("emb_vector", BytesOf<float>({0, 1}));
  WriteManifest(R"({"key_type": "dense", "dimension": 1, "indices": "int64"})");
  EXPECT_THAT(Push().status().ToString(), HasSubstr("was taken out of an ONNX model"));
}

TEST_F(PushTest, WritesBlocksOfDenseRows) {
  folder_.Write("emb_vector", BytesOf<float>({0, 1, 2, 3, 4}));
  WriteManifest(R"({"key_type": "dense", "dimension": 1})");
  options_.parts.block_rows = 2;
  ASSERT_EQ(Push().status(), OkStatus());
  EXPECT_EQ(TextOf("t:1:0"), BytesOf<float>({0, 1}));
  EXPECT_EQ(TextOf("t:1:2"), BytesOf<float>({4}));
  EXPECT_THAT(TextOf("t:current"), HasSubstr(R"("generation": "1", "rows": 5, "block_rows": 2)"));
  EXPECT_TRUE(KeysWithPrefix("t:", /*with_ttl=*/true).empty());
}

TEST_F(PushTest, TheRowsOfBeforeStayForAWhile) {
  WriteHps({7, 8});
  WriteManifest(R"({"dimension": 2})");
  ASSERT_EQ(Push().status(), OkStatus());
  ASSERT_EQ(Push().status(), OkStatus());
  EXPECT_THAT(TextOf("t:current"), HasSubstr(R"("generation": "2")"));
  EXPECT_EQ(KeysWithPrefix("t:1:", /*with_ttl=*/true), std::vector<std::string>{"t:1:0"});
  EXPECT_TRUE(KeysWithPrefix("t:2:", /*with_ttl=*/true).empty());
}

TEST_F(PushTest, GoesOnAfterAnError) {
  WriteHps(Keys(64));
  WriteManifest(R"({"dimension": 2})");
  options_.parts.partitions = 16;
  options_.inflight_bytes = 1;  // so each group has one hash
  {
    MutexLock lock(mutex_);
    refusal_ = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";
    writes_left_ = 1 + 10;
  }
  EXPECT_THAT(ErrorOfPush(), HasSubstr("OOM command not allowed when used memory > 'maxmemory'. "
                                       "(the same command goes on with generation '1')"));
  EXPECT_EQ(TextOf("t:current"), "");
  EXPECT_EQ(KeysWithPrefix("t:1:", /*with_ttl=*/true).size(), 10U);
  {
    MutexLock lock(mutex_);
    refusal_.clear();
  }
  const int before = node_.CountOf("HSET");
  options_.parts.partitions.reset();  // the record has it
  const StatusOr<PushResult> result = Push();
  ASSERT_EQ(result.status(), OkStatus());
  EXPECT_GT(result->rows_kept, 0U);
  EXPECT_EQ(node_.CountOf("HSET") - before, 6);
  ExpectRows(Keys(64));
}

TEST_F(PushTest, GoesOnWithBlocks) {
  folder_.Write("emb_vector", BytesOf<float>({0, 1, 2, 3, 4}));
  WriteManifest(R"({"key_type": "dense", "dimension": 1})");
  options_.parts.block_rows = 2;
  {
    MutexLock lock(mutex_);
    refusal_ = "-OOM no\r\n";
    writes_left_ = 1 + 3;  // the record, and each block
    before_command_ = [](const Command& command, KeptKeys& keys) {
      if (command[0] == "PERSIST") keys.erase("t:1:1");
    };
  }
  // The block that was lost cannot be written.
  EXPECT_THAT(ErrorOfPush(), HasSubstr("OOM no"));
  {
    MutexLock lock(mutex_);
    refusal_.clear();
    before_command_ = nullptr;
  }
  const StatusOr<PushResult> result = Push();
  ASSERT_EQ(result.status(), OkStatus());
  EXPECT_EQ(result->rows_kept, 3U);
  EXPECT_EQ(TextOf("t:1:1"), BytesOf<float>({2, 3}));
  EXPECT_TRUE(KeysWithPrefix("t:1:", /*with_ttl=*/true).empty());
}

TEST_F(PushTest, WritesAgainWhatAFailoverHasLost) {
  WriteHps(Keys(40));
  WriteManifest(R"({"dimension": 2})");
  options_.parts.partitions = 4;
  options_.parts.ordered_rows_max = 1;
  {
    MutexLock lock(mutex_);
    before_command_ = [lost = false](const Command& command, KeptKeys& keys) mutable {
      if (command[0] != "PERSIST" || command[1] != "t:1:3" || std::exchange(lost, true)) return;
      // The master that has taken over lacks one, and has an old value of another.
      keys.erase("t:1:1");
      keys["t:1:2"].ttl = "100";
    };
  }
  ASSERT_EQ(Push().status(), OkStatus());
  ExpectRows(Keys(40));
}

TEST_F(PushTest, WaitsForReplicas) {
  WriteHps({7});
  WriteManifest(R"({"dimension": 2})");
  options_.replicas = 2;
  options_.timeout = std::chrono::seconds(1);
  {
    MutexLock lock(mutex_);
    replicas_ = 1;
  }
  EXPECT_THAT(ErrorOfPush(), HasSubstr("1 of 2 replicas of 127.0.0.1:"));
  EXPECT_EQ(TextOf("t:current"), "");
  {
    MutexLock lock(mutex_);
    replicas_ = 2;
  }
  EXPECT_EQ(Push().status(), OkStatus());
  EXPECT_NE(TextOf("t:current"), "");
}

TEST_F(PushTest, DoesNotTouchWhatOthersHaveWritten) {
  WriteHps({7});
  WriteManifest(R"({"dimension": 2})");
  {
    MutexLock lock(mutex_);
    keys_["t:1:0"].fields["7"] = "mine";
  }
  EXPECT_THAT(ErrorOfPush(), HasSubstr("'t:1:0' is there already, with other contents"));
  MutexLock lock(mutex_);
  EXPECT_EQ(keys_["t:1:0"].fields.size(), 1U);
  EXPECT_EQ(keys_["t:1:0"].ttl, "");
}

TEST_F(PushTest, ATableOfOtherRowsIsNotReplaced) {
  WriteHps({7});
  WriteManifest(R"({"dimension": 2})");
  Set("t:current", R"({"generation": "4", "rows": 1, "partitions": 1, "dtype": "float32", )"
                   R"("dimension": 3, "key_type": "int64"})");
  EXPECT_THAT(ErrorOfPush(), HasSubstr("generation '4' has rows of 3 float32 elements, with int64 "
                                       "keys; not of 2 float32, with int64 keys"));
  Set("t:current", R"({"generation": "4", "rows": 1, "block_rows": 1})");
  EXPECT_THAT(ErrorOfPush(), HasSubstr("the table 't' in Redis does not fit"));
  // One that does not say what its rows are may be replaced.
  Set("t:current", R"({"generation": "v4", "rows": 1, "partitions": 1})");
  EXPECT_THAT(ErrorOfPush(), HasSubstr("'v4', which is no number, so --generation"));
  options_.generation = "v5";
  EXPECT_EQ(Push().status(), OkStatus());
  EXPECT_THAT(TextOf("t:current"), HasSubstr(R"("generation": "v5")"));
}

TEST_F(PushTest, AnUnfinishedPushOfOtherRowsIsNotMixedIn) {
  WriteHps({7, 8});
  WriteManifest(R"({"dimension": 2})");
  {
    MutexLock lock(mutex_);
    refusal_ = "-OOM no\r\n";
    writes_left_ = 2;
    before_command_ = [](const Command& command, KeptKeys& keys) {
      if (command[0] == "PERSIST") keys.erase("t:1:0");
    };
  }
  EXPECT_NE(Push().status(), OkStatus());
  {
    MutexLock lock(mutex_);
    refusal_.clear();
    before_command_ = nullptr;
    keys_["t:1:0"].fields["7"] = "old";
  }
  WriteHps({7, 8, 9});
  EXPECT_THAT(ErrorOfPush(), HasSubstr("a push of other rows to generation '1'"));
  options_.restarts = true;
  ASSERT_EQ(Push().status(), OkStatus());
  EXPECT_TRUE(KeysWithPrefix("t:1:", false).empty());
  EXPECT_THAT(TextOf("t:current"), HasSubstr(R"("generation": "2", "rows": 3)"));
  ExpectRows({7, 8, 9});
}

TEST_F(PushTest, APushThatWasKilledAfterItsSwitchIsFinished) {
  WriteHps({7});
  WriteManifest(R"({"dimension": 2})");
  ASSERT_EQ(Push().status(), OkStatus());
  std::string record;
  {
    // The record as it is during the second push.
    MutexLock lock(mutex_);
    before_command_ = [&record](const Command& command, KeptKeys& keys) {
      if (command[0] == "DEL" && command[1] == "t:push") record = keys["t:push"].text;
    };
  }
  ASSERT_EQ(Push().status(), OkStatus());
  {
    MutexLock lock(mutex_);
    before_command_ = nullptr;
    keys_["t:push"].text = record;
    keys_["t:1:0"].ttl = "";
  }
  const StatusOr<PushResult> result = Push();
  ASSERT_EQ(result.status(), OkStatus());
  EXPECT_TRUE(result->was_current);
  EXPECT_EQ(result->generation.name, "2");
  EXPECT_EQ(KeysWithPrefix("t:1:", /*with_ttl=*/true).size(), 1U);
  EXPECT_EQ(TextOf("t:push"), "");
}

TEST_F(PushTest, AnotherPushThatComesBetweenWins) {
  WriteHps({7});
  WriteManifest(R"({"dimension": 2})");
  {
    MutexLock lock(mutex_);
    before_command_ = [](const Command& command, KeptKeys& keys) {
      if (command[0] == "PERSIST")
        keys["t:current"].text = R"({"generation": "9", "rows": 1, "partitions": 1})";
    };
  }
  EXPECT_EQ(Push().status().code(), StatusCode::kAborted);
  EXPECT_THAT(TextOf("t:current"), HasSubstr(R"("generation": "9")"));
  EXPECT_EQ(KeysWithPrefix("t:1:", /*with_ttl=*/true).size(), 1U);
}

TEST_F(PushTest, RefusesWhatIsNoWholeTable) {
  EXPECT_EQ(Push().status().code(), StatusCode::kNotFound);
  WriteHps({7});
  WriteManifest(R"({"dimension": 2, "shard": {"index": 0, "count": 2, "hash": "mix64"}})");
  EXPECT_THAT(ErrorOfPush(), HasSubstr("a push takes the whole table"));
  WriteManifest(R"({"key_type": "vocabulary"})");
  EXPECT_THAT(ErrorOfPush(), HasSubstr("is a vocabulary"));
  WriteManifest(R"({"dimension": 2})");
  options_.parts.block_rows = 3;
  EXPECT_THAT(ErrorOfPush(), HasSubstr("--partitions divides them, not --block_rows"));
}

TEST_F(PushTest, SaysThatTheClusterIsNotThere) {
  WriteHps({7});
  WriteManifest(R"({"dimension": 2})");
  node_.Stop();
  options_.timeout = std::chrono::milliseconds(100);
  EXPECT_THAT(ErrorOfPush(), HasSubstr("Connection refused"));
}

}  // namespace
}  // namespace penstock::tables
