// SPDX-License-Identifier: Apache-2.0
// The assignment of a request to an arm of an experiment, and its copies for the shadows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/clock.h"
#include "core/manager.h"
#include "infer/experiments/experiment.h"
#include "infer/experiments/shadow_pool.h"
#include "infer/request.h"
#include "infer/traffic.h"

namespace penstock {

// How many parts a request has got. Thread-safe.
struct PartCount {
  std::atomic<int64_t> parts{0};  // without the last one
  std::atomic<bool> has_ended{false};
};
using PartCountRef = std::shared_ptr<PartCount>;  // of a request and of its copies

// The assignment of a request for a model with an experiment. One thread at a time.
class ExperimentAssignment final : public Assignment {
 public:
  // `shadow_pool`, `manager` and `clock` must outlive it and the copies for the shadows.
  ExperimentAssignment(ExperimentRef experiment, const ShadowPool& shadow_pool,
                       core::Manager& manager, const Clock& clock)
      : experiment_(std::move(experiment)),
        shadow_pool_(shadow_pool),
        manager_(manager),
        clock_(clock) {}

  // Chooses the arm by the sticky header, or at random, and returns that arm's version. With a
  // sticky input the choice waits for DecideByInput: until then the version is the one that a
  // request without a split gets. If no arm is ready, returns the version, or the error, that the
  // request would get without a split. The model of an arm may be a model on demand: then it begins
  // to load, but nobody waits for it.
  StatusOr<core::Handle> DecideByHeader(const RequestHeaders& headers);

  void DecideByInput(const InferRequest& request, core::Handle& handle) override;
  std::string_view arm() const override;
  ResponseCallback Measure(const InferRequest& request, ResponseCallback done) const override;
  ResponseCallback StartShadows(const InferRequest& request, const core::Handle& main,
                                ResponseCallback done) const override;

 private:
  // Chooses the arm for the hash position `position`.
  StatusOr<core::Handle> Choose(uint64_t position);
  void StartShadow(size_t number, const InferRequest& request, const core::Handle& main,
                   const PartCountRef& main_parts) const;

  const ExperimentRef experiment_;
  const ShadowPool& shadow_pool_;
  core::Manager& manager_;
  const Clock& clock_;
  std::optional<size_t> arm_;  // nullopt: there is no split, or no arm is ready
  bool is_undecided_ = false;  // the sticky key is an input that is not decoded yet
  core::Handle described_by_;  // the version whose signature decoded the inputs; empty: the same
};

// The hash position of a request whose sticky key is the first element of `input`. Random if
// `input` is empty.
uint64_t PositionOf(std::string_view model, const Tensor& input);

}  // namespace penstock
