// SPDX-License-Identifier: Apache-2.0
// Which arm of an experiment a request gets: pure functions of what it is known by. The same on
// every server and in every version of Penstock, so that who has got an arm keeps it.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "absl/container/inlined_vector.h"
#include "infer/experiment_options.h"

namespace penstock {

// Of a text, spread evenly over all 64 bits: FNV-1a, then the mixer of splitmix64.
uint64_t StableHash(std::string_view text);

// What a request of `model` that is known by `key` is placed by: the hash of the model's name, a
// zero byte, and the key. So experiments on two models divide the same keys in different ways.
uint64_t PlaceOf(std::string_view model, std::string_view key);

// A place at random, for requests that are known by nothing. No lock.
uint64_t RandomPlace();

// Positions of the arms with a weight, the best for `place` first: the request gets the first one
// that is ready. Weighted rendezvous: an arm's score is log(u) / weight, where u in (0, 1) comes
// from the hash of place and the arm's name; the highest is best. A change of one arm's weight
// moves only requests to or from that arm; those of an arm that is not ready spread over the others
// by weight, and come back to it.
using ArmOrder = absl::InlinedVector<uint32_t, 4>;
ArmOrder OrderArms(std::span<const ArmOptions> arms, uint64_t place);

// Whether a request at a random place is among `fraction` of all.
bool IsAmong(double fraction, uint64_t place);

}  // namespace penstock
