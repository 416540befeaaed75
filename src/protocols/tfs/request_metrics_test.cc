// SPDX-License-Identifier: Apache-2.0
#include "protocols/tfs/request_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace penstock::tfs {
namespace {

using std::chrono::microseconds;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(RequestMetrics, CountsByModelAndStatus) {
  MetricsRegistry registry;
  RequestMetrics metrics(registry, "predict", "REST");
  metrics.Record("m", absl::StatusCode::kOk, microseconds(50));
  metrics.Record("m", absl::StatusCode::kOk, microseconds(5));
  metrics.Record("m", absl::StatusCode::kInvalidArgument, microseconds(7));
  metrics.Record("", absl::StatusCode::kNotFound, microseconds(7));
  const std::string text = registry.Text();
  EXPECT_THAT(text, HasSubstr("request_count{model_name=\"m\",status=\"OK\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("request_count{model_name=\"m\",status=\"INVALID_ARGUMENT\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("model_name=\"(unknown)\",status=\"NOT_FOUND\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("request_latency_count{model_name=\"m\",API=\"predict\","
                              "entrypoint=\"REST\"} 2\n"));
}

TEST(RequestMetrics, ManyModelsShareASeries) {
  MetricsRegistry registry(5000);
  RequestMetrics metrics(registry, "predict", "REST");
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 600; ++i) {
      metrics.Record("model" + std::to_string(i), absl::StatusCode::kOk, microseconds(1));
    }
  }
  const std::string text = registry.Text();
  EXPECT_THAT(text, HasSubstr("request_count{model_name=\"model0\",status=\"OK\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("request_count{model_name=\"other\",status=\"OK\"} 176\n"));
  EXPECT_THAT(text, Not(HasSubstr("model599")));
}

}  // namespace
}  // namespace penstock::tfs
