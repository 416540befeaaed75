// SPDX-License-Identifier: Apache-2.0
// Pure functions that choose the arm of an experiment for a request. The result depends only on the
// sticky key. It must be the same on every server and in every version of Penstock, so that users
// keep their arm.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "absl/container/inlined_vector.h"
#include "infer/experiments/experiment_options.h"

namespace penstock {

// Hashes a text evenly over all 64 bits: FNV-1a, then the mixer of splitmix64.
uint64_t StableHash(std::string_view text);

// The hash position of a request: the hash of the model's name, a zero byte, and its sticky key.
// The name is included so that experiments on two models divide the same keys in different ways.
uint64_t PositionOf(std::string_view model, std::string_view key);

// A random hash position, for requests without a sticky key. Takes no lock.
uint64_t RandomPosition();

// Sorts the arms with a weight above 0 for a request at the hash position `position`, best first,
// and returns their indices in `arms`. The request gets the first arm that is ready. The algorithm
// is weighted rendezvous hashing: the score of an arm is log(u) / weight, and the highest is best.
// u is in (0, 1) and comes from the hash of `position` and the arm's name. So a change of one arm's
// weight moves requests only to or from that arm. If an arm is not ready, its requests spread over
// the others by weight, and return to it once it is ready.
using ArmOrder = absl::InlinedVector<uint32_t, 4>;
// Sorts the arms with a weight above 0 for a request at the hash position `position`, best first,
// and returns their indices in `arms`. The request gets the first arm that is ready. The algorithm
// is weighted rendezvous hashing (Thaler and Ravishankar, 1998; the weights as Schindelhauer and
// Schomaker, 2005): the score of an arm is log(u) / weight, and the highest is best. u is in (0, 1)
// and comes from the hash of `position` and the arm's name. So a change of one arm's weight moves
// requests only to or from that arm. If an arm is not ready, its requests spread over the others by
// weight, and return to it once it is ready.
ArmOrder OrderArms(std::span<const ArmOptions> arms, uint64_t position);

// True if a request at the random position `position` belongs to the given fraction of all
// requests.
bool IsAmong(double fraction, uint64_t position);

}  // namespace penstock
