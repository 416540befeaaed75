// SPDX-License-Identifier: Apache-2.0
#include "config/token_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "access/access_control.h"

namespace penstock {
namespace {

using access::AccessControl;
using access::Operation;
using testing::HasSubstr;

// The hash of "abc".
constexpr std::string_view kHash =
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

std::string FileError(const std::string& text) {
  const auto table = ParseTokenFile(text, "tokens");
  EXPECT_FALSE(table.ok()) << text;
  EXPECT_EQ(table.status().code(), StatusCode::kInvalidArgument);
  return std::string(MessageOf(table.status()));
}

// A caller with these fields.
std::string CallerText(const std::string& fields) { return "caller { " + fields + " }"; }
std::string WithToken(const std::string& fields) {
  return CallerText(fmt::format("name: \"a\" token_sha256: \"{}\" {}", kHash, fields));
}
constexpr char kAllow[] = " allow { operation: INFER model: \"*\" }";

TEST(TokenFileTest, NobodyIsCalledAnonymous) {
  EXPECT_THAT(FileError(CallerText(
                  fmt::format("name: \"anonymous\" token_sha256: \"{}\" {}", kHash, kAllow))),
              HasSubstr("has the name of requests without credentials"));
}

TEST(TokenFileTest, ReadsCallersAndTheirPermissions) {
  auto table = ParseTokenFile(fmt::format(R"(
        caller {{
          name: "a"
          token_sha256: "{}"
          certificate {{ uri: "spiffe://prod/a" }}
          certificate {{ common_name: "a" }}
          allow {{ operation: [INFER, METADATA] model: "m" model: "team-*" }}
          allow {{ operation: METRICS }}
        }}
        anonymous {{ allow {{ operation: STATUS model: "public" }} }})",
                                          kHash),
                              "tokens");
  ASSERT_TRUE(table.ok()) << table.status();
  const AccessControl control(*std::move(table));
  const access::CallerPtr caller = control.Identify("Bearer abc", {});
  EXPECT_EQ(caller->name(), "a");
  EXPECT_TRUE(caller->May(Operation::kInfer, "m"));
  EXPECT_TRUE(caller->May(Operation::kMetadata, "team-x"));
  EXPECT_FALSE(caller->May(Operation::kInfer, "other"));
  EXPECT_FALSE(caller->May(Operation::kStatus, "m"));
  EXPECT_TRUE(caller->MayAll(Operation::kMetrics));
  using Kind = access::CertificateName::Kind;
  EXPECT_EQ(control.Identify({}, {{Kind::kUri, "spiffe://prod/a"}})->name(), "a");
  EXPECT_EQ(control.Identify({}, {{Kind::kCommonName, "a"}})->name(), "a");
  const access::CallerPtr anonymous = control.Identify({}, {});
  EXPECT_TRUE(anonymous->May(Operation::kStatus, "public"));
  EXPECT_FALSE(anonymous->May(Operation::kStatus, "m"));
}

TEST(TokenFileTest, RefusesMistakesWithTheirPlace) {
  EXPECT_THAT(FileError(""), HasSubstr("tokens: the file has no caller"));
  EXPECT_THAT(FileError("caller { nme: \"a\" }"), HasSubstr("1:10: "));
  EXPECT_THAT(FileError(CallerText(kAllow)), HasSubstr("a caller has no name"));
  EXPECT_THAT(FileError(CallerText(std::string("name: \"a\"") + kAllow)),
              HasSubstr("the caller 'a' has no credentials"));
  EXPECT_THAT(FileError(WithToken("")), HasSubstr("may do nothing"));
  EXPECT_THAT(FileError(WithToken("allow { model: \"m\" }")), HasSubstr("without an operation"));
  EXPECT_THAT(FileError(WithToken("allow { operation: OPERATION_UNSPECIFIED model: \"m\" }")),
              HasSubstr("the operation 0, which is none"));
  EXPECT_THAT(FileError(WithToken("allow { operation: INFER }")),
              HasSubstr("allows INFER without a model; say model: \"*\""));
  EXPECT_THAT(FileError(WithToken("allow { operation: INFER model: \"a*b\" }")),
              HasSubstr("a '*' may only be its last character"));
  EXPECT_THAT(FileError(WithToken("allow { operation: INFER model: \"\" }")),
              HasSubstr("a model without a name"));
  EXPECT_THAT(FileError(WithToken(std::string("certificate { }") + kAllow)),
              HasSubstr("a certificate without a name"));
  EXPECT_THAT(FileError("anonymous { }"), HasSubstr("tokens: anonymous may do nothing"));
  EXPECT_THAT(FileError("anonymous { allow { operation: ADMIN model: \"*\" } }"),
              HasSubstr("may not have ADMIN"));
}

TEST(TokenFileTest, RefusesMetricsOfSomeModels) {
  EXPECT_THAT(FileError(WithToken("allow { operation: METRICS model: \"m\" }")),
              HasSubstr("the caller 'a' allows METRICS for some models, but the metrics have all"));
  // It would give the metrics of all models to somebody who shall see one.
  EXPECT_THAT(FileError(WithToken("allow { operation: [INFER, METRICS] model: \"m\" }")),
              HasSubstr("say it in an allow without a model"));
  EXPECT_TRUE(
      ParseTokenFile(WithToken("allow { operation: [INFER, METRICS] model: \"*\" }"), "f").ok());
}

TEST(TokenFileTest, RefusesSharedCredentials) {
  const std::string one = WithToken(kAllow);
  EXPECT_THAT(FileError(one + one), HasSubstr("the caller 'a' is there twice"));
  std::string other = one;
  other.replace(other.find("\"a\""), 3, "\"b\"");
  EXPECT_THAT(FileError(one + other), HasSubstr("'b' has the token_sha256 ba7816bf..., which an "));
}

// Hashes of tokens are random, but tools fill files with what they like. Such a file was read in
// quadratic time.
TEST(TokenFileTest, ManyHashesMayBeginAlike) {
  constexpr int kCallers = 20'000;
  std::string text;
  for (int i = 0; i < kCallers; ++i)
    text += CallerText(fmt::format("name: \"{}\" token_sha256: \"{:064x}\" {}", i, i, kAllow));
  const auto table = ParseTokenFile(text, "tokens");
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_EQ(table->size(), size_t{kCallers});
  EXPECT_THAT(
      FileError(text + CallerText(fmt::format("name: \"z\" token_sha256: \"{:064x}\" {}",
                                              kCallers - 1, kAllow))),
      HasSubstr("the caller 'z' has the token_sha256 00000000..., which an earlier caller has"));
}

TEST(TokenFileTest, DoesNotRepeatATokenInTheErrorForIt) {
  const std::string token = access::NewToken();
  const std::string error =
      FileError(CallerText("name: \"a\" token_sha256: \"" + token + "\"" + kAllow));
  EXPECT_THAT(error, HasSubstr("not 64 hexadecimal digits"));
  EXPECT_EQ(error.find(token), std::string::npos);
  const std::string syntax = FileError(CallerText("name: \"a\" token_sha256: " + token));
  EXPECT_THAT(syntax, HasSubstr("1:34: Expected string, for the field \"token_sha256\""));
  EXPECT_EQ(syntax.find(token.substr(0, 10)), std::string::npos);
}

// A secret that does not look like a token of ours: it may stand at any place where a word can.
TEST(TokenFileTest, NoErrorRepeatsAWordOfTheFile) {
  for (const char* const text :
       {"caller { name: \"a\" token_sha256: hunter2 }", "caller { token_sha256: [\"a\", hunter2] }",
        "caller { token_sha256: \"a\" hunter2 }", "caller { token_sha256 hunter2 }",
        "caller { token_sha256: \"a\" hunter2: \"b\" }", "hunter2", "caller hunter2",
        "caller { [hunter2]: 1 }", "caller { [hunter2/x] { } }", "caller { name: \"a\" { hunter2",
        "caller { allow { operation: hunter2 } }", "caller { allow { operation: \"hunter2\" } }",
        "caller { token_sha256: 'hunter2", "caller { token_sha256: 'hunter2\n'",
        "caller { token_sha256: \"hunter2\" \\x", "caller { name: \"a\" name: hunter2 }",
        "caller { certificate { dns: hunter2 } }", "caller { allow { operation: -hunter2 } }"}) {
    const std::string error = FileError(text);
    EXPECT_EQ(error.find("hunter2"), std::string::npos) << error;
    EXPECT_THAT(error, HasSubstr("AccessRules: 1:")) << text;
  }
}

TEST(TokenFileTest, ErrorsSayTheFieldAndWhatIsAllowedThere) {
  EXPECT_THAT(FileError("caller { token_sha256: [\"a\", b] }"),
              HasSubstr("1:30: Expected string, after the field \"token_sha256\""));
  EXPECT_THAT(FileError("caller { nme: \"a\" }"),
              HasSubstr("1:10: Message type \"penstock.config.Caller\" has no field of this name; "
                        "did you mean \"name\"?"));
  EXPECT_THAT(FileError("caller { hunter2: \"a\" }"),
              HasSubstr("of this name; say name, token_sha256, certificate or allow"));
  EXPECT_THAT(FileError("caller { allow {\n  operation: [INFER, REED]\n} }"),
              HasSubstr("2:22: Unknown enumeration value for field \"operation\"; say INFER, "
                        "METADATA, STATUS, ADMIN or METRICS"));
}

TEST(TokenFileTest, TheLineOfANewTokenIsAFile) {
  auto table = ParseTokenFile(TokenFileLines("a \"b\"", "abc", "m*"), "tokens");
  ASSERT_TRUE(table.ok()) << table.status();
  const AccessControl control(*std::move(table));
  const access::CallerPtr caller = control.Identify("Bearer abc", {});
  EXPECT_EQ(caller->name(), "a \"b\"");
  EXPECT_TRUE(caller->May(Operation::kInfer, "mine"));
}

}  // namespace
}  // namespace penstock
