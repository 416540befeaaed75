// SPDX-License-Identifier: Apache-2.0
#include "frontends/admin/admin_frontend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace penstock {
namespace {

using testing::HasSubstr;

// A GET without a connection. One thread.
class FakeCall final : public net::HttpCall {
 public:
  FakeCall(std::string_view path, net::HttpResponse* response) : response_(response) {
    head_.method = "GET";
    head_.path = path;
  }
  void Respond(net::HttpResponse&& response) override { *response_ = std::move(response); }
  void RespondInParts(net::HttpResponse, const net::PartsEnding&) override { FAIL(); }
  void Write(ByteChain, absl::AnyInvocable<void(bool)>) override { FAIL(); }
  void EndBody() override { FAIL(); }
  void CancelFromRun() override { FAIL(); }

 private:
  void Destroy() override { delete this; }
  net::HttpResponse* response_;
};

class EmptyServable final : public core::Servable {};

// Loads at once, or fails at once. One thread at a time.
class FakeLoader final : public core::Loader {
 public:
  explicit FakeLoader(Status status) : status_(std::move(status)) {}
  StatusOr<std::unique_ptr<core::Servable>> Load() override {
    if (!status_.ok()) return status_;
    return std::make_unique<EmptyServable>();
  }

 private:
  const Status status_;
};

class AdminFrontendTest : public testing::Test {
 protected:
  AdminFrontendTest() { admin_.Register(router_); }

  void Configure(const std::string& model) {
    core::ModelConfig config;
    config.name = model;
    ASSERT_TRUE(manager_.SetModel(config).ok());
  }
  void Load(const std::string& model, const Status& status) {
    Configure(model);
    std::vector<core::AspiredVersion> versions;
    versions.push_back({{3}, std::make_unique<FakeLoader>(status)});
    manager_.SetAspired(model, std::move(versions));
    ASSERT_TRUE(manager_.WaitUntilIdle());
  }

  net::HttpResponse Get(std::string_view path) {
    net::HttpResponse response;
    const net::HttpRoute* route = router_.FindHttp(path);
    if (route == nullptr) {
      response.status = 404;
      return response;
    }
    EXPECT_FALSE(route->counts_as_request) << "probes must get through a full server";
    route->handler(net::HttpCallRef(new FakeCall(path, &response)));
    return response;
  }
  static std::string Body(const net::HttpResponse& response) {
    return std::string(Flatten(response.body).view());
  }

