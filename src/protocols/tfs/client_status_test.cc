// SPDX-License-Identifier: Apache-2.0
#include "protocols/tfs/client_status.h"

#include <gtest/gtest.h>

namespace penstock::tfs {
namespace {

TEST(ClientStatus, CutsLongMessages) {
  const Status fits = absl::InternalError(std::string(1024, 'a'));
  EXPECT_EQ(Truncated(fits), fits);
  EXPECT_EQ(Truncated(absl::InternalError(std::string(1025, 'a'))),
            absl::InternalError(std::string(1024, 'a') + "...TRUNCATED"));
  // Never within a character.
  EXPECT_EQ(Truncated(absl::InternalError(std::string(1023, 'a') + "\xe2\x82\xac and more")),
            absl::InternalError(std::string(1023, 'a') + "...TRUNCATED"));
  // Nor back to nothing, if there are no characters.
  EXPECT_EQ(MessageOf(Truncated(absl::InternalError(std::string(2000, '\x80')))), "...TRUNCATED");
  EXPECT_TRUE(Truncated(OkStatus()).ok());
}

TEST(ClientStatus, MapsEveryCodeToHttp) {
  const std::pair<StatusCode, int> expected[] = {{StatusCode::kOk, 200},
                                                 {StatusCode::kCancelled, 499},
                                                 {StatusCode::kUnknown, 500},
                                                 {StatusCode::kInvalidArgument, 400},
                                                 {StatusCode::kDeadlineExceeded, 504},
                                                 {StatusCode::kNotFound, 404},
                                                 {StatusCode::kAlreadyExists, 409},
                                                 {StatusCode::kPermissionDenied, 403},
                                                 {StatusCode::kResourceExhausted, 429},
                                                 {StatusCode::kFailedPrecondition, 400},
                                                 {StatusCode::kAborted, 409},
                                                 {StatusCode::kOutOfRange, 400},
                                                 {StatusCode::kUnimplemented, 501},
                                                 {StatusCode::kInternal, 500},
                                                 {StatusCode::kUnavailable, 503},
                                                 {StatusCode::kDataLoss, 500},
                                                 {StatusCode::kUnauthenticated, 401}};
  for (const auto& [code, http] : expected) EXPECT_EQ(HttpStatusOf(code), http);
}

}  // namespace
}  // namespace penstock::tfs
