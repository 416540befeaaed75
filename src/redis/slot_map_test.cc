// SPDX-License-Identifier: Apache-2.0
#include "redis/slot_map.h"

#include <gtest/gtest.h>

namespace penstock::redis {
namespace {

TEST(SlotTest, IsThatOfRedis) {
  // redis-cli CLUSTER KEYSLOT
  EXPECT_EQ(SlotOf(""), 0);
  EXPECT_EQ(SlotOf("123456789"), 0x31C3);
  EXPECT_EQ(SlotOf("foo"), 12182);
  EXPECT_EQ(SlotOf("a{foo}b"), 12182);
  EXPECT_EQ(SlotOf("a{foo}{bar}"), 12182);
  EXPECT_EQ(SlotOf("foo{}{bar}"), 8363);
  EXPECT_NE(SlotOf("{foo"), 12182);
}

TEST(AddressTest, ReadsWhatUsersAndNodesWrite) {
  EXPECT_EQ(ParseAddress("10.0.0.1:6379").value(), (Address{"10.0.0.1", 6379}));
  EXPECT_EQ(ParseAddress("[::1]:6379").value(), (Address{"::1", 6379}));
  EXPECT_EQ(ParseAddress("::1:6379").value(), (Address{"::1", 6379}));
  EXPECT_EQ(ParseAddress(":6379", "host").value(), (Address{"host", 6379}));
  EXPECT_EQ((Address{"::1", 6379}).ToString(), "[::1]:6379");
  for (const std::string_view wrong : {"", "host", "host:", "host:0", "host:65536", ":6379"})
    EXPECT_EQ(ParseAddress(wrong).status().code(), StatusCode::kInvalidArgument) << wrong;
}

TEST(RedirectTest, IsMovedOrAsk) {
  const Redirect moved = ParseRedirect("MOVED 3999 127.0.0.1:6381", "x").value();
  EXPECT_FALSE(moved.is_ask);
  EXPECT_EQ(moved.slot, 3999);
  EXPECT_EQ(moved.to, (Address{"127.0.0.1", 6381}));
  EXPECT_TRUE(ParseRedirect("ASK 0 :1", "x").value().is_ask);
  EXPECT_EQ(ParseRedirect("ASK 0 :1", "x")->to, (Address{"x", 1}));
  EXPECT_EQ(ParseRedirect("CLUSTERDOWN", "x").status().code(), StatusCode::kNotFound);
  for (const std::string_view wrong : {"MOVED ", "MOVED 1", "MOVED 16384 a:1", "MOVED -1 a:1"})
    EXPECT_EQ(ParseRedirect(wrong, "x").status().code(), StatusCode::kInvalidArgument) << wrong;
}

Value Number(int64_t number) { return {TokenKind::kInteger, number, {}, {}}; }
Value Text(std::string text) { return {TokenKind::kBulk, 0, std::move(text), {}}; }
Value List(std::vector<Value> elements) { return {TokenKind::kArray, 0, {}, std::move(elements)}; }

TEST(SlotsTest, NameTheNodesOfEachRange) {
  const Value answer = List(
      {List({Number(0), Number(100), List({Text("a"), Number(1), Text("id")}),
             List({Text(""), Number(2), Text("id")}), List({Text("?"), Number(3), Text("id")})})});
  const auto ranges = ParseSlots(answer, "own").value();
  ASSERT_EQ(ranges.size(), 1u);
  EXPECT_EQ(ranges[0].last, 100);
  EXPECT_EQ(ranges[0].nodes, (std::vector<Address>{{"a", 1}, {"own", 2}}));
}

TEST(SlotsTest, RefuseWhatIsWrong) {
  const Value node = List({Text("a"), Number(1)});
  for (const Value& wrong :
       {Number(1), List({Number(1)}), List({List({Number(0), Number(1)})}),
        List({List({Number(5), Number(4), node})}), List({List({Number(0), Number(16384), node})}),
        List({List({Number(-1), Number(4), node})}),
        List({List({Number(0), Number(4), List({Text("a"), Number(70000)})})})})
    EXPECT_EQ(ParseSlots(wrong, "x").status().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace penstock::redis
