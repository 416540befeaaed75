// SPDX-License-Identifier: Apache-2.0
#include "infer/experiments/traffic_split.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/thread_slot.h"

namespace penstock {
namespace {

// These numbers and functions must never change: clients with a sticky key would move to another
// arm.
constexpr uint64_t kFnvOffset = 0xCBF29CE484222325;
constexpr uint64_t kFnvPrime = 0x100000001B3;

uint64_t AddFnv(uint64_t hash, std::string_view text) {
  for (const char byte : text) hash = (hash ^ static_cast<uint8_t>(byte)) * kFnvPrime;
  return hash;
}

// FNV spreads short texts badly over the upper bits, which ToFraction uses. In this mixer each
// bit of the input changes about half of all bits.
uint64_t Mix(uint64_t bits) {
  bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9;
  bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EB;
  return bits ^ (bits >> 31);
}

// Maps a hash to (0, 1). It uses only the upper 52 bits, so that adding 0.5 is exact.
double ToFraction(uint64_t bits) { return (static_cast<double>(bits >> 12) + 0.5) * 0x1p-52; }

}  // namespace

uint64_t StableHash(std::string_view text) { return Mix(AddFnv(kFnvOffset, text)); }

uint64_t PositionOf(std::string_view model, std::string_view key) {
  using namespace std::string_view_literals;
  // Without the zero byte, model "a" with key "bc" would hash as model "ab" with key "c".
  return Mix(AddFnv(AddFnv(AddFnv(kFnvOffset, model), "\0"sv), key));
}

uint64_t RandomPosition() {
  // splitmix64, with a different seed on each thread.
  thread_local uint64_t state = Mix(static_cast<uint64_t>(ThreadSlot()) + 1);
  state += 0x9E3779B97F4A7C15;
  return Mix(state);
}

ArmOrder OrderArms(std::span<const ArmOptions> arms, uint64_t position) {
  absl::InlinedVector<std::pair<double, uint32_t>, 4> scores;
  for (uint32_t i = 0; i < arms.size(); ++i) {
    if (arms[i].weight == 0) continue;
    const double fraction = ToFraction(Mix(position ^ StableHash(arms[i].name)));
    // Negated, so that ascending order puts the best arm first.
    scores.emplace_back(-std::log(fraction) / arms[i].weight, i);
  }
  std::sort(scores.begin(), scores.end());
  ArmOrder order;
  for (const auto& [score, arm] : scores) order.push_back(arm);
  return order;
}

bool IsAmong(double fraction, uint64_t position) { return ToFraction(position) < fraction; }

}  // namespace penstock
