// SPDX-License-Identifier: Apache-2.0
#include "tables/redis_store.h"

#include <gmock/gmock.h>

#include <future>
#include <map>

#include "absl/strings/str_replace.h"
#include "redis/redis_fake.h"
#include "tables/key_hash.h"
#include "tables/redis_rows.h"
#include "tables/table_fixture.h"

namespace penstock::tables {
namespace {

using redis::Bulk;
using redis::FakeAnswer;
using redis::RedisFake;
using testing::ElementsAre;
using testing::HasSubstr;

// A single node that has all slots, and keeps hashes and strings.
class RedisStoreTest : public TableFixture {
 protected:
  using Hash = std::map<std::string, std::string>;

  RedisStoreTest() : node_([this](const RedisFake::Command& command) { return Answer(command); }) {}
  ~RedisStoreTest() override {
    store_.reset();
    node_.Stop();
  }

  FakeAnswer Answer(const RedisFake::Command& command) {
    MutexLock lock(mutex_);
    if (command[0] == "CLUSTER") return {redis::Slots({{0, 16383}}, {{node_.address()}})};
    if (command[0] == "CONFIG") return {config_};
    if (command[0] == "HMGET") {
      std::string answer = "*" + std::to_string(command.size() - 2) + "\r\n";
      const Hash& hash = hashes_[command[1]];
      fields_ += command.size() - 3;
      for (size_t i = 2; i < command.size(); ++i) {
        const auto found = hash.find(command[i]);
        answer += found == hash.end() ? "$-1\r\n" : Bulk(found->second);
      }
      return {answer};
    }
    if (command[0] == "GETRANGE") {
      const size_t begin = std::stoul(command[2]), end = std::stoul(command[3]);
      const std::string& text = texts_[command[1]];
      return {Bulk(begin < text.size() ? text.substr(begin, end - begin + 1) : "")};
    }
    if (command[0] == "GET")
      return {texts_.contains(command[1]) ? Bulk(texts_[command[1]]) : "$-1\r\n"};
    return {std::string(redis::kOk)};
  }

  // A table of rows {key, key + 1}.
  void Put(const std::string& generation, const std::vector<int64_t>& keys, float first = 0) {
    MutexLock lock(mutex_);
    for (uint64_t i = 0; i < 4; ++i)
      hashes_["t:" + generation + ":" + std::to_string(i)][std::string(kSentinel)] = "1";
    for (const int64_t key : keys) {
      const std::string partition = std::to_string(HashKey(key) % 4);
      const auto value = static_cast<float>(key);
      hashes_["t:" + generation + ":" + partition][std::to_string(key)] =
          BytesOf<float>({first + value, first + value + 1});
    }
    texts_["t:current"] = R"({"generation": ")" + generation + R"(", "rows": )" +
                          std::to_string(keys.size()) + R"(, "partitions": 4})";
  }
  std::string Json(std::string_view key_type, std::string_view more = {}) {
    return fmt::format(R"({{"store": "redis", "key_type": "{}", "dtype": "float32", "dimension": 2,
        "redis": {{"addresses": ["{}"], "prefix": "t", "answer_timeout_ms": 300,
        "poll_ms": 1{}}}}})",
                       key_type, node_.address().ToString(), more);
  }
  Status Open(const std::string& json) {
    store_.reset();
    StatusOr<Manifest> manifest = ParseManifest(json);
    if (!manifest.ok()) return manifest.status();
    StatusOr<std::unique_ptr<RedisStore>> store = RedisStore::Open(
        *manifest, {.id = {"t", {1}}, .secrets_path = folder_.path(), .metrics = &metrics_});
    if (!store.ok()) return store.status();
    store_ = *std::move(store);
    return OkStatus();
  }
  Status Find(const std::vector<int64_t>& keys) {
    Lookup lookup;
    lookup.numbers = keys;
    return Find(lookup, keys.size());
  }
  Status Find(Lookup lookup, size_t count) {
    rows_.assign(2 * count, -1);
    found_.assign(count, 'x');
    lookup.rows = reinterpret_cast<std::byte*>(rows_.data());
    static_assert(sizeof(bool) == sizeof(char));
    lookup.found = reinterpret_cast<bool*>(found_.data());
    std::promise<Status> done;
    store_->Find(lookup, [&](Status status) { done.set_value(std::move(status)); });
    return done.get_future().get();
  }

  MetricsRegistry metrics_;
  Mutex mutex_;
  std::map<std::string, Hash> hashes_ GUARDED_BY(mutex_);
  size_t fields_ GUARDED_BY(mutex_) = 0;  // that were asked for, without sentinels
  std::map<std::string, std::string> texts_ GUARDED_BY(mutex_);
  std::string config_ GUARDED_BY(mutex_) = "*0\r\n";
  RedisFake node_;
  std::unique_ptr<RedisStore> store_;
  std::vector<float> rows_;
  std::vector<char> found_;
};

