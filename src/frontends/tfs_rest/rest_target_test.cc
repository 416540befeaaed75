// SPDX-License-Identifier: Apache-2.0
#include "frontends/tfs_rest/rest_target.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace penstock::tfs_rest {
namespace {

std::string Describe(std::string_view path) {
  const StatusOr<RestTarget> target = ParseRestPath("GET", path);
  if (!target.ok()) return StatusCodeName(target.status().code());
  static constexpr std::string_view kActions[] = {"predict", "classify", "regress",
                                                  "status",  "metadata", "list"};
  return fmt::format("{} '{}' {} '{}'", kActions[static_cast<int>(target->action)], target->name,
                     target->version ? target->version->value : -1, target->label);
}

TEST(RestTarget, Paths) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"/v1/models/m", "status 'm' -1 ''"},
      {"/v1/models/m:predict", "predict 'm' -1 ''"},
      {"/V1/Models/m:predict", "predict 'm' -1 ''"},
      {"/v1/models/m:classify", "classify 'm' -1 ''"},
      {"/v1/models/m:regress", "regress 'm' -1 ''"},
      {"/v1/models/m/metadata", "metadata 'm' -1 ''"},
      {"/v1/models/m/versions/12", "status 'm' 12 ''"},
      {"/v1/models/m/versions/12/metadata", "metadata 'm' 12 ''"},
      {"/v1/models/m/versions/9223372036854775807:predict", "predict 'm' 9223372036854775807 ''"},
      {"/v1/models/m/labels/canary:predict", "predict 'm' -1 'canary'"},
      {"/v1/models/m/labels/a%2Fb", "status 'm' -1 'a/b'"},
      {"/v1/models/a%3Ab%20c%2fd:predict", "predict 'a:b c/d' -1 ''"},
      {"/v1/models/a.b-c_d@1:predict", "predict 'a.b-c_d@1' -1 ''"},
      {"/v1/models", "list '' -1 ''"},
      {"/v1/models/", "list '' -1 ''"},
      {"/v1/models/m/versions/9223372036854775808", "INVALID_ARGUMENT"},
      {"/v1/models/m/versions/x:predict", "INVALID_ARGUMENT"},
      {"/v1/models/m/versions/-1", "INVALID_ARGUMENT"},
      {"/v1/models/m/versions/1.0", "INVALID_ARGUMENT"},
      {"/v1/models/a%2:predict", "INVALID_ARGUMENT"},
      {"/v1/models/a%zz:predict", "INVALID_ARGUMENT"},
      {"/v1/models/m/labels/%", "INVALID_ARGUMENT"},
      {"/v1/", "NOT_FOUND"},
      {"/v1/modelsx", "NOT_FOUND"},
      {"/v1/model/m:predict", "NOT_FOUND"},
      {"/v1/models/:predict", "NOT_FOUND"},
      {"/v1/models/m:PREDICT", "NOT_FOUND"},
      {"/v1/models/m:predict/", "NOT_FOUND"},
      {"/v1/models/m:", "NOT_FOUND"},
      {"/v1/models/m/", "NOT_FOUND"},
      {"/v1/models/m/versions", "NOT_FOUND"},
      {"/v1/models/m/versions/", "NOT_FOUND"},
      {"/v1/models/m/versions/:predict", "NOT_FOUND"},
      {"/v1/models/m/labels/:predict", "NOT_FOUND"},
      {"/v1/models/m/versions/1/labels/a:predict", "NOT_FOUND"},
      {"/v1/models/m/metadata/x", "NOT_FOUND"},
      {"/v1/models/m/metadata:predict", "NOT_FOUND"},
      {"/v1/models//m:predict", "NOT_FOUND"},
  };
  for (const auto& [path, wanted] : cases) EXPECT_EQ(Describe(path), wanted) << path;
}

TEST(RestTarget, ErrorsNameTheRequest) {
  EXPECT_EQ(
      MessageOf(ParseRestPath("POST", "/v1/nope").status()),
      "Malformed request: POST /v1/nope; known are GET /v1/models and, with MODEL for "
      "/v1/models/NAME, /v1/models/NAME/versions/NUMBER or /v1/models/NAME/labels/LABEL: GET "
      "MODEL, GET MODEL/metadata, POST MODEL:predict, POST MODEL:classify, POST MODEL:regress");
  const std::string longest(10'000, 'x');
  EXPECT_LT(MessageOf(ParseRestPath("POST", "/v1/" + longest).status()).size(), 500U);
  EXPECT_THAT(MessageOf(ParseRestPath("GET", "/v1/models/m/versions/x").status()),
              testing::HasSubstr("Malformed request: the model's version must be a number"));
  EXPECT_THAT(
      MessageOf(ParseRestPath("GET", "/v1/models/m/versions/18446744073709551615").status()),
      testing::StartsWith("Failed to convert version: 18446744073709551615 to numeric"));
}

TEST(RestTarget, ColonBeforeTheVerbMayBeEncoded) {
  const auto describe = [](std::string_view method, std::string_view path) {
    const StatusOr<RestTarget> target = ParseRestPath(method, path);
    if (!target.ok()) return StatusCodeName(target.status().code());
    return fmt::format("{}{} '{}'", IsPost(target->action) ? "run " : "read ", target->name,
                       target->label);
  };
  EXPECT_EQ(describe("POST", "/v1/models/m%3Apredict"), "run m ''");
  EXPECT_EQ(describe("POST", "/v1/models/m%3aclassify"), "run m ''");
  EXPECT_EQ(describe("POST", "/v1/models/m/labels/a%3Aregress"), "run m 'a'");
  EXPECT_EQ(describe("POST", "/v1/models/a%3Apredict%3Apredict"), "run a:predict ''");
  // Names may have a colon: one before the verb that is no encoded one, and without POST.
  EXPECT_EQ(describe("POST", "/v1/models/a%3Apredict:predict"), "run a:predict ''");
  EXPECT_EQ(describe("GET", "/v1/models/a%3Apredict"), "read a:predict ''");
  EXPECT_EQ(describe("POST", "/v1/models/m/metadata%3Apredict"), "NOT_FOUND");
  EXPECT_EQ(describe("POST", "/v1/models%3Apredict"), "NOT_FOUND");
  EXPECT_EQ(describe("POST", "/v1/models/%3Apredict"), "NOT_FOUND");
}

}  // namespace
}  // namespace penstock::tfs_rest
