// SPDX-License-Identifier: Apache-2.0
#include "access/access_control.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace penstock::access {
namespace {

using Kind = CertificateName::Kind;

constexpr std::string_view kToken = "pst_0123456789";

AccessTable TableWith(std::string_view token, std::string_view name = "team") {
  AccessTable table;
  Caller& caller = table.Add(std::string(name));
  caller.Allow(Operation::kInfer, "ranker");
  EXPECT_TRUE(table.AddToken(HashOf(token), caller));
  return table;
}

std::string Bearer(std::string_view token) { return "Bearer " + std::string(token); }

TEST(AccessControlTest, ATokenNamesItsCaller) {
  const AccessControl control(TableWith(kToken));
  for (const std::string_view value :
       {"Bearer pst_0123456789", "bearer pst_0123456789", "BEARER   pst_0123456789 "}) {
    const CallerPtr caller = control.Identify(value, {});
    EXPECT_EQ(caller->name(), "team") << value;
    EXPECT_TRUE(caller->refusal().empty());
    EXPECT_TRUE(caller->May(Operation::kInfer, "ranker"));
    EXPECT_FALSE(caller->May(Operation::kInfer, "other"));
    EXPECT_FALSE(caller->May(Operation::kAdmin, "ranker"));
  }
}

TEST(AccessControlTest, OthersAreStrangersWhoMayDoNothing) {
  const AccessControl control(TableWith(kToken));
  const std::string long_value = Bearer(std::string(5000, 'x'));
  for (const std::string_view value :
       {std::string_view(), std::string_view("Bearer pst_012345678"), std::string_view("Bearer"),
        std::string_view("Bearer "), std::string_view("Basic cHN0XzAxMjM0NTY3ODk="),
        std::string_view("pst_0123456789"), std::string_view(long_value)}) {
    const CallerPtr caller = control.Identify(value, {});
    EXPECT_FALSE(caller->refusal().empty()) << value;
    EXPECT_FALSE(caller->May(Operation::kInfer, "ranker"));
    EXPECT_EQ(Check(caller.get(), Operation::kInfer, "ranker").code(),
              StatusCode::kUnauthenticated);
  }
}

TEST(AccessControlTest, AnonymousRequestsAreThoseWithoutCredentials) {
  AccessTable table = TableWith(kToken);
  Caller& anonymous = table.Add("anonymous");
  anonymous.Allow(Operation::kStatus, "*");
  table.SetAnonymous(anonymous);
  const AccessControl control(std::move(table));
  EXPECT_EQ(control.Identify({}, {})->name(), "anonymous");
  EXPECT_EQ(control.Identify({}, {{Kind::kCommonName, "who"}})->name(), "anonymous");
  EXPECT_FALSE(control.Identify("Bearer wrong", {})->refusal().empty())
      << "a wrong token must not pass for none";
}

TEST(AccessControlTest, ACertificateNamesItsCaller) {
  AccessTable table = TableWith(kToken);
  const Caller& service = table.Add("service");
  const Caller& host = table.Add("host");
  ASSERT_TRUE(table.AddCertificate({Kind::kUri, "spiffe://prod/ranker"}, service));
  ASSERT_TRUE(table.AddCertificate({Kind::kDns, "Host.Example"}, host));
  EXPECT_FALSE(table.AddCertificate({Kind::kDns, "host.example"}, service));
  const AccessControl control(std::move(table));
  const CertificateNames names = {{Kind::kUri, "spiffe://prod/ranker"},
                                  {Kind::kDns, "host.example"}};
  EXPECT_EQ(control.Identify({}, names)->name(), "service") << "the first name counts";
  EXPECT_EQ(control.Identify({}, {{Kind::kDns, "HOST.example"}})->name(), "host");
  EXPECT_EQ(control.Identify(Bearer(kToken), names)->name(), "team") << "a token counts first";
  // The same text as another kind of name is another name.
  EXPECT_FALSE(
      control.Identify({}, {{Kind::kCommonName, "spiffe://prod/ranker"}})->refusal().empty());
  EXPECT_FALSE(control.Identify({}, {{Kind::kUri, "spiffe://PROD/ranker"}})->refusal().empty());
}

TEST(CallerMemoTest, RemembersUntilTheRulesChange) {
  AccessControl control(TableWith(kToken));
  CallerMemo memo(control, {});
  const Caller* const first = memo.Identify(Bearer(kToken)).get();
  EXPECT_EQ(memo.Identify(Bearer(kToken)).get(), first);
  EXPECT_FALSE(memo.Identify("Bearer other").get()->refusal().empty());
  EXPECT_EQ(memo.Identify(Bearer(kToken)).get()->name(), "team");

  const CallerPtr kept = memo.Identify(Bearer(kToken));
  control.Replace(TableWith("another", "new"));
  EXPECT_FALSE(memo.Identify(Bearer(kToken))->refusal().empty()) << "the token was withdrawn";
  EXPECT_EQ(memo.Identify("Bearer another")->name(), "new");
  EXPECT_EQ(kept->name(), "team") << "a request that has begun keeps its caller";
}

TEST(CallerMemoTest, DoesNotTakeNoTokenForAnEmptyOne) {
  const AccessControl control(TableWith(kToken));
  CallerMemo memo(control, {});
  EXPECT_FALSE(memo.Identify({})->refusal().empty());
  EXPECT_FALSE(memo.Identify(std::string(5000, 'x'))->refusal().empty());
  EXPECT_EQ(memo.Identify(Bearer(kToken))->name(), "team");
}

TEST(ModelFilterTest, MatchesNamesAndPrefixes) {
  ModelFilter filter;
  EXPECT_FALSE(filter.Matches("a"));
  filter.Add("a");
  filter.Add("team-*");
  EXPECT_TRUE(filter.Matches("a"));
  EXPECT_TRUE(filter.Matches("team-"));
  EXPECT_TRUE(filter.Matches("team-b"));
  EXPECT_FALSE(filter.Matches("aa"));
  EXPECT_FALSE(filter.Matches("team"));
  EXPECT_FALSE(filter.Matches(""));
  EXPECT_FALSE(filter.MatchesAll());
  filter.Add("*");
  EXPECT_TRUE(filter.MatchesAll());
  EXPECT_TRUE(filter.Matches("anything"));
}

TEST(CallerTest, RefusalsNameThePermission) {
  const Caller caller("team");
  const Status status = Check(&caller, Operation::kMetadata, "m");
  EXPECT_EQ(status.code(), StatusCode::kPermissionDenied);
  EXPECT_EQ(MessageOf(status), "'team' has no permission METADATA for a model called 'm'");
  EXPECT_EQ(MessageOf(CheckAll(&caller, Operation::kMetrics)),
            "'team' has no permission METRICS for all models");
  EXPECT_TRUE(Check(nullptr, Operation::kAdmin, "m").ok()) << "there is no token file";
}

TEST(CallerTest, RefusalsOfRequestsWithoutATokenSayToSendOne) {
  const Caller anonymous{std::string(kAnonymousName)};
  EXPECT_EQ(MessageOf(Refusal(anonymous, Operation::kMetrics)),
            "'anonymous' has no permission METRICS for all models; the request came without a "
            "token, so send one");
  EXPECT_TRUE(MessageOf(Refusal(anonymous, Operation::kInfer, "m")).ends_with("so send one"));
}

TEST(TokenTest, HashesAsOtherToolsDo) {
  // printf %s abc | sha256sum
  EXPECT_EQ(ToHex(HashOf("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(FromHex(ToHex(HashOf("abc"))), HashOf("abc"));
  EXPECT_EQ(FromHex("BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD"),
            HashOf("abc"));
  EXPECT_FALSE(FromHex("ba78"));
  EXPECT_FALSE(FromHex(std::string(63, 'a') + "g"));
}

TEST(TokenTest, NewTokensDiffer) {
  const std::string token = NewToken();
  EXPECT_EQ(token.size(), 47u);
  EXPECT_TRUE(token.starts_with("pst_"));
  EXPECT_EQ(token.find_first_of("+/="), std::string::npos);
  EXPECT_NE(token, NewToken());
}

TEST(TokenTest, ComparesWholeTexts) {
  for (size_t size = 0; size < 20; ++size) {
    const std::string text(size, 'a');
    EXPECT_TRUE(EqualInConstantTime(text, std::string(size, 'a')));
    EXPECT_FALSE(EqualInConstantTime(text, text + "a"));
    for (size_t i = 0; i < size; ++i) {
      std::string other = text;
      other[i] = 'b';
      EXPECT_FALSE(EqualInConstantTime(text, other));
    }
  }
}

}  // namespace
}  // namespace penstock::access
