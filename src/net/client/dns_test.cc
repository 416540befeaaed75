// SPDX-License-Identifier: Apache-2.0
#include "net/client/dns.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "net/client/dns_fake.h"

namespace penstock::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;

using Found = StatusOr<std::vector<std::string>>;

std::future<Found> Ask(DnsThread& dns, const std::string& name, const std::string& server) {
  auto promise = std::make_shared<std::promise<Found>>();
  dns.Ask({.name = name, .server = server},
          [promise](Found found) { promise->set_value(std::move(found)); });
  return promise->get_future();
}

TEST(DnsTest, FindsAllAddressesOfAName) {
  FakeDns server({"10.0.0.9", "10.0.0.10", "10.0.0.9"});
  DnsThread dns(seconds(20));
  auto one = Ask(dns, "emb.models", server.server());
  auto two = Ask(dns, "other.models", server.server());
  const Found found = one.get();
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_THAT(*found, ElementsAre("10.0.0.10", "10.0.0.9"));
  EXPECT_TRUE(two.get().ok());
  server.Set({"10.0.0.1"});
  EXPECT_THAT(*Ask(dns, "emb.models", server.server()).get(), ElementsAre("10.0.0.1"));
}

TEST(DnsTest, SaysWhyANameHasNoAddress) {
  FakeDns server;
  DnsThread dns(seconds(20));
  const Found found = Ask(dns, "nobody.models", server.server()).get();
  EXPECT_EQ(found.status().code(), StatusCode::kUnavailable);
  EXPECT_THAT(std::string(MessageOf(found.status())),
              HasSubstr("the name 'nobody.models' cannot be looked up at 127.0.0.1:"));
  EXPECT_FALSE(Ask(dns, "nobody.models", "no server").get().ok());
}

TEST(DnsTest, GivesUpAServerThatDoesNotAnswer) {
  FakeDns server({"10.0.0.1"});
  server.BeSilent(true);
  DnsThread dns(milliseconds(50));
  const Found found = Ask(dns, "emb.models", server.server()).get();
  EXPECT_THAT(std::string(MessageOf(found.status())), HasSubstr("answers within 50 ms"));
  EXPECT_GT(server.questions(), 0);
}

TEST(DnsTest, ItsEndDoesNotWaitForAnswers) {
  FakeDns server({"10.0.0.1"});
  server.BeSilent(true);
  std::future<Found> found;
  {
    DnsThread dns(seconds(1000));
    found = Ask(dns, "emb.models", server.server());
  }
  EXPECT_THAT(std::string(MessageOf(found.get().status())), HasSubstr("the server ends"));
  const DnsThread never_asked(seconds(1));
}

}  // namespace
}  // namespace penstock::net
