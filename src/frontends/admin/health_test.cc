// SPDX-License-Identifier: Apache-2.0
#include "frontends/admin/health.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "core/manager.h"
#include "frontends/admin/reflection.h"
#include "grpc/health/v1/health.pb.h"
#include "grpc/reflection/v1/reflection.pb.h"
#include "net/http2/client_fake.h"

namespace penstock {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using grpc::reflection::v1::ServerReflectionRequest;
using grpc::reflection::v1::ServerReflectionResponse;
using net::FakeHttp2Client;
using net::FakeHttp2Server;

// Health and reflection behind a connection in memory. One thread.
class HealthTest : public testing::Test {
 protected:
  HealthTest() {
    health_.Register(router_);
    reflection_.Register(router_);
    server_.emplace(router_);
    client_.emplace(*server_);
  }
  ~HealthTest() override {
    client_.reset();
    server_.reset();
  }

  void Configure(const std::string& model) {
    core::ModelConfig config;
    config.name = model;
    ASSERT_TRUE(manager_.SetModel(config).ok());
  }
  static std::string Request(const std::string& service) {
    HealthCheckRequest request;
    request.set_service(service);
    return request.SerializeAsString();
  }
  int CheckStatus(const std::string& service) {
    const int32_t id = client_->Call("/grpc.health.v1.Health/Check", Request(service));
    if (client_->answer(id).grpc_status() != 0) return -client_->answer(id).grpc_status();
    HealthCheckResponse response;
    EXPECT_TRUE(response.ParseFromString(client_->answer(id).Messages().at(0)));
    return response.status();
  }
  std::vector<int> Watched(int32_t id) {
    client_->Run();
    std::vector<int> seen;
    for (const std::string& message : client_->answer(id).Messages()) {
      HealthCheckResponse response;
      EXPECT_TRUE(response.ParseFromString(message));
      seen.push_back(response.status());
    }
    return seen;
  }
  ServerReflectionResponse Reflect(const ServerReflectionRequest& request) {
    const int32_t id = client_->Open(
        FakeHttp2Client::GrpcFields("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"));
    client_->Data(id, FakeHttp2Client::Framed(request.SerializeAsString()), true);
    ServerReflectionResponse response;
    EXPECT_EQ(client_->answer(id).grpc_status(), 0);
    EXPECT_TRUE(response.ParseFromString(client_->answer(id).Messages().at(0)));
    return response;
  }

  core::Manager manager_;
  Readiness readiness_{manager_};
  net::Router router_;
  HealthFrontend health_{readiness_};
  ReflectionFrontend reflection_;
  std::optional<FakeHttp2Server> server_;
  std::optional<FakeHttp2Client> client_;
};

TEST_F(HealthTest, ServerAndServicesServeWhenReady) {
  EXPECT_EQ(CheckStatus(""), HealthCheckResponse::SERVING);
  EXPECT_EQ(CheckStatus("grpc.health.v1.Health"), HealthCheckResponse::SERVING);
  EXPECT_EQ(CheckStatus("nobody"), -5);
}

TEST_F(HealthTest, ServicesAreFoundWithoutTheirPackage) {
  for (const char* method : {"/tensorflow.serving.PredictionService/Predict",
                             "/tensorflow.serving.ModelService/GetModelStatus"})
    router_.AddGrpc({.method = method, .handler = [](net::GrpcCallRef) {}});
  EXPECT_EQ(CheckStatus("PredictionService"), HealthCheckResponse::SERVING);
  EXPECT_EQ(CheckStatus("ModelService"), HealthCheckResponse::SERVING);
  EXPECT_EQ(CheckStatus("serving.ModelService"), -5);
}

TEST_F(HealthTest, ModelThatIsNotLoadedDoesNotServe) {
  Configure("slow");
  EXPECT_EQ(CheckStatus("slow"), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(CheckStatus(""), HealthCheckResponse::NOT_SERVING);
}

TEST_F(HealthTest, MalformedRequestIsRefused) {
  const int32_t id = client_->Call("/grpc.health.v1.Health/Check", "\xff\xff");
  EXPECT_EQ(client_->answer(id).grpc_status(), 3);
}

TEST_F(HealthTest, WatchReportsEveryChangeOnce) {
  const int32_t id = client_->Open(FakeHttp2Client::GrpcFields("/grpc.health.v1.Health/Watch"));
  client_->Data(id, FakeHttp2Client::Framed(Request("late")), true);
  EXPECT_EQ(Watched(id), (std::vector<int>{HealthCheckResponse::SERVICE_UNKNOWN}));
  Configure("late");
  EXPECT_EQ(Watched(id), (std::vector<int>{HealthCheckResponse::SERVICE_UNKNOWN,
                                           HealthCheckResponse::NOT_SERVING}));
  readiness_.StartDraining();
  EXPECT_EQ(Watched(id).size(), 2u);
  EXPECT_FALSE(client_->answer(id).is_closed);
}

TEST_F(HealthTest, WatchEndsWithItsClient) {
  const int32_t id = client_->Open(FakeHttp2Client::GrpcFields("/grpc.health.v1.Health/Watch"));
  client_->Data(id, FakeHttp2Client::Framed(Request("")), true);
  client_->Reset(id);
  readiness_.StartDraining();
  EXPECT_EQ(Watched(id), (std::vector<int>{HealthCheckResponse::SERVING}));
}

TEST_F(HealthTest, ReflectionListsTheRoutersServices) {
  ServerReflectionRequest request;
  request.set_list_services("");
  const ServerReflectionResponse response = Reflect(request);
  ASSERT_EQ(response.list_services_response().service_size(), 3);
  EXPECT_EQ(response.list_services_response().service(0).name(), "grpc.health.v1.Health");
}

TEST_F(HealthTest, ReflectionGivesAFileWithItsImports) {
  ServerReflectionRequest request;
  request.set_file_containing_symbol("tensorflow.serving.PredictionService");
  const ServerReflectionResponse response = Reflect(request);
  EXPECT_GT(response.file_descriptor_response().file_descriptor_proto_size(), 3);
  request.set_file_by_filename("grpc/health/v1/health.proto");
  EXPECT_EQ(Reflect(request).file_descriptor_response().file_descriptor_proto_size(), 1);
}

TEST_F(HealthTest, ReflectionSaysWhatIsNotThere) {
  ServerReflectionRequest request;
  request.set_file_containing_symbol("no.Such");
  EXPECT_EQ(Reflect(request).error_response().error_code(), 5);
  request.set_all_extension_numbers_of_type("no.Such");
  EXPECT_EQ(Reflect(request).error_response().error_code(), 5);
  request.mutable_file_containing_extension()->set_containing_type("no.Such");
  EXPECT_EQ(Reflect(request).error_response().error_code(), 5);
  EXPECT_EQ(Reflect({}).error_response().error_code(), 3);
}

TEST_F(HealthTest, ReflectionListsExtensionNumbers) {
  ServerReflectionRequest request;
  request.set_all_extension_numbers_of_type("grpc.health.v1.HealthCheckRequest");
  const ServerReflectionResponse response = Reflect(request);
  EXPECT_EQ(response.all_extension_numbers_response().base_type_name(),
            "grpc.health.v1.HealthCheckRequest");
  EXPECT_EQ(response.all_extension_numbers_response().extension_number_size(), 0);
}

}  // namespace
}  // namespace penstock
