// SPDX-License-Identifier: Apache-2.0
#include "core/transition_policy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace penstock::core {
namespace {

// One version per character: its phase, upper case if it is aspired. The versions are 1, 2, 3, ...
// n new, l loading, r ready, u unloading, d disabled, e error.
std::vector<PolicyVersion> Parse(const std::string& text) {
  std::vector<PolicyVersion> versions;
  for (const char letter : text) {
    PolicyVersion version;
    version.version = VersionNumber{static_cast<int64_t>(versions.size()) + 1};
    version.is_aspired = letter < 'a';
    version.phase = static_cast<VersionPhase>(std::string("nlrude").find(
        version.is_aspired ? static_cast<char>(letter + ('a' - 'A')) : letter));
    versions.push_back(version);
  }
  return versions;
}

// As "load 2", "unload 1", "nothing".
std::string Next(const TransitionPolicy& policy, const std::string& text) {
  const auto action = policy.Next(Parse(text));
  if (!action) return "nothing";
  return (action->kind == VersionAction::Kind::kLoad ? "load " : "unload ") +
         std::to_string(action->version.value);
}

struct Row {
  const char* versions;
  const char* expected;
};

TEST(TransitionPolicyTest, AvailabilityPreserving) {
  const Row rows[] = {
      {"", "nothing"},     {"N", "load 1"},     {"NN", "load 2"},  // the highest first
      {"n", "nothing"},                                            // not aspired: never loaded
      {"R", "nothing"},    {"L", "nothing"},    {"E", "nothing"},
      {"D", "nothing"},    {"rN", "load 2"},  // the new one first, the old one serves on
      {"rL", "nothing"},                      // wait for it
      {"rR", "unload 1"},                     // ready: now the old one may go
      {"rE", "nothing"},                      // the new one is broken: the old one stays
      {"rEN", "load 3"},                      // a later good one
      {"rER", "unload 1"},                    // lets the old one go
      {"rrE", "unload 1"},                    // but one old one is enough
      {"rrN", "unload 1"},                    // unload comes before load
      {"rrL", "unload 1"}, {"uRN", "load 3"},   {"RrN", "unload 2"},
      {"RRN", "load 3"},   {"r", "unload 1"},  // nothing is aspired: all go, lowest first
      {"rr", "unload 1"},  {"rd", "unload 1"},  {"ur", "unload 2"},
      {"ud", "nothing"},   {"Nr", "load 1"},  // back to a smaller number
      {"Rr", "unload 2"},  {"rRL", "unload 1"}, {"rRE", "unload 1"},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(Next(AvailabilityPreservingPolicy(), row.versions), row.expected) << row.versions;
  }
}

TEST(TransitionPolicyTest, ResourcePreserving) {
  const Row rows[] = {
      {"", "nothing"},    {"N", "load 1"},    {"NN", "load 2"},  {"n", "nothing"},
      {"R", "nothing"},   {"rN", "unload 1"},  // memory first
      {"rE", "unload 1"}, {"uN", "nothing"},   // not gone yet
      {"UN", "nothing"},                       // wanted again, but still going
      {"lN", "nothing"},  // its load will be undone, but takes memory until then
      {"LN", "load 2"},   // both are wanted
      {"dN", "load 2"},   {"eN", "load 2"},   {"edN", "load 3"}, {"euN", "nothing"},
      {"RN", "load 2"},   {"rr", "unload 1"}, {"E", "nothing"},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(Next(ResourcePreservingPolicy(), row.versions), row.expected) << row.versions;
  }
}

// Every state of up to four versions: the policies ask only for what is possible, and the first one
// never gives up the last version that serves while one is wanted.
TEST(TransitionPolicyTest, EveryStateOfFourVersions) {
  const std::string letters = "nlrudeNLRUDE";
  for (int code = 0; code < 12 * 12 * 12 * 12; ++code) {
    std::string text;
    for (int rest = code, i = 0; i < 4; ++i, rest /= 12) {
      text += letters[static_cast<size_t>(rest % 12)];
    }
    for (const TransitionPolicy* policy :
         {&AvailabilityPreservingPolicy(), &ResourcePreservingPolicy()}) {
      const auto action = policy->Next(Parse(text));
      if (!action) continue;
      const char state = text[static_cast<size_t>(action->version.value) - 1];
      ASSERT_EQ(state, action->kind == VersionAction::Kind::kLoad ? 'N' : 'r') << text;
    }
    const auto action = AvailabilityPreservingPolicy().Next(Parse(text));
    if (!action || action->kind == VersionAction::Kind::kLoad) continue;
    const bool any_aspired = text.find_first_of("NLRUDE") != std::string::npos;
    const auto ready =
        std::count(text.begin(), text.end(), 'r') + std::count(text.begin(), text.end(), 'R');
    ASSERT_TRUE(!any_aspired || ready > 1) << text;
  }
}

// The roles of the versions that `text` stands for, a character each: m main, l for a label, v
// reserve; upper case if its last load has failed.
std::string NextOf(const TransitionPolicy& policy, const std::string& text,
                   const std::string& roles) {
  std::vector<PolicyVersion> versions = Parse(text);
  for (size_t i = 0; i < versions.size(); ++i) {
    const char role = static_cast<char>(roles[i] | 0x20);
    versions[i].has_failed = roles[i] < 'a';
    versions[i].is_for_label = role == 'l';
    versions[i].is_reserve = role == 'v';
  }
  const auto action = policy.Next(versions);
  if (!action) return "nothing";
  return (action->kind == VersionAction::Kind::kLoad ? "load " : "unload ") +
         std::to_string(action->version.value);
}

TEST(TransitionPolicyTest, ReserveIsLoadedWhileNoMainVersionCanBe) {
  struct {
    const char* versions;
    const char* roles;
    const char* available;
    const char* resource;
  } const rows[] = {
      {"nN", "vm", "load 2", "load 2"},      // the main one first
      {"nL", "vm", "nothing", "nothing"},    // it may come
      {"nnE", "vvM", "load 2", "load 2"},    // it does not: the highest reserve
      {"neE", "vVM", "load 1", "load 1"},    // that one does not come either
      {"nlE", "vvM", "nothing", "nothing"},  // it comes
      {"nrE", "vvM", "nothing", "nothing"},  // it serves
      {"rN", "vM", "load 2", "load 2"},      // the main one is tried again beside it
      {"rL", "vM", "nothing", "nothing"},    //
      {"rR", "vm", "unload 1", "unload 1"},  // it is there: the reserve goes
      {"rN", "vm", "load 2", "unload 1"},    // a new one: as the policy says
      {"nR", "vm", "nothing", "nothing"},    // none is needed
      {"nEE", "vMM", "load 1", "load 1"},    // of several main ones none could be loaded
      {"nRE", "vmM", "nothing", "nothing"},  // one was
      {"n", "v", "nothing", "nothing"},      // nothing is wanted at all
      {"RrE", "lvM", "nothing", "nothing"},  //
  };
  for (const auto& row : rows) {
    EXPECT_EQ(NextOf(AvailabilityPreservingPolicy(), row.versions, row.roles), row.available)
        << row.versions << " " << row.roles;
    EXPECT_EQ(NextOf(ResourcePreservingPolicy(), row.versions, row.roles), row.resource)
        << row.versions << " " << row.roles;
  }
}

// Else requests that name no version would get the one for the label until the new one is ready.
TEST(TransitionPolicyTest, VersionForALabelReplacesNoOther) {
  const auto next = [](const char* versions, const char* roles) {
    return NextOf(AvailabilityPreservingPolicy(), versions, roles);
  };
  EXPECT_EQ(next("RrL", "lmm"), "nothing");
  EXPECT_EQ(next("RrR", "lmm"), "unload 2");
  EXPECT_EQ(next("Rr", "lm"), "unload 2");  // nothing else shall serve
}

}  // namespace
}  // namespace penstock::core