  core::Manager manager_{{.load_nice = 0, .load_retries_max = 0}};
  Readiness readiness_{manager_};
  MetricsRegistry metrics_;
  AdminFrontend admin_{{.metrics_paths = {"/metrics", "/other"}, .version = "1.2.3"},
                       manager_,
                       readiness_,
                       metrics_};
  net::Router router_;
};

TEST_F(AdminFrontendTest, RootDescribesTheServer) {
  Load("a", OkStatus());
  const net::HttpResponse response = Get("/");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(Body(response),
            "{\"name\":\"penstock\",\"version\":\"1.2.3\",\"ready\":true,\"models\":1}\n");
}

TEST_F(AdminFrontendTest, IsAliveWhileModelsFail) {
  Load("broken", InvalidArgument("bad file"));
  EXPECT_EQ(Get("/healthz").status, 200);
}

TEST_F(AdminFrontendTest, ReadyOnceEveryModelIs) {
  Configure("a");
  EXPECT_EQ(Get("/readyz").status, 503);
  Load("a", OkStatus());
  EXPECT_EQ(Get("/readyz").status, 200);
  EXPECT_EQ(Body(Get("/readyz")), "{\"ready\":true}\n");
}

TEST_F(AdminFrontendTest, ListsModelsThatAreNotReadyWithReasons) {
  Load("broken", InvalidArgument("bad \"file\""));
  Load("good", OkStatus());
  manager_.SetSourceStatus("broken", InvalidArgument("no folder"));
  const net::HttpResponse response = Get("/readyz");
  EXPECT_EQ(response.status, 503);
  const std::string body = Body(response);
  EXPECT_THAT(body,
              HasSubstr("{\"ready\":false,\"draining\":false,\"models\":[{\"name\":\"broken\","
                        "\"ready\":false,\"source_error\":\"no folder\","
                        "\"versions\":[{\"version\":3,\"state\":\"END\",\"since\":"));
  EXPECT_THAT(body, HasSubstr("bad \\\"file\\\""));
  EXPECT_THAT(body, testing::Not(HasSubstr("good")));
}

TEST_F(AdminFrontendTest, ListsOnlyModelsThatLoadAtTheStart) {
  Configure("late");
  ASSERT_TRUE(manager_.SetModel({.name = "lazy", .load_mode = core::LoadMode::kOnDemand}).ok());
  ASSERT_TRUE(manager_.SetModel({.name = "never", .load_mode = core::LoadMode::kNever}).ok());
  const std::string body = Body(Get("/readyz"));
  EXPECT_THAT(body, HasSubstr("\"models\":[{\"name\":\"late\","));
  EXPECT_THAT(body, testing::Not(HasSubstr("lazy")));
  EXPECT_THAT(body, testing::Not(HasSubstr("never")));
}

TEST(AdminFrontendRuleTest, ListsTheNamedModelsAlsoOneThatIsNotConfigured) {
  const core::ReadinessRule rule{.kind = core::ReadinessRule::Kind::kNamedModels,
                                 .models = {"late", "nobody"}};
  core::Manager manager({.readiness = rule});
  ASSERT_TRUE(manager.SetModels({{.name = "late"}, {.name = "other"}}).ok());
  const Readiness readiness(manager);
  const MetricsRegistry metrics;
  AdminFrontend admin({.version = "1", .readiness = rule}, manager, readiness, metrics);
  net::Router router;
  admin.Register(router);
  net::HttpResponse response;
  router.FindHttp("/readyz")->handler(net::HttpCallRef(new FakeCall("/readyz", &response)));
  EXPECT_EQ(response.status, 503);
  const std::string body(Flatten(response.body).view());
  EXPECT_THAT(body, HasSubstr("\"name\":\"late\""));
  EXPECT_THAT(
      body, HasSubstr("\"name\":\"nobody\",\"ready\":false,\"source_error\":\"there is no model"));
  EXPECT_THAT(body, testing::Not(HasSubstr("other")));
}

TEST_F(AdminFrontendTest, NotReadyWhileDraining) {
  Load("a", OkStatus());
  readiness_.StartDraining();
  EXPECT_EQ(Get("/readyz").status, 503);
  EXPECT_EQ(Body(Get("/readyz")), "{\"ready\":false,\"draining\":true,\"models\":[]}\n");
  EXPECT_EQ(Get("/readyz/models/a").status, 503);
}

TEST_F(AdminFrontendTest, OneModel) {
  Load("a b", OkStatus());
  Load("broken", InvalidArgument("bad file"));
  EXPECT_EQ(Get("/readyz/models/a%20b").status, 200);
  EXPECT_THAT(
      Body(Get("/readyz/models/a%20b")),
      testing::MatchesRegex("\\{\"name\":\"a b\",\"ready\":true,\"versions\":\\[\\{"
                            "\"version\":3,\"state\":\"AVAILABLE\",\"since\":\"[-0-9T:.]+Z\","
                            "\"memory_bytes\":0,\"memory_measured\":false\\}\\]\\}\n"));
  EXPECT_EQ(Get("/readyz/models/broken").status, 503);
  const net::HttpResponse none = Get("/readyz/models/%zz%4");
  EXPECT_EQ(none.status, 404);
  EXPECT_EQ(Body(none), "{\n    \"error\": \"no model is called '%zz%4'\"\n}");
}

TEST_F(AdminFrontendTest, MetricsAtAllTheirPaths) {
  metrics_.AddCounter("requests_total", "Requests.").Add(2);
  for (const char* path : {"/metrics", "/other"}) {
    const net::HttpResponse response = Get(path);
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.content_type, "text/plain; version=0.0.4; charset=utf-8");
    EXPECT_THAT(Body(response), HasSubstr("\nrequests_total 2\n"));
  }
  EXPECT_EQ(Get("/monitoring/prometheus/metrics").status, 404);
}

}  // namespace
}  // namespace penstock
