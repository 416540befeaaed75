// SPDX-License-Identifier: Apache-2.0
#include "net/router.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace penstock::net {
namespace {

using testing::ElementsAre;

TEST(RouterTest, TheLongestMatchWins) {
  Router router;
  router.AddHttp({.path = "/v1/*", .prefix_ignores_case = true});
  router.AddHttp({.path = "/v1/models/*"});
  router.AddHttp({.path = "/v1/models/x"});
  EXPECT_EQ(router.FindHttp("/v1/models/x")->path, "/v1/models/x");
  EXPECT_EQ(router.FindHttp("/v1/models/y")->path, "/v1/models/");
  EXPECT_EQ(router.FindHttp("/V1/Models/y")->path, "/v1/");
  EXPECT_EQ(router.FindHttp("/v2"), nullptr);
}

TEST(RouterTest, KnowsGrpcMethodsAndServices) {
  Router router;
  router.AddGrpc({.method = "/b.B/One"});
  router.AddGrpc({.method = "/b.B/Two"});
  router.AddGrpc({.method = "/a.A/One"});
  EXPECT_THAT(router.GrpcServices(), ElementsAre("a.A", "b.B"));
  EXPECT_NE(router.FindGrpc("/b.B/Two"), nullptr);
  EXPECT_EQ(router.FindGrpc("/b.B/Three"), nullptr);
}

TEST(RouterDeathTest, DiesOfTheSameNameTwice) {
  Router router;
  router.AddHttp({.path = "/a"});
  EXPECT_DEATH(router.AddHttp({.path = "/a"}), "registered twice");
}

TEST(RouterTest, NamesTheRoutesForNobody) {
  Router router;
  router.AddGrpc({.method = "/t.T/Forgotten"});
  router.AddGrpc({.method = "/t.T/Said", .access = RouteAccess::kCallers});
  router.AddHttp({.path = "/said", .access = RouteAccess::kEveryone});
  router.AddHttp({.path = "/forgotten/*"});
  router.AddHttp({.path = "/forgotten"});
  EXPECT_EQ(router.RoutesForNobody(),
            (std::vector<std::string>{"/forgotten", "/forgotten/*", "/t.T/Forgotten"}));
}

}  // namespace
}  // namespace penstock::net