TEST_F(RedisStoreTest, FindsRowsByNumbers) {
  Put("1", {7, -8, 1000});
  ASSERT_EQ(Open(Json("int64")), OkStatus());
  EXPECT_EQ(store_->info().rows, 3U);
  ASSERT_EQ(Find({1000, 5, -8, 7, 7}), OkStatus());
  EXPECT_THAT(rows_, ElementsAre(1000, 1001, -1, -1, -8, -7, 7, 8, 7, 8));
  EXPECT_THAT(found_, ElementsAre(1, 0, 1, 1, 1));
  EXPECT_EQ(Find({}), OkStatus());
}

// The server learns of a new generation by its poll, which may come long after the old one has
// gone. Such requests failed at their deadlines.
TEST_F(RedisStoreTest, RowsThatHaveGoneAreThoseOfTheNewGeneration) {
  Put("1", {7, 8});
  const std::string seldom =
      absl::StrReplaceAll(Json("int64", R"(, "cache_bytes": 100000)"),
                          {{R"("poll_ms": 1,)", R"("poll_ms": 600000,)"},
                           {R"("answer_timeout_ms": 300)", R"("answer_timeout_ms": 60000)"}});
  ASSERT_EQ(Open(seldom), OkStatus());
  ASSERT_EQ(Find({7}), OkStatus());
  ASSERT_EQ(Find({7}), OkStatus());
  {
    MutexLock lock(mutex_);
    hashes_.clear();
  }
  Put("2", {7, 8}, /*first=*/100);
  // The cache has the old row of 7, but one answer has rows of one generation.
  ASSERT_EQ(Find({7, 8, 9}), OkStatus());
  EXPECT_THAT(rows_, ElementsAre(107, 108, 108, 109, -1, -1));
  EXPECT_THAT(found_, ElementsAre(1, 1, 0));
}

TEST_F(RedisStoreTest, FindsRowsByTexts) {
  Put("1", {});
  const std::vector<std::string> keys = {"red", "", std::string("\0", 1), std::string("\0x", 2)};
  std::vector<StringElement> elements;
  {
    MutexLock lock(mutex_);
    for (size_t i = 0; i < keys.size(); ++i) {
      elements.emplace_back(keys[i].data(), keys[i].size());
      const std::string partition = std::to_string(HashKey(std::string_view(keys[i])) % 4);
      const std::string field =
          keys[i].starts_with(kSentinel) ? std::string(kSentinel) + keys[i] : keys[i];
      if (i != 1) hashes_["t:1:" + partition][field] = BytesOf<float>({static_cast<float>(i), 0});
    }
  }
  ASSERT_EQ(Open(Json("string")), OkStatus());
  Lookup lookup;
  lookup.strings = elements;
  ASSERT_EQ(Find(lookup, elements.size()), OkStatus());
  EXPECT_THAT(rows_, ElementsAre(0, 0, -1, -1, 2, 0, 3, 0));
  EXPECT_THAT(found_, ElementsAre(1, 0, 1, 1));
}

TEST_F(RedisStoreTest, FindsRowsByTheirNumbersInBlocks) {
  {
    MutexLock lock(mutex_);
    texts_["t:current"] = R"({"generation": "g", "rows": 5, "block_rows": 2})";
    texts_["t:g:0"] = BytesOf<float>({0, 1, 10, 11});
    texts_["t:g:1"] = BytesOf<float>({20, 21, 30, 31});
    texts_["t:g:2"] = BytesOf<float>({40, 41});
  }
  ASSERT_EQ(Open(Json("dense")), OkStatus());
  ASSERT_EQ(Find({4, 5, 0, -1, 3}), OkStatus());
  EXPECT_THAT(rows_, ElementsAre(40, 41, -1, -1, 0, 1, -1, -1, 30, 31));
  EXPECT_THAT(found_, ElementsAre(1, 0, 1, 0, 1));
  MutexLock lock(mutex_);
  texts_.erase("t:g:2");
}

TEST_F(RedisStoreTest, ABlockThatIsMissingIsNoMissingRow) {
  {
    MutexLock lock(mutex_);
    texts_["t:current"] = R"({"generation": "g", "rows": 5, "block_rows": 2})";
  }
  ASSERT_EQ(Open(Json("dense")), OkStatus());
  const Status status = Find({4});
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_THAT(MessageOf(status), HasSubstr("does not have 't:g:2' with rows of 8 bytes"));
}

