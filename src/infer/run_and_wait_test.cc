// SPDX-License-Identifier: Apache-2.0
#include "infer/run_and_wait.h"

#include <gtest/gtest.h>

#include <thread>

#include "infer/model_fake.h"

namespace penstock {
namespace {

TEST(RunAndWaitTest, GivesTheStatusOfTheLastPart) {
  FakeModel model(FakeInfoOfAny(), [](const InferRequest&, ResponseCallback done) {
    done({.status = OkStatus(), .outputs = {}, .is_last = false});
    done({.status = absl::InternalError("the runtime failed"), .outputs = {}, .is_last = true});
  });
  EXPECT_EQ(RunAndWait(model, {}), absl::InternalError("the runtime failed"));
}

TEST(RunAndWaitTest, WaitsForAnotherThread) {
  std::thread thread;
  FakeModel model(FakeInfoOfAny(), [&](const InferRequest&, ResponseCallback done) {
    thread = std::thread([done = std::move(done)]() mutable { done({}); });
  });
  EXPECT_TRUE(RunAndWait(model, {}).ok());
  thread.join();
}

TEST(RunAndWaitTest, ChecksTheRequestFirst) {
  bool has_run = false;
  FakeModel model({}, [&](const InferRequest&, ResponseCallback) { has_run = true; });
  InferRequest request;
  request.signature_name = "none";
  EXPECT_EQ(RunAndWait(model, request).code(), StatusCode::kFailedPrecondition);
  EXPECT_FALSE(has_run);
}

}  // namespace
}  // namespace penstock
