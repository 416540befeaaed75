// SPDX-License-Identifier: Apache-2.0
#include "s3/s3_listing.h"

#include <gtest/gtest.h>

namespace penstock {
namespace {

TEST(S3ListingTest, ObjectsFoldersAndTheNextPage) {
  const auto listing = ParseListing(R"(<?xml version="1.0" encoding="UTF-8"?>
    <ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
      <EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>
      <NextContinuationToken>a&amp;b</NextContinuationToken>
      <Contents><Key>m/1/a+b%2Bc%41</Key><Size>7</Size><ETag>&quot;abc&quot;</ETag>
        <LastModified>2026-11-22T12:00:01.000Z</LastModified></Contents>
      <CommonPrefixes><Prefix>m/2/</Prefix></CommonPrefixes>
      <CommonPrefixes><Prefix>m/3/</Prefix></CommonPrefixes>
    </ListBucketResult>)");
  ASSERT_TRUE(listing.ok()) << listing.status();
  ASSERT_EQ(listing->objects.size(), 1U);
  EXPECT_EQ(listing->objects[0].key, "m/1/a b+cA");
  EXPECT_EQ(listing->objects[0].size, 7U);
  EXPECT_EQ(listing->objects[0].etag, "\"abc\"");
  EXPECT_EQ(listing->objects[0].last_modified,
            ParseTime("Sun, 22 Nov 2026 12:00:01 GMT", "%a, %d %b %Y %H:%M:%S"));
  EXPECT_EQ(listing->folders, (std::vector<std::string>{"m/2/", "m/3/"}));
  EXPECT_EQ(listing->next_token, "a&b");
}

TEST(S3ListingTest, KeysStayAsTheyAreIfTheyAreNotEscaped) {
  const auto listing = ParseListing(
      "<ListBucketResult><Contents><Key>a+%41</Key><Size>0</Size></Contents></ListBucketResult>");
  ASSERT_TRUE(listing.ok());
  EXPECT_EQ(listing->objects[0].key, "a+%41");
  EXPECT_FALSE(listing->objects[0].last_modified);
}

TEST(S3ListingTest, WhatIsNoListingIsRefused) {
  for (const char* xml :
       {"", "no xml", "<html/>", "<ListBucketResult>",
        "<ListBucketResult><Contents><Key>a</Key><Size>-1</Size></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Size>18446744073709551616</Size></Contents>"
        "</ListBucketResult>",
        "<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>",
        "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"}) {
    EXPECT_EQ(ParseListing(xml).status().code(), StatusCode::kInternal) << xml;
  }
}

TEST(S3ListingTest, ETagsThatWouldEndAHeaderAreDropped) {
  const auto etag = [](const std::string& text) {
    return ParseListing("<ListBucketResult><Contents><Key>a</Key><Size>0</Size><ETag>" + text +
                        "</ETag></Contents></ListBucketResult>")
        ->objects[0]
        .etag;
  };
  EXPECT_EQ(etag("&quot;a-2&quot;"), "\"a-2\"");
  for (const std::string& bad : {std::string("a&#13;&#10;x: y"), std::string("a b"),
                                 std::string("\xc3\xa4"), std::string(9000, 'a')}) {
    EXPECT_EQ(etag(bad), "") << bad;
  }
}

TEST(S3ListingTest, TokensOfNextPagesHaveALimit) {
  EXPECT_EQ(
      ParseListing("<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>" +
                   std::string(9000, 'a') + "</NextContinuationToken></ListBucketResult>")
          .status(),
      absl::InternalError("the listing goes on with a token of 9000 bytes"));
}

TEST(S3ListingTest, TimesThatNanosecondsCannotHoldAreNone) {
  const auto year = [](const char* text) { return ParseTime(text, "%Y-%m-%dT%H:%M:%S"); };
  EXPECT_TRUE(year("1970-01-01T00:00:00"));
  EXPECT_TRUE(year("2099-12-31T23:59:59"));
  EXPECT_FALSE(year("9999-12-31T23:59:59"));
  EXPECT_FALSE(year("0001-01-01T00:00:00"));
  EXPECT_FALSE(year("tomorrow"));
}

TEST(S3ListingTest, Errors) {
  const S3Error error =
      ParseS3Error("<Error><Code>NoSuchBucket</Code><Message>It is gone</Message></Error>");
  EXPECT_EQ(error.code, "NoSuchBucket");
  EXPECT_EQ(error.message, "It is gone");
  EXPECT_EQ(ParseS3Error("nothing").code, "");
}

}  // namespace
}  // namespace penstock