TEST_F(RedisStoreTest, AHashWithoutItsSentinelIsNoMissingRow) {
  Put("1", {7});
  ASSERT_EQ(Open(Json("int64")), OkStatus());
  {
    MutexLock lock(mutex_);
    for (auto& [key, hash] : hashes_) hash.erase(std::string(kSentinel));
  }
  EXPECT_EQ(Find({8}).code(), StatusCode::kUnavailable);
  EXPECT_EQ(Find({7}).code(), StatusCode::kUnavailable);
}

TEST_F(RedisStoreTest, ARowOfAnotherSizeIsNoRow) {
  Put("1", {7});
  ASSERT_EQ(Open(Json("int64")), OkStatus());
  {
    MutexLock lock(mutex_);
    for (auto& [key, hash] : hashes_)
      if (hash.contains("7")) hash["7"] = "short";
  }
  EXPECT_EQ(Find({7}).code(), StatusCode::kUnavailable);
}

TEST_F(RedisStoreTest, AsksOnceForAKeyThatIsThereTwice) {
  Put("1", {7});
  ASSERT_EQ(Open(Json("int64", R"(, "cache_bytes": 0)")), OkStatus());
  ASSERT_EQ(Find({7, 8, 7, 8, 7}), OkStatus());
  EXPECT_THAT(rows_, ElementsAre(7, 8, -1, -1, 7, 8, -1, -1, 7, 8));
  EXPECT_THAT(found_, ElementsAre(1, 0, 1, 0, 1));
  MutexLock lock(mutex_);
  EXPECT_EQ(fields_, 2U);
}

TEST_F(RedisStoreTest, KeepsHotRowsOfOneGeneration) {
  Put("1", {7, 9});
  ASSERT_EQ(Open(Json("int64")), OkStatus());
  ASSERT_EQ(Find({7, 8}), OkStatus());
  const int commands = node_.CountOf("HMGET");
  ASSERT_EQ(Find({8, 7, 7}), OkStatus());
  EXPECT_THAT(rows_, ElementsAre(-1, -1, 7, 8, 7, 8));
  EXPECT_THAT(found_, ElementsAre(0, 1, 1));
  EXPECT_EQ(node_.CountOf("HMGET"), commands);
  // Only what is missing is asked for.
  ASSERT_EQ(Find({9, 7, 9}), OkStatus());
  EXPECT_THAT(rows_, ElementsAre(9, 10, 7, 8, 9, 10));
  EXPECT_EQ(node_.CountOf("HMGET"), commands + 1);
  for (const auto& [layer, rows] : {std::pair("cache", 4), std::pair("redis", 4)})
    EXPECT_THAT(
        metrics_.Text(),
        HasSubstr(fmt::format(
            R"(penstock_table_layer_rows_total{{model_name="t",model_version="1",layer="{}"}} {})",
            layer, rows)));
  // A new generation has other rows.
  Put("2", {7, 8}, 100);
  do {
    ASSERT_EQ(Find({7, 8}), OkStatus());
  } while (rows_[0] != 107);
  EXPECT_THAT(rows_, ElementsAre(107, 108, 108, 109));
  EXPECT_THAT(metrics_.Text(),
              HasSubstr(R"(penstock_table_generation{model_name="t",model_version="1"} 2)"));
}

// Its keys may be there, in a part that has not come.
TEST_F(RedisStoreTest, KeepsNothingOfARequestThatFails) {
  Put("1", {7});
  ASSERT_EQ(Open(Json("int64")), OkStatus());
  const std::string broken = "t:1:" + std::to_string(HashKey(int64_t{8}) % 4);
  {
    MutexLock lock(mutex_);
    hashes_[broken].erase(std::string(kSentinel));
  }
  EXPECT_EQ(Find({8, 9, 10, 11, 12, 13}).code(), StatusCode::kUnavailable);
  {
    MutexLock lock(mutex_);
    hashes_[broken][std::string(kSentinel)] = "1";
    hashes_[broken]["8"] = BytesOf<float>({8, 9});
  }
  ASSERT_EQ(Find({8}), OkStatus());
  EXPECT_THAT(found_, ElementsAre(1));
}

TEST_F(RedisStoreTest, RowsOfAnotherDimensionAreNotTakenOver) {
  Put("1", {7});
  ASSERT_EQ(Open(Json("int64")), OkStatus());
  const int polls = node_.CountOf("GET");
  {
    MutexLock lock(mutex_);
    texts_["t:current"] =
        R"({"generation": "2", "rows": 1, "partitions": 4, "dtype": "float32", "dimension": 3})";
  }
  while (node_.CountOf("GET") < polls + 3) std::this_thread::yield();
  ASSERT_EQ(Find({7}), OkStatus());
  EXPECT_EQ(rows_[0], 7);
  EXPECT_THAT(MessageOf(Open(Json("int64"))), HasSubstr("has rows of 3 float32 elements"));
}

