// SPDX-License-Identifier: Apache-2.0
#include "base/options/option_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <string>

#include "base/options/nearest_name.h"

namespace penstock {
namespace {

using testing::ElementsAre;

struct Limits {
  int depth_max = 3;
};
struct Engine {
  std::string name = "fast";
  bool warm = true;
  Limits limits;
  std::chrono::nanoseconds pause = std::chrono::seconds(2);
};
struct Leaf {
  int64_t port = 7;
};

const std::array<OptionRow, 4> kEngineRows = {{
    {.group = "One", .name = "name", .target = Field<&Engine::name>(), .sentence = "A name."},
    {.group = "One", .name = "warm", .target = Field<&Engine::warm>(), .sentence = "A truth."},
    {.group = "Two",
     .name = "depth",
     .target = Field<&Engine::limits, &Limits::depth_max>(),
     .sentence = "A depth.",
     .unit = "levels"},
    {.group = "Two",
     .name = "pause",
     .target = In<std::chrono::milliseconds, &Engine::pause>(),
     .sentence = "A pause."},
}};
const std::array<OptionRow, 1> kLeafRows = {
    {{.group = "One", .name = "port", .target = Field<&Leaf::port>(), .sentence = "A port."}}};

OptionTable Table() {
  const std::array<std::span<const OptionRow>, 2> parts = {kEngineRows, kLeafRows};
  return OptionTable(parts);
}

TEST(OptionTableTest, TheRowsOfALeafComeAtTheEndOfTheirGroup) {
  const OptionTable table = Table();
  std::vector<std::string_view> names;
  for (const OptionRow& row : table.rows()) names.push_back(row.name);
  EXPECT_THAT(names, ElementsAre("name", "warm", "port", "depth", "pause"));
  EXPECT_EQ(table.Find("port")->sentence, "A port.");
  EXPECT_EQ(table.Find("none"), nullptr);
  EXPECT_EQ(table.Nearest("nmae"), "name");
}

TEST(OptionTableTest, DefaultsAreThoseOfTheMembers) {
  std::vector<std::string> defaults;
  const OptionTable table = Table();
  for (const OptionRow& row : table.rows()) defaults.push_back(row.DefaultText());
  EXPECT_THAT(defaults, ElementsAre("fast", "true", "7", "3", "2000"));
  EXPECT_EQ(table.Find("depth")->UnitText(), "levels");
  EXPECT_EQ(table.Find("pause")->UnitText(), "ms");
}

TEST(OptionTableTest, ValuesAreSetInTheStructsOfTheirOwners) {
  const OptionTable table = Table();
  const auto field = [&](std::string_view name) {
    return std::get<OptionField>(table.Find(name)->target);
  };
  OptionValues values;
  field("name").set_text(values, "slow");
  field("warm").set(values, 0);
  field("depth").set(values, 9);
  field("pause").set(values, 5);
  EXPECT_EQ(values.Get<Leaf>().port, 7);
  field("port").set(values, 80);
  const OptionValues copy = values;
  EXPECT_EQ(copy.Get<Engine>().name, "slow");
  EXPECT_FALSE(copy.Get<Engine>().warm);
  EXPECT_EQ(copy.Get<Engine>().limits.depth_max, 9);
  EXPECT_EQ(copy.Get<Engine>().pause, std::chrono::milliseconds(5));
  EXPECT_EQ(copy.Get<Leaf>().port, 80);
  EXPECT_EQ(field("pause").get(copy), 5);
}

TEST(NearestNameTest, FindsTheLeastChange) {
  constexpr std::array<std::string_view, 3> kNames = {"serve", "inspect", "version"};
  EXPECT_EQ(NearestName("server", kNames), "serve");
  EXPECT_EQ(NearestName("inpsect", kNames), "inspect");
  EXPECT_EQ(NearestName("xyz", kNames), "");
  EXPECT_EQ(NearestName("", kNames), "");
  EXPECT_EQ(NearestName(std::string(1000, 's'), kNames), "");
}

}  // namespace
}  // namespace penstock
