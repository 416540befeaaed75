// SPDX-License-Identifier: Apache-2.0
#include "config/remote_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/config_files.h"

namespace penstock {
namespace {

using testing::HasSubstr;

StatusOr<std::vector<ConfiguredModel>> ParseWithRemote(const std::string& remote,
                                                       const std::string& more = "") {
  return ParseModelConfig(
      "model_config_list { config { name: \"m\" " + more + " penstock { " + remote + " } } }",
      "models.config");
}

TEST(RemoteConfigTest, IsRead) {
  const auto models = ParseWithRemote(R"(
      remote { version: 1 targets: "a:8500" targets: "[::1]:9000" }
      remote { version: 7 targets: "b:1" model: "there" model_version: 3 idempotent: true
               tls { ca_file: "ca.pem" server_name: "b" } token_file: "token" })");
  ASSERT_TRUE(models.ok()) << models.status();
  const ConfiguredModel& model = models->front();
  EXPECT_EQ(model.base_path, kRemotePath);
  ASSERT_EQ(model.remotes.size(), 2U);
  const RemoteVersion& first = model.remotes[0];
  EXPECT_EQ(first.version, core::VersionNumber{1});
  EXPECT_EQ(first.targets, (std::vector<RemoteTarget>{{"a", 8500}, {"::1", 9000}}));
  EXPECT_EQ(first.targets[1].ToString(), "[::1]:9000");
  EXPECT_EQ(first.model, "m");
  EXPECT_FALSE(first.is_idempotent);
  EXPECT_FALSE(first.tls);
  const RemoteVersion& second = model.remotes[1];
  EXPECT_EQ(second.version, core::VersionNumber{7});
  EXPECT_EQ(second.model, "there");
  EXPECT_EQ(second.model_version, core::VersionNumber{3});
  EXPECT_TRUE(second.is_idempotent);
  ASSERT_TRUE(second.tls);
  EXPECT_EQ(second.tls->ca_file, "ca.pem");
  EXPECT_EQ(second.token_file, "token");
  EXPECT_NE(RevisionOf(first), RevisionOf(second));
}

TEST(RemoteConfigTest, WithoutAVersionItFollowsItsTargets) {
  const auto read = [](const std::string& fields) {
    return ParseWithRemote("remote { targets: \"a:1\" " + fields + " }")->front().remotes[0];
  };
  const RemoteVersion followed = read("min_replicas: 2");
  EXPECT_TRUE(followed.is_followed);
  EXPECT_EQ(followed.min_replicas, 2);
  EXPECT_EQ(read("").min_replicas, 1);
  EXPECT_TRUE(HaveSameConnections(followed, read("targets: \"b:1\"")));
  EXPECT_FALSE(HaveSameConnections(followed, read("model: \"other\"")));
  for (const std::string fields : {"version: 1", "model_version: 3", "label: \"x\""}) {
    EXPECT_FALSE(read(fields).is_followed) << fields;
    EXPECT_EQ(read(fields).version, core::VersionNumber{1});
  }
}

TEST(RemoteConfigTest, ATargetMayBeANameInTheDns) {
  for (const std::string text : {"dns:///emb.models:8500", "dns://10.0.0.2/emb:1",
                                 "dns://127.0.0.1:8600/emb:1", "dns://[::1]:53/emb:1"}) {
    const auto target = ParseRemoteTarget(text);
    ASSERT_TRUE(target.ok()) << target.status();
    EXPECT_TRUE(target->is_dns);
    EXPECT_EQ(target->ToString(), text);
  }
  EXPECT_EQ(ParseRemoteTarget("dns://127.0.0.1:8600/emb:1")->dns_server, "127.0.0.1:8600");
  EXPECT_EQ(ParseRemoteTarget("dns:///emb:12")->port, 12);
  EXPECT_FALSE(ParseRemoteTarget("emb:12")->is_dns);
}

TEST(RemoteConfigTest, ATableMayBeInShards) {
  const auto models = ParseWithRemote(R"(
      remote { version: 1 shards: 2 targets: "a:1" targets: "b:1" when_shard_fails: DEFAULT_ROWS }
      remote { version: 2 shards: 1 model: "{i}-e-{i}" targets: "a:1" }
      remote { version: 3 model: "e" shard { targets: "a:1" targets: "b:1" }
               shard { targets: "b:1" } })");
  ASSERT_TRUE(models.ok()) << models.status();
  const std::vector<RemoteVersion>& remotes = models->front().remotes;
  const RemoteTarget a{"a", 1}, b{"b", 1};
  EXPECT_EQ(remotes[0].shards, (std::vector<RemoteShard>{{"m-0", {a, b}}, {"m-1", {a, b}}}));
  EXPECT_TRUE(remotes[0].is_idempotent);
  EXPECT_TRUE(remotes[0].gives_default_rows);
  EXPECT_EQ(remotes[1].shards, (std::vector<RemoteShard>{{"0-e-0", {a}}}));
  EXPECT_FALSE(remotes[1].gives_default_rows);
  EXPECT_EQ(remotes[2].shards, (std::vector<RemoteShard>{{"e", {a, b}}, {"e", {b}}}));
  EXPECT_EQ(remotes[2].targets, (std::vector<RemoteTarget>{a, b}));
  EXPECT_NE(RevisionOf(remotes[0]), RevisionOf(remotes[1]));
}

TEST(RemoteConfigTest, RefusesWhatHasNoMeaning) {
  const std::string good = "remote { targets: \"a:1\" }";
  struct Case {
    std::string remote, more, error;
  };
  const std::vector<Case> cases = {
      {"remote {}", "", "it has no targets"},
      {"remote { targets: \"a\" }", "", "'a' is no HOST:PORT: it has no port"},
      {"remote { targets: \"a:0\" }", "", "from 1 to 65535"},
      {"remote { targets: \"a:70000\" }", "", "from 1 to 65535"},
      {"remote { targets: \":1\" }", "", "no name or address"},
      {"remote { targets: \"::1:1\" }", "", "stands in brackets"},
      {"remote { targets: \"http://a:1\" }", "", "is no HOST:PORT"},
      {"remote { targets: \"dns://a:1\" }", "", "with three slashes"},
      {"remote { targets: \"dns:///a\" }", "", "it has no port"},
      {"remote { targets: \"dns://ns/a:1\" }", "", "'ns', which is no address"},
      {"remote { targets: \"dns://::1:53/a:1\" }", "", "which is no address"},
      {"remote { targets: \"dns://1.1.1.1:0/a:1\" }", "", "which is no address"},
      {"remote { targets: \"dns:///10.0.0.1:1\" }", "", "write 10.0.0.1:1"},
      {"remote { targets: \"a:1\" targets: \"a:1\" }", "", "the target 'a:1' twice"},
      {"remote { version: 0 targets: \"a:1\" }", "", "its version is 0"},
      {"remote { targets: \"a:1\" model_version: 1 label: \"x\" }", "", "name one of them"},
      {"remote { targets: \"a:1\" token_file: \"t\" }", "", "but no tls"},
      {"remote { targets: \"a:1\" tls { key_file: \"k\" } }", "", "needs both"},
      {"remote { shards: 2 }", "", "it has no targets"},
      {"remote { shards: -1 targets: \"a:1\" }", "", "-1 shards; there may be 1 to 1000"},
      {"remote { shards: 2 model: \"e\" targets: \"a:1\" }", "", "as in 'e-{i}'"},
      {"remote { shards: 2 targets: \"a:1\" shard { targets: \"a:1\" } }", "", "both shards and"},
      {"remote { targets: \"a:1\" shard { targets: \"a:1\" } }", "", "both targets and shard"},
      {"remote { shard { targets: \"a:1\" } shard {} }", "", "shard 1 has a mistake: it has no t"},
      {"remote { targets: \"a:1\" when_shard_fails: DEFAULT_ROWS }", "", "but no shards"},
      {good + good, "", "two remotes of version 1"},
      {good + "remote { version: 2 targets: \"a:1\" }", "", "give each a version"},
      {"remote { version: 1 targets: \"a:1\" min_replicas: 2 }", "", "leave out version"},
      {"remote { targets: \"a:1\" min_replicas: -1 }", "", "its min_replicas is -1"},
      {good + " batching {}", "", "has a remote, and batching"},
      {good, "base_path: \"/m\"", "both a remote and a base_path"},
      {good, "model_platform: \"tensorflow\"", "has a remote, and so no model_platform"},
      {"", "base_path: \"remote:\"", "no penstock { remote { ... } }"},
  };
  for (const Case& each : cases) {
    const auto models = ParseWithRemote(each.remote, each.more);
    ASSERT_FALSE(models.ok()) << each.remote;
    EXPECT_THAT(std::string(MessageOf(models.status())), HasSubstr(each.error)) << each.remote;
  }
}

}  // namespace
}  // namespace penstock
