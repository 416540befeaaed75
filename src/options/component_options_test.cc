// SPDX-License-Identifier: Apache-2.0
#include "options/component_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/os/machine.h"
#include "base/os/test_folder.h"

namespace penstock {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ComponentOptionsTest : public testing::Test {
 protected:
  const TestFolder folder_;
  Settings settings_;
};

TEST_F(ComponentOptionsTest, BothPortsListenByDefault) {
  const auto options = NetOptions(settings_);
  ASSERT_TRUE(options.ok()) << options.status();
  ASSERT_EQ(options->listen.size(), 2u);
  EXPECT_EQ(options->listen[0].port, 8500);
  EXPECT_EQ(options->listen[1].port, 8501);
  EXPECT_FALSE(options->listen[0].tls);
  EXPECT_EQ(FindPorts(settings_).port, 0);
  EXPECT_EQ(FindPorts(settings_).rest_api_port, 1);
}

TEST_F(ComponentOptionsTest, WarmUpTakesTheLimitsOfRequests) {
  settings_.warm_up.enabled = false;
  settings_.num_request_iterations_for_warmup = 4;
  settings_.json.depth_max = 7;
  settings_.decoded_tensor_bytes_max = 1000;
  const WarmUpOptions options = MakeWarmUpOptions(settings_);
  EXPECT_FALSE(options.enabled);
  EXPECT_EQ(options.iterations, 4);
  EXPECT_EQ(options.json.depth_max, 7);
  EXPECT_EQ(options.predict.decoded_tensor_bytes_max, 1000u);
}

TEST_F(ComponentOptionsTest, TheHealthPortIsAServerOfItsOwnInClearText) {
  settings_.net.tls.certificate_file = "/c";
  settings_.net.tls.key_file = "/k";
  settings_.health_port = 9090;
  const net::ServerOptions options = HealthNetOptions(settings_);
  ASSERT_EQ(options.listen.size(), 1u);
  EXPECT_EQ(options.listen[0].port, 9090);
  EXPECT_FALSE(options.listen[0].tls);
  EXPECT_TRUE(options.listens_at_start);
  EXPECT_EQ(NetOptions(settings_)->listen.size(), 2u);
}

TEST_F(ComponentOptionsTest, TheAdminPortIsAServerOfItsOwnWithTheTlsOfTheOthers) {
  settings_.net.tls.certificate_file = "/c";
  settings_.admin_port = 9091;
  settings_.admin_socket = "/s";
  settings_.listen = "after_load";
  const net::ServerOptions options = AdminNetOptions(settings_, settings_.net.tls);
  ASSERT_EQ(options.listen.size(), 2u);
  EXPECT_EQ(options.listen[0].port, 9091);
  EXPECT_EQ(options.listen[0].address, settings_.address);
  EXPECT_TRUE(options.listen[0].tls);
  EXPECT_EQ(options.listen[1].unix_path, "/s");
  EXPECT_FALSE(options.listen[1].tls);
  EXPECT_TRUE(options.listen[0].is_admin && options.listen[1].is_admin);
  EXPECT_TRUE(options.listens_at_start);
  settings_.admin_address = "127.0.0.1";
  EXPECT_EQ(AdminNetOptions(settings_, {}).listen[0].address, "127.0.0.1");
}

TEST_F(ComponentOptionsTest, PortsListenAfterTheLoadOnlyIfAsked) {
  EXPECT_TRUE(NetOptions(settings_)->listens_at_start);
  settings_.listen = "after_load";
  EXPECT_FALSE(NetOptions(settings_)->listens_at_start);
}

TEST_F(ComponentOptionsTest, EqualPortsListenOnce) {
  settings_.rest_api_port = settings_.port;
  EXPECT_EQ(NetOptions(settings_)->listen.size(), 1u);
  EXPECT_EQ(FindPorts(settings_).rest_api_port, 0);
}

TEST_F(ComponentOptionsTest, TheGraphPipePortIsLikeTheRestPortButForItsOwnPaths) {
  EXPECT_EQ(FindPorts(settings_).graphpipe_port, -1);
  settings_.graphpipe_port = 9000;
  settings_.grpc_socket_path = "/run/socket";
  const auto options = NetOptions(settings_);
  ASSERT_EQ(options->listen.size(), 4u);
  EXPECT_EQ(FindPorts(settings_).graphpipe_port, 2);
  EXPECT_EQ(options->listen[2].port, 9000);
  EXPECT_EQ(options->listen[2].own_paths, kGraphPipePaths);
  EXPECT_EQ(options->listen[1].own_paths, "");
  settings_.rest_api_port = 0;
  EXPECT_EQ(FindPorts(settings_).graphpipe_port, 1);
}

TEST_F(ComponentOptionsTest, AnyFreePortTwiceIsTwoPorts) {
  settings_.port = settings_.rest_api_port = -1;
  const auto options = NetOptions(settings_);
  ASSERT_EQ(options->listen.size(), 2u);
  EXPECT_EQ(options->listen[0].port, 0);
  EXPECT_EQ(options->listen[1].port, 0);
  EXPECT_EQ(FindPorts(settings_).rest_api_port, 1);
}

TEST_F(ComponentOptionsTest, OnlyTheRestPortOrTheSocket) {
  settings_.port = 0;
  settings_.grpc_socket_path = "/run/socket";
  const auto options = NetOptions(settings_);
  ASSERT_EQ(options->listen.size(), 2u);
  EXPECT_EQ(options->listen[0].port, 8501);
  EXPECT_EQ(options->listen[1].unix_path, "/run/socket");
  EXPECT_EQ(FindPorts(settings_).port, -1);
  EXPECT_EQ(FindPorts(settings_).rest_api_port, 0);
  settings_.rest_api_port = 0;
  EXPECT_EQ(NetOptions(settings_)->listen.size(), 1u);
  EXPECT_EQ(FindPorts(settings_).rest_api_port, -1);
}

TEST_F(ComponentOptionsTest, TlsFilesCoverBothPorts) {
  settings_.net.tls.certificate_file = "c";
  settings_.net.tls.key_file = "k";
  const auto options = NetOptions(settings_);
  EXPECT_TRUE(options->listen[0].tls);
  EXPECT_TRUE(options->listen[1].tls);
}

TEST_F(ComponentOptionsTest, SslConfigFileCoversGrpcOnlyAsInTensorFlowServing) {
  settings_.ssl_config_file =
      folder_.Write("file", "server_key: 'K' server_cert: 'C' custom_ca: 'A' client_verify: true");
  const auto options = NetOptions(settings_);
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_TRUE(options->listen[0].tls);
  EXPECT_FALSE(options->listen[1].tls);
  EXPECT_THAT(options->tls.pem_source, HasSubstr(settings_.ssl_config_file));
  EXPECT_EQ(options->tls.certificate_pem, "C");
  EXPECT_EQ(options->tls.key_pem, "K");
  EXPECT_EQ(options->tls.client_ca_pem, "A");
  EXPECT_TRUE(options->tls.require_client_certificate);
}

TEST_F(ComponentOptionsTest, TheRestPortServesGrpcUnlessOnlyTheOtherPortHasTls) {
  const auto refusals = [&] {
    const auto options = NetOptions(settings_);
    return std::pair(options->listen[0].grpc_refusal, options->listen[1].grpc_refusal);
  };
  EXPECT_EQ(refusals().second, "");
  settings_.grpc_on_rest_port = "off";
  EXPECT_THAT(refusals().second, HasSubstr("--grpc_on_rest_port=off"));
  settings_.grpc_on_rest_port = "auto";
  settings_.ssl_config_file = folder_.Write("file", "server_key: 'K' server_cert: 'C'");
  EXPECT_THAT(refusals().second, HasSubstr("--grpc_on_rest_port=on"));
  EXPECT_EQ(refusals().first, "");
  settings_.grpc_on_rest_port = "on";
  EXPECT_EQ(refusals().second, "");
  settings_.grpc_on_rest_port = "auto";
  settings_.ssl_config_file = {};
  settings_.net.tls.certificate_file = settings_.net.tls.key_file = "f";
  EXPECT_EQ(refusals().second, "");
}

TEST_F(ComponentOptionsTest, FilesThatCannotBeRead) {
  settings_.ssl_config_file = folder_ / "none";
  EXPECT_THAT(std::string(MessageOf(NetOptions(settings_).status())),
              HasSubstr("--ssl_config_file: cannot read"));
  settings_.monitoring_config_file = folder_.path();
  EXPECT_THAT(
      std::string(MessageOf(MetricsPaths(settings_).status())),
      HasSubstr("--monitoring_config_file: cannot read " + folder_.path() + ": Is a directory"));
  settings_.monitoring_config_file = "/dev/zero";
  EXPECT_THAT(std::string(MessageOf(MetricsPaths(settings_).status())),
              HasSubstr("cannot read /dev/zero: it has more than"));
}

TEST_F(ComponentOptionsTest, MetricsPathsFollowTheMonitoringConfig) {
  EXPECT_THAT(*MetricsPaths(settings_), ElementsAre("/metrics", "/monitoring/prometheus/metrics"));
  settings_.monitoring_config_file =
      folder_.Write("file", "prometheus_config { enable: true path: '/p' }");
  EXPECT_THAT(*MetricsPaths(settings_), ElementsAre("/metrics", "/p"));
  settings_.monitoring_config_file =
      folder_.Write("file", "prometheus_config { enable: true path: '/metrics' }");
  EXPECT_THAT(*MetricsPaths(settings_), ElementsAre("/metrics"));
  settings_.monitoring_config_file = folder_.Write("file", "prometheus_config { enable: false }");
  EXPECT_THAT(*MetricsPaths(settings_), IsEmpty());
}

TEST_F(ComponentOptionsTest, MemoryOfRequestsFollowsTheMemoryOfTheProcess) {
  EXPECT_EQ(InflightBytesMax(settings_), UsableMemoryBytes() / 4);
  settings_.inflight_bytes_max = 1 << 20;
  EXPECT_EQ(NetOptions(settings_)->inflight_bytes_max, 1U << 20);
  EXPECT_EQ(MakeEngineOptions(settings_).decoded_tensor_bytes_max, 1U << 19);
  EXPECT_EQ(MakeWarmUpOptions(settings_).json.tensor_bytes_max, 1U << 19);
  settings_.inflight_bytes_max = int64_t{1} << 40;
  EXPECT_EQ(DecodedTensorBytesMax(settings_), kDecodedTensorBytesMax);
  settings_.decoded_tensor_bytes_max = int64_t{1} << 35;
  EXPECT_EQ(DecodedTensorBytesMax(settings_), uint64_t{1} << 35);
}

TEST_F(ComponentOptionsTest, RetriesFollowTheInterval) {
  settings_.manager.load_retry_interval = std::chrono::minutes(2);
  EXPECT_EQ(MakeManagerOptions(settings_).load_retry_interval_max, std::chrono::minutes(2));
  settings_.manager.load_retry_interval = std::chrono::microseconds(-1);
  EXPECT_EQ(MakeManagerOptions(settings_).load_retry_interval, Duration(0));
}

TEST_F(ComponentOptionsTest, BackendsGetThreadsAndLibraries) {
  settings_.tensorflow_session_parallelism = 3;
  settings_.onnxruntime_library = "/lib/o.so";
  settings_.onnxruntime_custom_ops = "/lib/a.so,/lib/b.so";
  const BackendHostOptions options = MakeBackendOptions(settings_);
  EXPECT_EQ(options.intra_op_threads, 3);
  EXPECT_EQ(options.inter_op_threads, 3);
  EXPECT_THAT(options.options.at("onnxruntime"),
              ElementsAre(testing::Pair("library", "/lib/o.so"),
                          testing::Pair("custom_ops", "/lib/a.so,/lib/b.so")));
}

TEST_F(ComponentOptionsTest, BatchTakesAQuarterOfTheMemoryOfRequests) {
  settings_.inflight_bytes_max = 4000;
  EXPECT_EQ(MakeBatchDefaults(settings_).settings.bytes_max, 1000U);
  settings_.batching.bytes_max = 77;
  EXPECT_EQ(MakeBatchDefaults(settings_).settings.bytes_max, 77U);
}

TEST_F(ComponentOptionsTest, ThreadsOfRunsTimesSlotsAreAtMostTheCpus) {
  const auto cpus = static_cast<uint32_t>(UsableCpus());
  EXPECT_EQ(MakeSchedulerOptions(settings_).compute_slots, cpus);
  EXPECT_EQ(MakeSchedulerOptions(settings_).cpus, cpus) << "fewer where runs use many threads";
  settings_.tensorflow_intra_op_parallelism = 2;
  EXPECT_EQ(MakeSchedulerOptions(settings_).compute_slots, std::max(cpus / 2, 1U));
  EXPECT_EQ(MakeSchedulerOptions(settings_).cpus, 0);
  EXPECT_EQ(MakeBatchDefaults(settings_).runs, std::max(cpus / 2, 1U));
}

TEST_F(ComponentOptionsTest, ComputeThreadsThatAreSetAreKept) {
  settings_.compute_threads = 6;
  EXPECT_EQ(MakeSchedulerOptions(settings_).compute_slots, 6U);
  EXPECT_EQ(MakeSchedulerOptions(settings_).cpus, 0);
  settings_.tensorflow_intra_op_parallelism = 2;
  EXPECT_EQ(MakeSchedulerOptions(settings_).compute_slots, 6U);
  EXPECT_EQ(MakeBatchDefaults(settings_).runs, 3U) << "each run of a batch uses two of them";
}

TEST_F(ComponentOptionsTest, PathsOfBackendsAreCheckedBeforeTheStart) {
  folder_.Write("file");
  EXPECT_TRUE(CheckPaths(settings_).ok());
  const auto problem = [&](std::string Settings::*member, const std::string& path) {
    Settings settings = settings_;
    settings.*member = path;
    return std::string(MessageOf(CheckPaths(settings)));
  };
  EXPECT_EQ(problem(&Settings::backend_directory, "/nowhere"),
            "--backend_directory=/nowhere: No such file or directory");
  EXPECT_EQ(problem(&Settings::backend_directory, folder_ / "file"),
            "--backend_directory=" + folder_ / "file" + ": it is no folder");
  EXPECT_EQ(problem(&Settings::backend_directory, folder_.path()), "");
  EXPECT_EQ(problem(&Settings::tensorflow_library, "/nowhere"),
            "--tensorflow_library=/nowhere: No such file or directory");
  EXPECT_EQ(problem(&Settings::onnxruntime_library, folder_ / "file/x"),
            "--onnxruntime_library=" + folder_ / "file/x" + ": Not a directory");
  EXPECT_EQ(problem(&Settings::onnxruntime_library, folder_ / "file"),
            "--onnxruntime_library=" + folder_ / "file" + ": it is no shared library (ELF file)");
  const std::string library = folder_.Write("lib/a.so",
                                            "\x7f"
                                            "ELF...");
  EXPECT_EQ(problem(&Settings::onnxruntime_library, library), "");
  settings_.tensorflow_library = "/tf";
  EXPECT_EQ(MakeBackendOptions(settings_).set_by.at("tensorflow"), "--tensorflow_library=/tf");
  settings_.tensorflow_op_libraries = "/text";
  EXPECT_EQ(MakeBackendOptions(settings_).set_by.at("tensorflow"),
            "--tensorflow_library=/tf --tensorflow_op_libraries=/text");
}

TEST_F(ComponentOptionsTest, LibrariesOfOperationsAreCheckedBeforeTheStart) {
  const std::string text = folder_.Write("text", "no library"), empty = folder_.Make("empty");
  const std::string library = folder_.Write("lib/a.so",
                                            "\x7f"
                                            "ELF...");
  const auto problem = [&](std::string Settings::*member, const std::string& path) {
    Settings settings = settings_;
    settings.*member = path;
    return std::string(MessageOf(CheckPaths(settings)));
  };
  const auto tensorflow = &Settings::tensorflow_op_libraries;
  EXPECT_EQ(problem(tensorflow, library + "," + folder_ / "lib"), "");
  EXPECT_EQ(problem(tensorflow, library + ",,/nowhere"),
            "--tensorflow_op_libraries=/nowhere: No such file or directory");
  EXPECT_EQ(problem(tensorflow, text),
            "--tensorflow_op_libraries=" + text + ": it is no shared library (ELF file)");
  EXPECT_EQ(problem(tensorflow, empty),
            "--tensorflow_op_libraries=" + empty + ": the folder has no shared library (*.so)");
  EXPECT_EQ(problem(tensorflow, "/dev/null"), "--tensorflow_op_libraries=/dev/null: it is no file");
  const auto onnx = &Settings::onnxruntime_custom_ops;
  EXPECT_EQ(problem(onnx, library), "");
  EXPECT_EQ(problem(onnx, library + ",,/nowhere"),
            "--onnxruntime_custom_ops=/nowhere: No such file or directory");
  EXPECT_EQ(problem(onnx, text),
            "--onnxruntime_custom_ops=" + text + ": it is no shared library (ELF file)");
  EXPECT_EQ(problem(onnx, empty),
            "--onnxruntime_custom_ops=" + empty + ": it is a folder; give the libraries in it");
}

}  // namespace
}  // namespace penstock