TEST_F(RedisStoreTest, TakesOverNewGenerations) {
  Put("1", {7});
  ASSERT_EQ(Open(Json("int64")), OkStatus());
  Put("2", {7}, 100);
  do {
    ASSERT_EQ(Find({7}), OkStatus());
  } while (rows_[0] != 107);
  // A value that is wrong changes nothing.
  const int polls = node_.CountOf("GET");
  {
    MutexLock lock(mutex_);
    texts_["t:current"] = "{}";
  }
  while (node_.CountOf("GET") < polls + 3) std::this_thread::yield();
  ASSERT_EQ(Find({7}), OkStatus());
  EXPECT_EQ(rows_[0], 107);
  EXPECT_THAT(metrics_.Text(),
              HasSubstr(R"(penstock_table_generations_total{model_name="t",model_version="1"} 2)"));
}

TEST_F(RedisStoreTest, SaysWhatTheClusterLacks) {
  EXPECT_EQ(Open(Json("int64")).code(), StatusCode::kNotFound);
  {
    MutexLock lock(mutex_);
    texts_["t:current"] = R"({"generation": "1"})";
  }
  EXPECT_THAT(MessageOf(Open(Json("int64"))), HasSubstr("'t:current' in Redis is wrong"));
}

TEST_F(RedisStoreTest, ReadsThePasswordFromAFile) {
  Put("1", {7});
  EXPECT_EQ(Open(Json("int64", R"(, "password_file": "secret")")).code(),
            StatusCode::kInvalidArgument);
  folder_.Write("secret", "pass\n");
  EXPECT_EQ(Open(Json("int64", R"(, "password_file": "secret")")), OkStatus());
  EXPECT_GE(node_.CountOf("AUTH"), 1);
}

TEST_F(RedisStoreTest, AClusterThatHidesItsSettingsServes) {
  Put("1", {7});
  {
    MutexLock lock(mutex_);
    config_ = "-NOPERM this user has no permissions to run the 'config|get' command\r\n";
  }
  ASSERT_EQ(Open(Json("int64")), OkStatus());
  EXPECT_EQ(Find({7}), OkStatus());
}

TEST(RedisSettingsTest, SayWhatIsWrong) {
  const auto error_of = [](std::string_view redis) {
    return std::string(MessageOf(
        ParseManifest(fmt::format(R"({{"store": "redis", "redis": {}}})", redis)).status()));
  };
  EXPECT_THAT(error_of(R"({"addresses": ["a:1"]})"), HasSubstr("'addresses' and 'prefix'"));
  EXPECT_THAT(error_of(R"({"addresses": "a:1"})"), HasSubstr("'redis.addresses' must be a list"));
  EXPECT_THAT(error_of(R"({"addresses": ["a"]})"), HasSubstr("must be an address with a port"));
  EXPECT_THAT(error_of(R"({"prefix": "{x}"})"), HasSubstr("'redis.prefix' must have at most"));
  EXPECT_THAT(error_of(R"({"prefixes": "x"})"), HasSubstr("did you mean 'prefix'?"));
  EXPECT_THAT(error_of(R"({"password_file": "/etc/shadow"})"), HasSubstr("without a path"));
  EXPECT_THAT(error_of(R"({"stall_ms": 0})"), HasSubstr("from 1 to"));
  EXPECT_THAT(error_of(R"({"cache_bytes": -1})"), HasSubstr("from 0 to"));
  EXPECT_THAT(error_of("3"), HasSubstr("'redis' must be as"));
  const std::string good = R"("addresses": ["a:1"], "prefix": "x")";
  EXPECT_THAT(error_of("{" + good + R"(, "cert_file": "c"})"), HasSubstr("both"));
  EXPECT_THAT(error_of("{" + good + R"(, "ca_file": "c"})"), HasSubstr("'tls': true"));
  EXPECT_THAT(error_of("{" + good + R"(, "user": "u"})"), HasSubstr("'password_file'"));
  EXPECT_EQ(error_of("{" + good + "}"), "");
  EXPECT_THAT(MessageOf(ParseManifest(R"({"store": "redis"})").status()),
              HasSubstr("belong together"));
  EXPECT_THAT(MessageOf(ParseManifest(R"({"store": "disk"})").status()),
              HasSubstr("must be files or redis"));
}

}  // namespace
}  // namespace penstock::tables
