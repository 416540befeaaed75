// SPDX-License-Identifier: Apache-2.0
#include "frontends/tfs_rest/body_format.h"

#include <gtest/gtest.h>

namespace penstock::tfs_rest {
namespace {

TEST(BodyFormat, ContentTypes) {
  EXPECT_EQ(BodyFormatOf(""), BodyFormat::kJson);
  EXPECT_EQ(BodyFormatOf("application/json; charset=utf-8"), BodyFormat::kJson);
  // What curl sends by itself.
  EXPECT_EQ(BodyFormatOf("application/x-www-form-urlencoded"), BodyFormat::kJson);
  EXPECT_EQ(BodyFormatOf("Application/X-Npy"), BodyFormat::kNpy);
  EXPECT_EQ(BodyFormatOf("application/x-npz ; a=b"), BodyFormat::kNpz);
  EXPECT_EQ(BodyFormatOf("application/vnd.google.protobuf"), BodyFormat::kProtobuf);
}

TEST(BodyFormat, AnswersHaveTheFormatThatTheClientPrefers) {
  const BodyFormat npy = BodyFormat::kNpy, json = BodyFormat::kJson;
  EXPECT_EQ(AnswerFormatFor("", npy), npy);
  EXPECT_EQ(AnswerFormatFor("*/*", npy), npy);
  EXPECT_EQ(AnswerFormatFor("application/json", npy), json);
  EXPECT_EQ(AnswerFormatFor("application/x-npz", json), BodyFormat::kNpz);
  EXPECT_EQ(AnswerFormatFor("application/json;q=0.5, application/protobuf", npy),
            BodyFormat::kProtobuf);
  EXPECT_EQ(AnswerFormatFor("application/x-npy, application/json", npy), npy);
  EXPECT_EQ(AnswerFormatFor("*/*, application/x-npy;q=0", npy), json);
  EXPECT_EQ(AnswerFormatFor("application/*;q=0.1, application/x-npz;q=0.2", json),
            BodyFormat::kNpz);
}

// A client that says what it wants to show gets what it can be given.
TEST(BodyFormat, AnAcceptHeaderWithoutAKnownFormatIsIgnored) {
  EXPECT_EQ(AnswerFormatFor("text/html, image/png", BodyFormat::kNpy), BodyFormat::kNpy);
  EXPECT_EQ(AnswerFormatFor(",;,q=1;;,", BodyFormat::kJson), BodyFormat::kJson);
}

TEST(BodyFormat, ContentTypeOfEachFormat) {
  for (const BodyFormat format :
       {BodyFormat::kJson, BodyFormat::kProtobuf, BodyFormat::kNpy, BodyFormat::kNpz})
    EXPECT_EQ(BodyFormatOf(ContentTypeOf(format)), format);
}

TEST(BodyFormatTest, EventsAreForClientsThatNameThem) {
  EXPECT_TRUE(WantsEvents("text/event-stream"));
  EXPECT_TRUE(WantsEvents("Text/Event-Stream, */*"));
  EXPECT_TRUE(WantsEvents("application/json, text/event-stream"));
  EXPECT_TRUE(WantsEvents("application/json;q=0.5, text/event-stream;q=0.9"));
  EXPECT_FALSE(WantsEvents("application/json, text/event-stream;q=0.9"));
  EXPECT_FALSE(WantsEvents("text/event-stream;q=0"));
  EXPECT_FALSE(WantsEvents("text/*"));
  EXPECT_FALSE(WantsEvents("*/*"));
  EXPECT_FALSE(WantsEvents(""));
}

}  // namespace
}  // namespace penstock::tfs_rest
