// SPDX-License-Identifier: Apache-2.0
#include "config/cache_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "config/config_files.h"

namespace penstock {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

StatusOr<CacheConfig> ParseCache(const std::string& cache) {
  ASSIGN_OR_RETURN(const auto models,
                   ParseModelConfig("model_config_list { config { name: \"m\" base_path: \"/m\" "
                                    "penstock { " +
                                        cache + " } } }",
                                    "models.config"));
  return models.front().cache;
}

TEST(CacheConfig, IsOffWithoutACacheBlock) {
  const auto config = ParseCache("");
  ASSERT_TRUE(config.ok());
  EXPECT_FALSE(config->enabled);
}

TEST(CacheConfig, AnEmptyBlockTurnsItOnWithTheDefaults) {
  const auto config = ParseCache("cache { }");
  ASSERT_TRUE(config.ok());
  EXPECT_TRUE(config->enabled);
  EXPECT_FALSE(config->memory_bytes.has_value());
  EXPECT_EQ(config->ttl_seconds, 0);
}

TEST(CacheConfig, ReadsAllFields) {
  const auto config = ParseCache(
      "cache { memory_bytes: 1000 disk_bytes: 0 path: 'p' ttl_seconds: 60 outputs: 'a' outputs: "
      "'b' }");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->memory_bytes, 1000u);
  EXPECT_EQ(config->disk_bytes, 0u);
  EXPECT_EQ(config->path, "p");
  EXPECT_EQ(config->ttl_seconds, 60);
  EXPECT_THAT(config->outputs, ElementsAre("a", "b"));
}

TEST(CacheConfig, RefusesMistakes) {
  EXPECT_THAT(ParseCache("cache { memory_bytes: -1 }").status().message(),
              HasSubstr("a cache with a memory_bytes of -1; it must be 0 to"));
  EXPECT_THAT(ParseCache("cache { ttl_seconds: -5 }").status().message(),
              HasSubstr("a ttl_seconds of -5"));
  EXPECT_THAT(ParseCache("cache { outputs: 'a' outputs: 'a' }").status().message(),
              HasSubstr("names the output 'a' twice"));
  for (const char* path : {"/etc", "a/b", "..", ".hidden"}) {
    EXPECT_THAT(ParseCache("cache { path: '" + std::string(path) + "' }").status().message(),
                HasSubstr("must be the name of a folder in --row_cache_directory"));
  }
}

}  // namespace
}  // namespace penstock
